"""The examples in the docstrings of timelines and annotations run as they stand."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "annotations.read",
        "timeline.intervals",
        "timeline.read",
        "timeline.timeline",
    ],
)
def test_the_examples_in_the_docstrings_run(name):
    failed, tried = doctest.testmod(import_module(f"actline.{name}"))
    assert tried and not failed
