# `make demo` and `make test` need Python >= 3.11 and nothing else; both install into .venv.
# The first Python that runs and is new enough: a name on the PATH may be only a version manager's stub.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo docs test test-fast test-lowest coverage lint typecheck clean

$(VENV)/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Actline needs Python 3.11, 3.12 or 3.13; name one with: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(VENV)/installed
	$(BIN)/actline demo --out demo

# A process a core, each with one thread: the networks of the tests are too small for more.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

test: lint
	$(PYTEST)

test-fast: $(VENV)/installed
	$(PYTEST) -m "not slow"

# The lowest versions that pyproject.toml allows, in an environment of their own. (With UV_TORCH_BACKEND=cpu
# torch is fetched from PyTorch's own index, without the gigabytes of CUDA in PyPI's builds for Linux.)
LOWEST := .venv-lowest
test-lowest: $(VENV)/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST) --resolution lowest-direct --only-binary :all: \
		--requirements pyproject.toml --extra test
	PYTHONPATH=. OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n auto --dist loadfile

# Processes that the tests start are not counted: what only they run is shown as never run.
coverage: $(VENV)/installed
	$(PYTEST) --cov --cov-report=term:skip-covered --cov-report=html

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/codespell

# Apart from the tests: the type checker fetches its own program from the npm registry.
typecheck: $(VENV)/installed
	$(BIN)/pyright

# The site, into site/; a broken link or reference ends it.
docs: $(VENV)/installed
	$(BIN)/zensical build --strict

clean:
	rm -rf $(VENV) $(LOWEST) demo site htmlcov .coverage
