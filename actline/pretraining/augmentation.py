"""SSDet's volume augmentations together: which are drawn, in which order, with which settings."""

from dataclasses import dataclass
from typing import Literal

import torch

from actline.pretraining.volume_cutmix import volume_cutmix
from actline.pretraining.volume_freeze import LabelledClip, volume_freeze
from actline.pretraining.volume_mixup import volume_mixup

Augmentation = Literal["freeze", "mixup", "cutmix"]
ORDER: tuple[Augmentation, ...] = ("freeze", "mixup", "cutmix")


@dataclass(frozen=True)
class VolumeAugmentation:
    """How clips are augmented for detection pretraining; the defaults are the published ones.

    Args:
        augmentations: which take part, always applied in the order freeze, mixup, cutmix. With
            none, only the frame-level pseudo labels remain.
        combination: "joint" draws each on its own, so that several can act on a batch; "single"
            draws one of them for a batch.
        probability: of each augmentation in "joint".
        labels: "soft" weighs each action by its share of the frame; "hard" gives every action
            that takes part in a frame weight 1.
        alpha: of Volume MixUp, "seamless" along the overlap or "fixed" at a half.
        longest_freeze: upper bound of a frozen stretch, as a share of the clip.
        shortest_span: least length of each of two mixed clips, as a share of the clip: 0.5 to 1;
            the larger it is, the larger their overlap.
        window: of Volume CutMix; see `volume_cutmix`.
        window_share: width of each window, as a share of the frame: 0.5 to 1, above a half they
            overlap.
        drawn_for: with several processes, whether one draw holds for all batches of a "step", as
            published (one draw for all GPUs), or each "process" draws for its own batches.

    Raises:
        ValueError: a value is invalid.
    """

    augmentations: tuple[Augmentation, ...] = ORDER
    combination: Literal["joint", "single"] = "joint"
    probability: float = 0.5
    labels: Literal["soft", "hard"] = "soft"
    alpha: Literal["seamless", "fixed"] = "seamless"
    longest_freeze: float = 0.5
    shortest_span: float = 0.5
    window: Literal["moving", "still", "growing"] = "moving"
    window_share: float = 9 / 16
    drawn_for: Literal["step", "process"] = "step"

    def __post_init__(self) -> None:
        unknown = [name for name in self.augmentations if name not in ORDER]
        if unknown:
            raise ValueError(
                f'augmentations: "{unknown[0]}" is not one of "freeze", "mixup" and "cutmix"'
            )
        if len(set(self.augmentations)) < len(self.augmentations):
            raise ValueError("augmentations: each can be named only once")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability must be from 0 to 1, not {self.probability}")
        if not 0 < self.longest_freeze <= 1:
            raise ValueError(
                f"longest_freeze must be above 0 and at most 1, not {self.longest_freeze}"
            )
        for name in ("shortest_span", "window_share"):
            if not 0.5 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0.5 to 1, not {getattr(self, name)}")


def augment(
    batch: LabelledClip,
    *,
    settings: VolumeAugmentation,
    generator: torch.Generator | None,
    shared: torch.Generator | None = None,
) -> LabelledClip:
    """Augment a batch of labelled clips; the batch itself stays as it is.

    As published, what is drawn holds for all clips of the batch, while lengths, places and
    partners are drawn for each clip (`perform_aug` in the published code).

    Shape:
        batch: (B, C, T, H, W) and (M, B, T).
        returns: (B, C, T, H, W) and (M, B, T), (2M, B, T) or (4M, B, T), as Volume MixUp and
            Volume CutMix each double the labels.

    Args:
        generator: on the CPU, whatever the clips' device, so that results do not depend on it.
            None applies each of `settings.augmentations` ("single": the first of them) in its
            deterministic form, the published one for evaluation.
        shared: a generator with the same seed in every process, which draws the augmentations that
            are applied where `settings.drawn_for` is "step".
    """
    drawn = draw_augmentations(settings, generator=generator)
    if shared is not None and settings.drawn_for == "step":
        drawn = draw_augmentations(settings, generator=shared)
    if "freeze" in drawn:
        batch = volume_freeze(batch, generator=generator, longest=settings.longest_freeze)
    if "mixup" in drawn:
        batch = volume_mixup(
            batch, generator=generator, shortest=settings.shortest_span, alpha=settings.alpha
        )
    if "cutmix" in drawn:
        batch = volume_cutmix(
            batch,
            generator=generator,
            window=settings.window,
            share=settings.window_share,
            shortest=settings.shortest_span,
        )
    return batch if settings.labels == "soft" else batch._replace(weights=batch.support.clone())


def draw_augmentations(
    settings: VolumeAugmentation, *, generator: torch.Generator | None
) -> tuple[Augmentation, ...]:
    """Which augmentations a batch gets, in the order of their application."""
    chosen: list[Augmentation] = [name for name in ORDER if name in settings.augmentations]
    if generator is None:
        return tuple(chosen if settings.combination == "joint" else chosen[:1])
    if settings.combination == "joint":
        # One number for each, used or not: leaving one out does not change the others.
        drawn = torch.rand(len(ORDER), generator=generator) < settings.probability
        return tuple(name for name in chosen if drawn[ORDER.index(name)])
    if not chosen:
        return ()
    return (chosen[int(torch.randint(len(chosen), (), generator=generator))],)
