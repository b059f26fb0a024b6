"""Text in a CSV that a spreadsheet must not run as a formula, and back."""

# Full-width forms too: some spreadsheets read them as the plain ones.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def spreadsheet_safe(text: str) -> str:
    """`text` with a `'` before it where a spreadsheet would take it for a formula.

    A text that already looks so marked gets one more, so that `from_spreadsheet_safe`, which
    takes one away, gives back every text exactly.
    """
    return f"'{text}" if _looks_like_a_formula(text) else text


def from_spreadsheet_safe(text: str) -> str:
    """What `spreadsheet_safe` was given."""
    return text[1:] if text[:1] == "'" and _looks_like_a_formula(text) else text


def _looks_like_a_formula(text: str) -> bool:
    return text.lstrip("'").startswith(_FORMULA_STARTS)
