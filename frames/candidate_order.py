"""Whether candidates really run backwards: a forward video among them would put every anchor at the wrong time. Pure.

symbol    here      shape    unit
d         --        --       a metric's distance of two pictures, both made small, where early estimates are not soft
a, z      --        --       first and last frame of the candidates
F, L      ends      --       first and last keyframe

Source: ours. It is told by comparing alone: refused where a is nearer F than L, z is nearer L than F, and
d(a,F) + d(z,L) is below 0.8 (d(a,L) + d(z,F)); and d(F,L) is at least 0.05, or the two ends cannot be told apart.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .perceptual_distance import PerceptualMetric

SHORT_SIDE = 64
CLEARLY = 0.8
ALIKE = 0.05


def check_reversed(candidates: Tensor, ends: tuple[Tensor | None, Tensor | None], metric: PerceptualMetric) -> None:
    """Refuses candidates that begin like the first keyframe and end like the last one.

    Args:
        candidates: [N,H,W,3] in 0..1.
        ends: first and last keyframe at the track's size, each [1,H,W,3], or None where there is none; nothing is then
            checked.
        metric: distance of pictures.
    Raises:
        ValueError: they were not reversed.
    Cost: five pairs of small pictures.
    """
    first_keyframe, last_keyframe = ends
    if first_keyframe is None or last_keyframe is None:
        return
    height, width = candidates.shape[1:3]
    scale = min(1.0, SHORT_SIDE / min(height, width))
    size = round(height * scale), round(width * scale)
    begins, stops, first, last = (
        _small(picture.to(candidates.device), size)
        for picture in (candidates[:1], candidates[-1:], first_keyframe, last_keyframe)
    )
    these, those = torch.cat([begins, stops, begins, stops, first]), torch.cat([first, last, last, first, last])
    begins_first, stops_last, begins_last, stops_first, apart = metric.between(these, those).tolist()
    forwards, backwards = begins_first + stops_last, begins_last + stops_first
    agree = begins_first < begins_last and stops_last < stops_first
    if agree and forwards < CLEARLY * backwards and apart >= ALIKE:
        raise ValueError(
            "candidates begin like the first keyframe and end like the last one, so they were not made backwards: "
            "connect 'Reverse Keyframes' between the track and the conditioning of 'Reverse Candidates', and see that "
            "it is not bypassed."
        )


def _small(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """[1,H,W,3] -> [1,*size,3] float32, the mean over each place."""
    channels_first = picture.float().movedim(-1, 1)
    return torch.nn.functional.adaptive_avg_pool2d(channels_first, size).movedim(1, -1)
