"""TCANet as a stage of a chain: seconds in, seconds out."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from actline.errors import FeatureError, PredictionError
from actline.features.snippets import SnippetFeatures
from actline.models.stage import MOST_PROPOSALS
from actline.timeline.proposals import Proposals

if TYPE_CHECKING:
    from actline.models.tcanet import TCANet


class TCANetStage:
    """Moves the boundaries of given proposals, and multiplies scores by predicted overlaps.

    The overlap is that of the regressor that the network's `scored_by` names. Proposals that are
    moved out of the video are dropped.
    """

    def __init__(self, network: "TCANet") -> None:
        self.network = network

    @torch.inference_mode()
    def __call__(
        self,
        features: SnippetFeatures,
        given: Proposals | None = None,
        *,
        most: int = MOST_PROPOSALS,
    ) -> Proposals:
        """As in `Stage`.

        Raises:
            FeatureError: the features are of another width or interval than TCANet was trained on.
            PredictionError: no proposals are given.
        """
        tcanet = self.network
        self._check(features)
        if given is None:
            raise PredictionError("TCANet refines proposals but makes none; give some")
        if not len(given):
            return given
        ends = torch.from_numpy(np.stack([given.start, given.end], axis=1)).float()
        device = next(tcanet.parameters()).device
        stages = tcanet(features.features[None].to(device), ends[None].to(device))
        moved = stages[-1].refined[0].double().cpu().numpy()
        # The last overlap is of the proposals its regressor got, the nearest to the refined ones.
        judge = stages[(tcanet.config.scored_by or len(stages)) - 1]
        score = given.score * judge.iou[0].double().cpu().numpy()
        order = np.argsort(-score, kind="stable")
        start, end = moved[order, 0], np.minimum(moved[order, 1], features.duration)
        inside = end > start
        label = None if given.label is None else given.label[order][inside]
        refined = Proposals(
            start[inside], end[inside], score[order][inside], label=label, names=given.names
        )
        return refined.best(most)

    def _check(self, features: SnippetFeatures) -> None:
        values, takes = features.features.shape[0], self.network.config.channels
        interval = self.network.config.snippet_interval
        if values != takes or abs(features.interval - interval) > 1e-6 * interval:
            raise FeatureError(
                f"the features have {values} values every {features.interval:g} s; this TCANet "
                f"takes {takes} every {interval:g} s; give the features that it was trained on"
            )
