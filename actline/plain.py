"""Text from files, made safe to display: on a terminal, in a table, on a web page.

Names come from other people's files. Control characters would move a terminal's cursor or set its
title, directional overrides would show a name in another order than it is written, and unpaired
surrogates cannot be written at all.
"""

import unicodedata

# Cc: control characters; Cs: surrogates; Zl, Zp: line separators; Cn: unassigned.
_ESCAPED = frozenset({"Cc", "Cs", "Zl", "Zp", "Cn"})
# Directional marks, embeddings, overrides and isolates, and other invisible characters that change
# how the text around them is shown.
_DIRECTIONS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)


def plain(text: object, *, longest: int | None = None) -> str:
    r"""Text as one line of characters that are safe to show on a terminal and a web page.

    Args:
        text: any value; its `str` is shown.
        longest: maximum number of characters as shown; the middle of a longer text is left out.

    Examples:
        >>> plain("a\x1b[2Jb\nc")
        'a\\x1b[2Jb\\nc'
        >>> plain("abcdefghij", longest=5)
        'ab…ij'
    """
    shown = str(text)
    if longest is not None:
        shown = _shortened(shown, longest)
    if shown.isprintable() and shown.isascii():
        return shown
    shown = "".join(_escaped(character) for character in shown)
    # An escaped character takes up to ten.
    return shown if longest is None else _shortened(shown, longest)


def fit_to_show(text: str) -> bool:
    """Whether a text can be shown unchanged: without control characters and the like."""
    return plain(text) == text


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    kept = longest - 1
    return f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"


def _escaped(character: str) -> str:
    if character not in _DIRECTIONS and unicodedata.category(character) not in _ESCAPED:
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
