"""The numbers of one video against its truth, by the pack's own measures (frames/), all methods treated alike.

key                  frames                what
psnr, ssim, lpips    between the two ends  mean of the frames; the ends are given, so they are judged by the next one
keyframe_distance    the two ends          LPIPS, or 1-SSIM without it, of the video's ends from the keyframes
tail_jump            the last 8 steps      the largest over the median of all steps, 1 is even: frames/take_ranking.py

Frames on which PSNR is infinite (identical) are left out of its mean. A video that stands still until it jumps has no
finite tail jump; it is given MOST_JUMP.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ...frames.perceptual_distance import PerceptualMetric
from ...frames.structural_similarity import SSIMMetric
from ...frames.take_ranking import step_sizes, take_numbers
from ...frames.video_scores import DIGITS, score_numbers, signal_to_noise

MOST_JUMP = 999.0


def clip_scores(
    video: NDArray[np.uint8], truth: NDArray[np.uint8], metric: PerceptualMetric | None
) -> tuple[dict[str, float | None], dict[str, list[float | None]]]:
    """The means of a video, and its numbers frame by frame.

    Args:
        video, truth: [N,H,W,3], of one shape; N >= 3.
        metric: LPIPS; None without it.
    Returns:
        (by key as above, "lpips" only with a metric; "psnr", "ssim", "lpips" -> N numbers). None: does not exist.
    Raises:
        ValueError: the shapes differ.
    """
    if video.shape != truth.shape:
        raise ValueError(f"the video has shape {list(video.shape)}, the truth {list(truth.shape)}")
    made, true = (torch.from_numpy(frames).float() / 255 for frames in (video, truth))
    per_frame = {"psnr": signal_to_noise(made, true), "ssim": 1 - SSIMMetric().between(made, true).double()}
    if metric is not None:
        per_frame["lpips"] = metric.between(made, true)
    scores = {key: score_numbers(values[1:-1])["mean"] for key, values in per_frame.items()}
    apart = 1 - per_frame["ssim"] if metric is None else per_frame["lpips"]
    distance = float(apart[[0, -1]].mean())
    jump = take_numbers("", distance, step_sizes(made), 0.0).tail_jump
    scores["keyframe_distance"] = round(distance, DIGITS)
    scores["tail_jump"] = round(min(jump, MOST_JUMP), DIGITS)
    return scores, {key: score_numbers(values)["per_frame"] for key, values in per_frame.items()}
