"""Items made ahead are the same items, in order, with their errors, and no thread is left."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actline.video.ahead import ahead


def left() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


@given(items=st.lists(st.none() | st.integers(), max_size=30), most=st.integers(0, 5))
def test_items_come_in_order_and_none_is_an_item(items, most):
    assert list(ahead(iter(items), most=most)) == items
    assert not left()


def test_an_error_is_raised_in_its_place():
    def broken():
        yield 1
        yield 2
        raise ValueError("third")

    found = []
    with pytest.raises(ValueError, match="third"):
        for item in ahead(broken(), most=8):
            found.append(item)
    assert found == [1, 2]
    assert not left()


def test_no_more_are_made_ahead_than_asked_for():
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    reading = ahead(items(), most=3)
    assert next(reading) == 0
    time.sleep(0.3)
    # One in use, three waiting, one in the thread's hand.
    assert len(made) <= 5
    reading.close()
    assert not left()
    assert len(made) < 100


def test_items_are_made_while_others_are_used():
    begun = threading.Event()

    def items():
        yield 0
        begun.set()
        yield 1

    reading = ahead(items(), most=2)
    next(reading)
    assert begun.wait(timeout=10)
    assert list(reading) == [1]
