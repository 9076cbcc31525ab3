"""The numbers of one video, against scikit-image, torchmetrics and a few naive lines."""

import numpy as np
import pytest
import torch

from pack.bench.suite.clip_scores import MOST_JUMP, clip_scores
from pack.frames.structural_similarity import SSIMMetric


@pytest.fixture(scope="module")
def pair():
    random = np.random.default_rng(0)
    truth = np.cumsum(random.normal(0, 6, (9, 48, 64, 3)), axis=0)
    truth = (128 + truth).clip(0, 255)
    return tuple(item.clip(0, 255).astype(np.uint8) for item in (truth + random.normal(0, 12, truth.shape), truth))


def test_psnr_is_scikit_images(pair):
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    scores, per_frame = clip_scores(*pair, None)
    wanted = [metrics.peak_signal_noise_ratio(true, made, data_range=255) for made, true in zip(*pair, strict=True)]
    assert per_frame["psnr"] == pytest.approx(wanted, abs=1e-4)
    assert scores["psnr"] == pytest.approx(np.mean(wanted[1:-1]), abs=1e-4)


def test_ssim_is_torchmetrics(pair):
    image = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is not installed")
    scores, per_frame = clip_scores(*pair, None)
    made, true = (torch.from_numpy(item).movedim(-1, 1).double() / 255 for item in pair)
    wanted = image.structural_similarity_index_measure(made, true, data_range=1.0, reduction="none").tolist()
    assert per_frame["ssim"] == pytest.approx(wanted, abs=1e-4)
    assert scores["ssim"] == pytest.approx(np.mean(wanted[1:-1]), abs=1e-4)


def test_a_perfect_video_has_no_psnr_and_no_distance(pair):
    scores, per_frame = clip_scores(pair[1], pair[1], None)
    assert scores["psnr"] is None and per_frame["psnr"] == [None] * 9
    assert scores["ssim"] == 1 and scores["keyframe_distance"] == 0
    assert "lpips" not in scores


def test_only_the_ends_count_for_the_keyframe_distance_and_only_the_inside_for_the_rest(pair):
    truth = pair[1]
    ends, inside = truth.copy(), truth.copy()
    ends[[0, -1]], inside[1:-1] = 255 - truth[[0, -1]], 255 - truth[1:-1]
    first, _ = clip_scores(ends, truth, None)
    assert first["psnr"] is None and first["ssim"] == 1 and first["keyframe_distance"] > 0.5
    second, _ = clip_scores(inside, truth, None)
    assert second["psnr"] < 25 and second["keyframe_distance"] == 0


def test_the_tail_jump_is_the_largest_last_step_over_the_median_step():
    grey = np.array([10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 150], dtype=np.uint8)
    video = np.broadcast_to(grey[:, None, None, None], (12, 16, 16, 3)).copy()
    assert clip_scores(video, video, None)[0]["tail_jump"] == pytest.approx(4.0, abs=1e-4)
    still = np.full((12, 16, 16, 3), 7, dtype=np.uint8)
    still[-1] = 200
    assert clip_scores(still, video, None)[0]["tail_jump"] == MOST_JUMP


def test_a_metric_gives_lpips_and_the_keyframe_distance(pair):
    class Double(SSIMMetric):
        def between(self, these, those):
            return 2 * super().between(these, those)

    plain, _ = clip_scores(*pair, None)
    scores, per_frame = clip_scores(*pair, Double())
    assert scores["keyframe_distance"] == pytest.approx(2 * plain["keyframe_distance"], abs=1e-5)
    assert scores["lpips"] == pytest.approx(2 * (1 - plain["ssim"]), abs=1e-5)
    assert len(per_frame["lpips"]) == 9


def test_another_shape_is_refused(pair):
    with pytest.raises(ValueError, match="the video has shape"):
        clip_scores(pair[0][:-1], pair[1], None)
