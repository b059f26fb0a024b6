"""The code blocks of the README and the docs, as a reader sees them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
# What a block may hold; the first two are run.
LANGUAGES = frozenset({"sh", "python", "text", "json", "yaml", "csv", "mermaid", "toml", "diff"})

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>[^\n]*)\n(?P<code>.*?)^ *```$", re.DOTALL | re.MULTILINE
)
_NOTE = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One code block.

    Attributes:
        note: why it is not run, if the page says so before it.
    """

    page: Path
    line: int
    language: str
    code: str
    note: str | None

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[list[str]]:
        """The words of each command, comments left out and continued lines joined."""
        joined = self.code.replace("\\\n", " ")
        return [
            words for line in joined.splitlines() if (words := shlex.split(line, comments=True))
        ]


def blocks(page: Path) -> list[Block]:
    """All code blocks of a page, from top to bottom."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        note = _NOTE.search(text, 0, match.start())
        indent = match["indent"]
        code = "".join(one.removeprefix(indent) for one in match["code"].splitlines(keepends=True))
        found.append(
            Block(
                page,
                text.count("\n", 0, match.start()) + 1,
                match["language"].strip(),
                code,
                None if note is None else " ".join(note[1].split()),
            )
        )
    return found
