"""Distances of two sets of videos through a network's features: FID, FVD and CD-FVD, by the libraries that keep them.

FID     torch-fidelity: InceptionV3 (the TensorFlow network of 2015), every frame of every video
FVD     cd-fvd: I3D trained on Kinetics-400, all frames of a video at once, 9 or more
CD-FVD  cd-fvd: VideoMAE-v2 (giant) trained on Something-Something v2, 16 frames spread evenly, both ends among them

All three are the Frechet distance |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^1/2) of the features' means m and
covariances S. Network, resizing and distance are the library's. Ours are the frames that it is given, the same for
every method, and FID's m and S, summed in float64 as the features come instead of from all of them at once.

A distance of few samples is too large and depends on their number: compare sets of one size alone.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from .results import Measure
from .video_files import Frames, resampled

Features = NDArray[np.float32]  # [m, D], one row a frame (FID) or a video

FID = Measure("fid", "FID", "", "lower", ".2f", whole_set=True)
FVD = Measure("fvd", "FVD", "", "lower", ".1f", whole_set=True)
CD_FVD = Measure("cd_fvd", "CD-FVD", "", "lower", ".1f", whole_set=True)

FRAMES_AT_ONCE = 16
INCEPTION_LAYER = "2048"


class MeasureError(Exception):
    """A measure cannot be had; the text is a sentence that says what is missing or wrong."""


class SetMeasure(Protocol):
    """A distance of the set of made videos from the set of true ones.

    measure: its column. about: a sentence for under the table.
    """

    measure: Measure
    about: str

    def features(self, video: Frames) -> Features:
        """What a video is known by, to be computed once and kept. Raises MeasureError for one that is too short."""

    def distance(self, made: Iterable[Features], truth: Iterable[Features]) -> float | None:
        """From the features of each video of two sets; None where a set has fewer than 2 rows in all.

        Memory is O(D^2), however many videos there are.
        """


class InceptionDistance:
    """FID by torch-fidelity. D = 2048, one row a frame."""

    measure = FID
    about = (
        "FID: torch-fidelity, InceptionV3 (2048 features), every frame. It is too large for fewer than some thousand "
        "frames and shrinks as they grow in number; compare rows of the same clips alone."
    )

    def __init__(self, weights: Path, device: str) -> None:
        """weights: {weights,pt}_inception-2015-12-05-6726825d.pth. Raises MeasureError where the file is not that."""
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        with telling("FID", weights):
            torch.load(weights, map_location="cpu", weights_only=True)  # the library itself would run a pickle's code
            network = FeatureExtractorInceptionV3("inception", [INCEPTION_LAYER], str(weights))
        self.device, self.network = device, network.to(device)

    def features(self, video: Frames) -> Features:
        chunks = np.split(video, range(FRAMES_AT_ONCE, len(video), FRAMES_AT_ONCE))
        return np.concatenate([self._of_frames(chunk) for chunk in chunks])

    @torch.no_grad()
    def _of_frames(self, frames: Frames) -> Features:
        images = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))  # NHWC -> NCHW
        (features,) = self.network(images.to(self.device))
        return features.float().cpu().numpy()

    def distance(self, made: Iterable[Features], truth: Iterable[Features]) -> float | None:
        from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

        sums = moments(made), moments(truth)
        if None in sums:
            return None
        statistics = ({"mu": mean, "sigma": covariance} for mean, covariance in sums)
        return fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]


class VideoDistance:
    """FVD or CD-FVD by cd-fvd: one row a video, D = 400 (I3D's logits) or 1408 (VideoMAE's mean token)."""

    measure: Measure
    about: str
    model: str

    def __init__(self, weights: Path, device: str) -> None:
        """Raises MeasureError where the file does not hold the network's weights."""
        from cdfvd.fvd import cdfvd

        with telling(self.measure.title, weights), contextlib.redirect_stdout(sys.stderr):
            self.evaluator = cdfvd(self.model, n_real="full", n_fake="full", ckpt_path=str(weights), device=device)

    def frames(self, video: Frames) -> Frames:
        """Those that the network is shown. Raises MeasureError where there are too few."""
        raise NotImplementedError

    def features(self, video: Frames) -> Features:
        from cdfvd.utils.metric_utils import FeatureStats

        shown = np.ascontiguousarray(self.frames(video))[None]  # [1, n, H, W, 3]
        rows = FeatureStats(capture_all=True)
        self.evaluator.feature_fn(rows, self.evaluator.model, shown, device=self.evaluator.device)
        return rows.get_all()

    def distance(self, made: Iterable[Features], truth: Iterable[Features]) -> float | None:
        from cdfvd.utils.metric_utils import FeatureStats

        sets = FeatureStats(capture_mean_cov=True), FeatureStats(capture_mean_cov=True)
        for rows, features in zip(sets, (made, truth), strict=True):
            for one in features:
                rows.append(one)
        if min(rows.num_items for rows in sets) < 2:
            return None
        return float(self.evaluator.compute_fvd_from_stats(*sets))


class I3DDistance(VideoDistance):
    """FVD. weights: i3d_pretrained_400.pt."""

    measure, model = FVD, "i3d"
    about = "FVD: cd-fvd, I3D (400 features), all frames of a clip at 224x224. It is too large for few clips."

    def frames(self, video: Frames) -> Frames:
        return long_enough(video, 9, "FVD")  # of 8 and fewer, I3D leaves one moment, and its last pooling needs two


class VideoMAEDistance(VideoDistance):
    """CD-FVD. weights: vit_g_hybrid_pt_1200e_ssv2_ft.pth."""

    measure, model = CD_FVD, "videomae"
    about = (
        "CD-FVD: cd-fvd, VideoMAE-v2 (1408 features), 16 frames of a clip, spread evenly from its first to its last, "
        "at 224x224. It is too large for few clips."
    )

    def frames(self, video: Frames) -> Frames:
        return resampled(long_enough(video, 16, "CD-FVD"), 16)


def long_enough(video: Frames, least: int, measure: str) -> Frames:
    """The video itself. Raises MeasureError where it has fewer frames than a measure needs."""
    if len(video) < least:
        raise MeasureError(f"{measure} needs videos of {least} frames or more, and this one has {len(video)}")
    return video


def moments(features: Iterable[Features]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Mean [D] and unbiased covariance [D, D] of all rows; None for fewer than 2."""
    count, total, products = 0, 0.0, 0.0
    for rows in features:
        exact = rows.astype(np.float64)
        count, total, products = count + len(rows), total + exact.sum(axis=0), products + exact.T @ exact
    if count < 2:
        return None
    mean = total / count
    return mean, (products - count * np.outer(mean, mean)) / (count - 1)


@contextlib.contextmanager
def telling(measure: str, file: Path) -> Iterator[None]:
    """Turns whatever a library raises over a file into a MeasureError that names both."""
    try:
        if not file.exists():  # a library would look for it on the network
            raise FileNotFoundError("there is no such file")
        yield
    except Exception as error:
        raise MeasureError(f"{measure} is left out: {file} cannot be used ({first_line(error)})") from error


def first_line(error: Any) -> str:
    """What an error says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}"[:200] if lines else type(error).__name__
