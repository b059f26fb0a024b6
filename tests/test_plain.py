"""What files name is shown as it is written, and on one line."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from actline.errors import ActlineError
from actline.plain import fit_to_show, plain

ANY = st.text(st.characters(exclude_categories=()), max_size=40)


@given(ANY)
def test_plain_text_moves_no_cursor_and_can_be_written(text: str) -> None:
    shown = plain(text)
    shown.encode("utf-8")
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not any(unicodedata.bidirectional(c) in {"RLO", "LRO", "RLI", "FSI"} for c in shown)


@given(ANY)
def test_plain_text_is_shown_once_escaped_for_good(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert fit_to_show(plain(text))


def test_ordinary_names_stay_as_they_are() -> None:
    for name in (
        "Holding a phone",
        "Bücher öffnen",
        "打开门",
        "يفتح الباب",
        "👩‍🍳 cooks",
        "a\u0301",
    ):
        assert plain(name) == name


@given(ANY, st.integers(1, 60))
def test_a_long_text_loses_its_middle(text: str, longest: int) -> None:
    plain_text = "".join(c for c in text if c.isascii() and c.isprintable())
    shown = plain(plain_text, longest=longest)
    assert len(shown) == min(longest, len(plain_text))


def test_errors_are_one_line_of_bounded_length() -> None:
    error = ActlineError("no video \x1b]0;OWNED\x07\n" + "x" * 100_000 + " in folder; check it")
    assert len(str(error)) < 1100
    assert str(error).isprintable()
    assert str(error).endswith("in folder; check it")


@given(st.text(), st.integers(2, 200))
def test_what_is_shown_is_no_longer_than_asked_even_where_it_is_escaped(text, longest):
    assert len(plain(text, longest=longest)) <= longest
    assert len(plain("\x00" * 5000, longest=longest)) == longest
