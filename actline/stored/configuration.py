"""Frozen dataclasses from YAML and back, with unknown keys, types and ranges checked."""

import dataclasses
import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from actline.errors import RecipeError
from actline.stored.ranges import Range, short_number
from actline.stored.yaml_text import parse_yaml

T = TypeVar("T")


class RangeError(RecipeError):
    """A number of a configuration is out of range."""


def from_mapping(kind: type[T], values: object, *, where: str) -> T:
    """Build the dataclass `kind` from nested mappings.

    Args:
        where: where the values came from, for errors, such as "recipe.yaml".

    Raises:
        RecipeError: an unknown key (the nearest known one is suggested), a missing one, or a
            value of the wrong type.
        RangeError: a number out of the range that its field's type states (`stored.ranges`).
    """
    # Dataclasses check how their values relate when they are created; ranges are checked last.
    made = _made(kind, values, where=where)
    check_ranges(made, where=where)
    return made


def check_ranges(value: Any, *, where: str) -> None:
    """Refuse a dataclass with a number out of range, in it or in a dataclass it contains.

    Raises:
        RangeError: the key, the number, and the allowed range.
    """
    for key, found, allowed in _ranged(value, ""):
        for number in found if isinstance(found, tuple) else (found,):
            if number is not None and number not in allowed:
                raise RangeError(f"{where}: {key} must be {allowed}, not {short_number(number)}")


def range_of(hint: Any) -> Range | None:
    """The range stated by a type: an `Annotated` one, or the numbers in a tuple or union."""
    if get_origin(hint) is Annotated:
        return next((one for one in hint.__metadata__ if isinstance(one, Range)), None)
    found = (range_of(part) for part in get_args(hint))
    return next((one for one in found if one is not None), None)


def _ranged(value: Any, path: str) -> Iterator[tuple[str, Any, Range]]:
    """Every key with a range: its dotted name, its value and its range."""
    hints = get_type_hints(type(value), include_extras=True)
    for field in dataclasses.fields(value):
        held, key = getattr(value, field.name), f"{path}{field.name}"
        if dataclasses.is_dataclass(held):
            yield from _ranged(held, f"{key}.")
        elif (allowed := range_of(hints[field.name])) is not None:
            yield key, held, allowed


def _made(kind: type[T], values: object, *, where: str) -> T:
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where}: expected keys and values, found {_shown(values)}")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for key in values:
        if key not in fields:
            raise RecipeError(f'{where}: unknown key "{key}"{_nearest(str(key), fields)}')
    arguments = {}
    for name, field in fields.items():
        if name in values:
            arguments[name] = _convert(hints[name], values[name], where=f"{where}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RecipeError(f'{where}: the key "{name}" is missing')
    try:
        return kind(**arguments)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error


def to_mapping(value: Any) -> Any:
    """The value as plain mappings, lists and scalars, for YAML and JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_mapping(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [to_mapping(item) for item in value]
    return value


def with_overrides(values: Any, overrides: Sequence[str] | Mapping[str, Any], *, where: str) -> Any:
    """Apply overrides `key.subkey=value`, with values read as YAML, to nested mappings.

    Args:
        overrides: such strings, or a mapping from `key.subkey` to the value.

    Raises:
        RecipeError: an override has another form, or its path leads through a value without keys.
    """
    result = _copied(values)
    for path, value in _pairs(overrides):
        *parents, last = path.split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise RecipeError(f'{where}: "{path}" leads through a value without keys')
        place[last] = value
    return result


def _pairs(overrides: Sequence[str] | Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(overrides, Mapping):
        yield from ((path, to_mapping(value)) for path, value in overrides.items())
        return
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise RecipeError(
                f'"{override}" does not have the form key=value, as in optimizer.lr=0.01'
            )
        yield path, parse_yaml(text, where=override)


def _convert(hint: Any, value: object, *, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(get_args(hint), value, where=where)
    if origin is Literal:
        if isinstance(value, bool):  # YAML reads an unquoted no, off, yes or on as one
            words = ("yes", "on") if value else ("no", "off")
            value = next((word for word in words if word in get_args(hint)), value)
        if value not in get_args(hint):
            choices = ", ".join(str(choice) for choice in get_args(hint))
            raise RecipeError(f"{where}: {_shown(value)} is not one of {choices}")
        return value
    if origin is tuple:
        return _convert_tuple(get_args(hint), value, where=where)
    if dataclasses.is_dataclass(hint):
        return _made(hint, value, where=where)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    if isinstance(value, bool) != (hint is bool) or not isinstance(value, hint):
        raise RecipeError(f"{where}: expected {_NAMES.get(hint, hint)}, found {_shown(value)}")
    return value


def _convert_union(choices: tuple[Any, ...], value: object, *, where: str) -> Any:
    if value is None and type(None) in choices:
        return None
    kinds = [choice for choice in choices if choice is not type(None)]
    if isinstance(value, list | tuple):
        kinds.sort(key=lambda kind: get_origin(kind) is not tuple)
    if len(kinds) > 1 and isinstance(value, Mapping):
        # Chosen by the keys: the dataclass with exactly these, or else with most of them.
        names = {kind: {field.name for field in dataclasses.fields(kind)} for kind in kinds}
        kinds.sort(key=lambda kind: (names[kind] != value.keys(), -len(value.keys() & names[kind])))
    return _convert(kinds[0], value, where=where)


def _convert_tuple(parts: tuple[Any, ...], value: object, *, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise RecipeError(f"{where}: expected a list, found {_shown(value)}")
    kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
    if len(kinds) != len(value):
        raise RecipeError(f"{where}: expected {len(kinds)} values, found {len(value)}")
    return tuple(
        _convert(kind, item, where=f"{where}[{index}]")
        for index, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


_NAMES: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
}


def _shown(value: object) -> str:
    return "nothing" if value is None else f'"{value}"'


def _nearest(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known keys: {', '.join(known)}"


def _copied(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {key: _copied(value) for key, value in values.items()}
    return values
