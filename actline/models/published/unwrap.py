"""Finding a network's tensors in a foreign checkpoint, however its training wrapped them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from actline.errors import CheckpointError
from actline.models.checkpoint import damaged
from actline.stored.safetensors_files import open_tensors
from actline.stored.torch_files import load_torch

# Where files keep a network's tensors. Averaged weights come first: where there are any, they are
# what was evaluated.
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_state", "ema_model", "ema")
CONTAINERS = (
    *AVERAGED,
    "model_state_dict",
    "model_state",
    "state_dict",
    "model_dict",
    "model",
    "network",
    "net",
    "module",
    "weights",
    "params",
    "shadow",
)
# Other entries of such files, which hold tensors, but not a network's.
OTHERS = ("optim", "sched", "scaler", "criterion", "loss", "amp", "rng", "args", "config")
# Parts that wrappers add to names: DataParallel and AveragedModel, torch.compile, FSDP.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def read_published(path: str | Path) -> Mapping[str, Tensor]:
    """Read the tensors of a PyTorch checkpoint file without running anything in it.

    The tensors may lie at the top, or under "state_dict", "model", "ema" and the like
    (`tensors_in`); foreign safetensors are read as well.

    Raises:
        CheckpointError: no such file, a damaged one, or one that holds more than tensors.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}; check the path")
    if path.suffix == ".safetensors":
        with open_tensors(path, error=CheckpointError, otherwise=damaged(path)) as stored:
            return stored.whole(known=stored.metadata)
    content = load_torch(
        path,
        error=CheckpointError,
        unsafe=f"{path} holds Python objects besides tensors, which may run code, and is not "
        "loaded; save its state_dict alone",
        damaged=damaged(path),
    )
    return tensors_in(content, where=str(path))


def tensors_in(content: object, *, where: str) -> dict[str, Tensor]:
    """The tensors of the network in a checkpoint's content, at the top or under usual keys.

    Args:
        content: what the file holds: mappings in mappings.
        where: the file, for the error.

    Raises:
        CheckpointError: there are none, or several mappings, none of them under a usual key.
    """
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{where} holds no tensors; it is not a checkpoint")
    found = _inside(content, where)
    if not found:
        raise CheckpointError(f"{where} holds no tensors; it is not a checkpoint")
    return found


def _inside(content: Mapping[Any, Any], where: str) -> dict[str, Tensor]:
    for key in CONTAINERS:
        if isinstance(content.get(key), Mapping):
            found = _inside(content[key], where)
            if found:
                return found
    own = {
        name: value.detach()
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    if own:
        return own
    found = {
        name: inside
        for name, value in content.items()
        if isinstance(name, str)
        and isinstance(value, Mapping)
        and not any(part in name.lower() for part in OTHERS)
        and (inside := _inside(value, where))
    }
    if len(found) > 1:
        raise CheckpointError(
            f"{where} holds several sets of tensors ({', '.join(found)}); save one of them alone"
        )
    return next(iter(found.values()), {})


def unwrapped(tensors: Mapping[str, Tensor], landmark: str, *, source: str) -> dict[str, Tensor]:
    """The tensors of one network by their own names, whatever it was part of.

    Prefixes such as those of `nn.DataParallel` ("module."), `torch.compile` ("_orig_mod."), or a
    class that holds the network ("model.", "net.backbone.") are removed, and so are the tensors of
    other parts of that class.

    Args:
        landmark: the name of a tensor that every such network has.

    Raises:
        CheckpointError: it is missing, or there are several such networks.
    """
    plain = {_without_wrappers(name): tensor for name, tensor in tensors.items()}
    if len(plain) < len(tensors):
        raise CheckpointError(
            "the file holds tensors twice, with and without prefixes of wrappers; "
            "save one network's alone"
        )
    if landmark in plain:
        prefix = ""
    else:
        prefix = _prefix(list(_prefixes(plain, landmark)), landmark, source)
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in plain.items()
        if name.startswith(prefix) and name != "n_averaged"  # `AveragedModel` counts with it
    }


def _without_wrappers(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _prefixes(tensors: Mapping[str, Tensor], landmark: str) -> Iterator[str]:
    for name in tensors:
        if name.endswith(f".{landmark}"):
            yield name.removesuffix(landmark)


def _prefix(found: list[str], landmark: str, source: str) -> str:
    if not found:
        raise CheckpointError(
            f'tensor "{landmark}" of {source} is missing; is the source (--from) right?'
        )
    averaged = [prefix for prefix in found if any(part in AVERAGED for part in prefix.split("."))]
    candidates = averaged or found
    if len(candidates) > 1:
        raise CheckpointError(
            f"the file holds several of {source} ({', '.join(candidates)}); save one of them alone"
        )
    return candidates[0]
