# Actline on a processor. Written to be right, but not built so far: no machine with Docker was at hand.
#
#   docker build --tag actline .    # with --build-arg TORCH_CPU_INDEX=ADDRESS, PyTorch's index of CPU
#                                   # builds, the image lacks the gigabytes of CUDA that PyPI's bring
#   docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" actline \
#       detect video.mp4 --checkpoint model.safetensors --out found
FROM python:3.12-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib

WORKDIR /opt/actline
# Dependencies first: they change less often than the code, and their layer is kept.
COPY constraints.txt pyproject.toml README.md LICENSE ./
ARG TORCH_CPU_INDEX=""
RUN mkdir actline recipes \
    && touch actline/__init__.py \
    && PIP_EXTRA_INDEX_URL="$TORCH_CPU_INDEX" pip install --constraint constraints.txt '.[runtime]' \
    && pip uninstall --yes actline
COPY actline actline
COPY recipes recipes
RUN pip install --no-deps . && actline --version

WORKDIR /data
ENTRYPOINT ["actline"]
CMD ["--help"]
