"""How near a video is to a reference video, frame by frame: PSNR, SSIM and, with a metric, LPIPS. Pure torch.

symbol    here        shape    unit
MSE       --          [N]      mean squared difference over pixels and channels, colour 0..1
PSNR      psnr        [N]      dB, -10 log10 MSE; infinite where the frames are identical
SSIM      ssim        [N]      see structural_similarity.py; 1 = identical
LPIPS     lpips       [N]      a perceptual metric's distance; 0 = identical

Source of the formulas: torchmetrics. Differences: PSNR's mean is that of the frames, not the PSNR of the mean MSE, and
identical frames are left out of it, or it would be infinite.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .finite_frames import finite_frames
from .perceptual_distance import PerceptualMetric, Watch
from .structural_similarity import SSIMMetric
from .video_scores_plot import ScoreCurve, video_scores_plot

DIGITS = 6  # of the numbers in the JSON text, behind the point


@dataclass(frozen=True, eq=False)
class VideoScores:
    """psnr, ssim: [N]; lpips: [N] or None. plot: [1,h,w,3]. scores: JSON text, see `scores_text`."""

    psnr: Tensor
    ssim: Tensor
    lpips: Tensor | None
    plot: Tensor
    report: str
    scores: str


@torch.no_grad()
def compare_videos(
    images: Tensor, reference: Tensor, metric: PerceptualMetric | None = None, watch: Watch | None = None
) -> VideoScores:
    """The scores of every frame of a video against the frame of the same number of a reference.

    Args:
        images, reference: [N,H,W,3] in 0..1, of one length and size.
        metric: LPIPS, or None without it.
        watch: follows the frames, see `perceptual_distance.Watch`; None for nobody. It starts anew for every score.
    Raises:
        ValueError: lengths or sizes that differ, or pixels that are not numbers.
    Cost: memory of a few frames. About 0.1 s for a frame of 832x480 on one core; LPIPS adds 2 N backbone passes.
    """
    _check_same_size(images, reference)
    (images, change), (reference, other) = finite_frames("images", images), finite_frames("reference", reference)
    reference = reference.to(images.device)
    psnr = signal_to_noise(images, reference, watch)
    ssim = 1 - SSIMMetric(watch).between(images, reference).double()
    lpips = metric.between(images, reference) if metric is not None else None
    _, height, width, _ = images.shape
    name = metric.name if metric is not None else ""
    curves = [ScoreCurve("PSNR", "dB, higher is nearer", psnr, _mean(psnr), ".2f")]
    curves.append(ScoreCurve("SSIM", "1 is identical", ssim, _mean(ssim), ".4f"))
    if lpips is not None:
        curves.append(ScoreCurve(name, "0 is identical", lpips, _mean(lpips), ".4f"))
    title = f"Against the reference: {len(images)} frame{'s' if len(images) > 1 else ''} of {width}x{height}"
    report = "\n".join([f"{title}.", *_report(curves), *filter(None, (change, other))])
    text = scores_text(psnr, ssim, lpips, name, width, height)
    return VideoScores(psnr, ssim, lpips, video_scores_plot(curves, title), report, text)


def signal_to_noise(images: Tensor, reference: Tensor, watch: Watch | None = None) -> Tensor:
    """PSNR = -10 log10 MSE of every frame.

    Args:
        images, reference: [N,H,W,3] in 0..1, on one device.
    Returns:
        [N] float64 on the CPU, dB; infinite where the frames are identical.
    """
    done, found = watch(len(images)) if watch else None, []
    for this, that in zip(images, reference, strict=True):
        found.append(-10 * (this.double() - that.double()).square().mean().log10())
        if done:
            done(1)
    return torch.stack(found).cpu()


def scores_text(psnr: Tensor, ssim: Tensor, lpips: Tensor | None, network: str, width: int, height: int) -> str:
    """The scores as JSON text.

    {"frames", "width", "height", "identical_frames": [n], "psnr": {"unit", "mean", "per_frame"}, "ssim": {"mean",
    "per_frame"}, "lpips": {"network", "mean", "per_frame"} or null}. JSON has no infinity: an identical frame's PSNR is
    null, and so is a mean of no frames.
    """
    text: dict[str, Any] = {"frames": len(psnr), "width": width, "height": height}
    text["identical_frames"] = _identical(psnr)
    text["psnr"] = {"unit": "dB", **score_numbers(psnr)}
    text["ssim"] = score_numbers(ssim)
    text["lpips"] = None if lpips is None else {"network": network, **score_numbers(lpips)}
    return json.dumps(text, allow_nan=False)


def score_numbers(values: Tensor) -> dict[str, Any]:
    """[n] as JSON has them: {"mean": of the finite ones or None, "per_frame": to DIGITS digits, None if infinite}."""
    mean = _mean(values)
    per_frame = [round(value, DIGITS) if math.isfinite(value) else None for value in values.tolist()]
    return {"mean": None if mean is None else round(mean, DIGITS), "per_frame": per_frame}


def _mean(values: Tensor) -> float | None:
    """Mean of the finite values; None where there is none."""
    finite = values[values.isfinite()].double()
    return float(finite.mean()) if len(finite) else None


def _identical(psnr: Tensor) -> list[int]:
    return psnr.isinf().nonzero().flatten().tolist()


def _check_same_size(images: Tensor, reference: Tensor) -> None:
    if len(images) != len(reference):
        raise ValueError(
            f"images has {len(images)} frames, reference has {len(reference)}: make both equally long, for instance "
            f"with 'ImageFromBatch' (length {min(len(images), len(reference))})."
        )
    (height, width), (other_height, other_width) = images.shape[1:3], reference.shape[1:3]
    if (height, width) != (other_height, other_width):
        raise ValueError(
            f"images is {width}x{height}, reference is {other_width}x{other_height}: scale one of them to the other's "
            f"size."
        )


def _report(curves: list[ScoreCurve]) -> list[str]:
    lines = []
    for curve in curves:
        known = {frame: value for frame, value in enumerate(curve.values.tolist()) if math.isfinite(value)}
        if not known:
            lines.append(f"{curve.name}: infinite, every frame is identical.")
            continue
        low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
        lines.append(
            f"{curve.name} ({curve.meaning}): mean {curve.mean:{curve.form}}, from {known[low]:{curve.form}} at frame "
            f"{low} to {known[high]:{curve.form}} at frame {high}."
        )
    identical = _identical(curves[0].values)
    if identical and curves[0].mean is not None:
        shown = ", ".join(map(str, identical[:5])) + (f" and {len(identical) - 5} more" if len(identical) > 5 else "")
        lines.append(f"Identical, with infinite PSNR that is not in its mean: frame {shown}.")
    return lines
