"""YAML read within limits: content repeated by reference counts each time."""

from typing import Any

import yaml

from actline.errors import RecipeError
from actline.stored.limits import lifted, limits


def parse_yaml(text: str, *, where: str) -> Any:
    """The value of a YAML text.

    Raises:
        RecipeError: it is not YAML, too large, nested too deeply, or repeats itself without end.
    """
    most = limits()
    if len(text) > most.recipe_kib << 10:
        raise RecipeError(
            f"{where} is {len(text) >> 10} KiB, more than {most.recipe_kib}; {lifted('recipe_kib')}"
        )
    try:
        _check_depth(text, where)
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _weigh(root, where, {}, 0)
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except RecipeError:
        raise
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        place = f", line {line + 1}" if line is not None else ""
        raise RecipeError(f"{where}{place}: not valid YAML; correct the syntax") from error
    # Impossible dates, numbers of thousands of digits, keys that are lists, …
    except Exception as error:
        problem = " ".join(str(error).split())[:60] or type(error).__name__
        raise RecipeError(f"{where}: YAML that cannot be read ({problem}); correct it") from error


def _check_depth(text: str, where: str) -> None:
    """Refuse too deep nesting early: the cost of parsing grows with the square of the depth."""
    most, depth = limits().depth, 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > most:
            raise RecipeError(f"{where} is nested more than {most} levels deep; {lifted('depth')}")


def _weigh(node: yaml.Node, where: str, known: dict[int, int | None], depth: int) -> int:
    """How many values a node stands for, including those it refers to."""
    most = limits()
    if depth > most.depth:
        raise RecipeError(
            f"{where} is nested more than {most.depth} levels deep; {lifted('depth')}"
        )
    if id(node) in known:
        weight = known[id(node)]
        if weight is None:
            raise RecipeError(f"{where}: an entry refers to itself; write it out")
        return weight
    known[id(node)] = None
    weight = 1
    for child in _children(node):
        weight += _weigh(child, where, known, depth + 1)
        if weight > most.values:
            raise RecipeError(
                f"{where} holds more than {most.values} values, by references; {lifted('values')}"
            )
    known[id(node)] = weight
    return weight


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [one for pair in node.value for one in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []
