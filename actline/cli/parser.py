"""A parser whose options and other arguments may come in any order."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from actline.plain import plain


class AnyOrderParser(argparse.ArgumentParser):
    """A parser that takes `train recipe.yaml --device cpu key=value` as if the option came last.

    By itself, argparse gives a list of arguments only those before the first option, and refuses
    the others.
    """

    _within = False

    def error(self, message: str) -> NoReturn:
        """End with what is wrong in the given arguments, which may be names of files."""
        super().error(plain(message))

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and return what is left."""
        if self._within or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._within = True  # `parse_known_intermixed_args` calls this method again
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._within = False
