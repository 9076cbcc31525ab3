"""compare_videos: PSNR and SSIM against naive sums in float64, infinities, the JSON text, the plot, and refusals."""

import json
import math

import pytest
import torch
from torch.nn.functional import avg_pool2d, pad

from pack.frames.video_scores import compare_videos, signal_to_noise
from pack.frames.video_scores_plot import CURVE, LEFT, MEAN, PANEL, RIGHT, SAME, TOP, ScoreCurve, video_scores_plot


class Apart:
    """A metric that a reader can predict: mean absolute difference."""

    name = "LPIPS (AlexNet)"

    def between(self, these, those):
        return (these - those).abs().mean(dim=(1, 2, 3))


def pair(frames: int = 4, height: int = 20, width: int = 24, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth random video and the same with more and more noise."""
    generator = torch.Generator().manual_seed(frames)
    video = torch.rand(frames, height, width, 3, generator=generator)
    video = avg_pool2d(video.movedim(-1, 1), 5, 1, 2).movedim(1, -1)
    amount = noise * torch.arange(1, frames + 1)[:, None, None, None] / frames
    return (video + amount * torch.randn(video.shape, generator=generator)).clamp(0, 1), video


def naive_ssim(these: torch.Tensor, those: torch.Tensor) -> float:
    """Wang et al. 2004, Eq. 13: 11 Gaussian taps of sigma 1.5, the border mirrored, one window after the other."""
    taps = torch.exp(-0.5 * ((torch.arange(11, dtype=torch.float64) - 5) / 1.5) ** 2)
    window = taps[:, None] * taps / (taps[:, None] * taps).sum()
    x, y = (pad(picture.double().movedim(-1, 0), (5, 5, 5, 5), "reflect") for picture in (these, those))
    total = []
    for row in range(these.shape[0]):
        for column in range(these.shape[1]):
            a, b = (picture[:, row : row + 11, column : column + 11] for picture in (x, y))
            mu_a, mu_b = ((window * picture).sum((1, 2)) for picture in (a, b))
            var_a, var_b = (window * a * a).sum((1, 2)) - mu_a**2, (window * b * b).sum((1, 2)) - mu_b**2
            cov = (window * a * b).sum((1, 2)) - mu_a * mu_b
            up = (2 * mu_a * mu_b + 0.01**2) * (2 * cov + 0.03**2)
            total.append((up / ((mu_a**2 + mu_b**2 + 0.01**2) * (var_a + var_b + 0.03**2))).mean())
    return float(torch.stack(total).mean())


def scores(images: torch.Tensor, reference: torch.Tensor, metric=None) -> dict:
    return json.loads(compare_videos(images, reference, metric).scores)


# the numbers


def test_psnr_is_ten_times_the_log_of_one_over_the_mean_square():
    images, reference = pair()
    naive = []
    for these, those in zip(images, reference, strict=True):
        squares = [(a - b) ** 2 for a, b in zip(these.flatten().tolist(), those.flatten().tolist(), strict=True)]
        naive.append(10 * math.log10(len(squares) / sum(squares)))
    found = compare_videos(images, reference).psnr
    torch.testing.assert_close(found, torch.tensor(naive, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.8])
def test_ssim_is_that_of_the_paper_with_mirrored_borders(noise):
    images, reference = pair(2, noise=noise)
    naive = [naive_ssim(a, b) for a, b in zip(images, reference, strict=True)]
    found = compare_videos(images, reference).ssim
    torch.testing.assert_close(found, torch.tensor(naive, dtype=torch.float64), atol=2e-5, rtol=0)


def test_ssim_of_flat_white_is_exact_to_a_ten_thousandth():
    """Where variances are differences of large squares, float32 is at its worst."""
    generator = torch.Generator().manual_seed(0)
    white = torch.ones(1, 16, 16, 3)
    images = white - 0.01 * torch.rand(white.shape, generator=generator)
    found = float(compare_videos(images, white).ssim)
    assert found == pytest.approx(naive_ssim(images[0], white[0]), abs=1e-4)


def test_the_scores_do_not_change_when_the_videos_are_swapped_or_turned_round():
    images, reference = pair()
    there, back = compare_videos(images, reference), compare_videos(reference, images)
    turned = compare_videos(images.flip(0), reference.flip(0))
    torch.testing.assert_close(there.psnr, back.psnr)
    torch.testing.assert_close(there.ssim, back.ssim)
    torch.testing.assert_close(there.psnr.flip(0), turned.psnr)
    torch.testing.assert_close(there.ssim.flip(0), turned.ssim)


def test_the_metric_is_in_the_scores_if_there_is_one():
    images, reference = pair()
    found = compare_videos(images, reference, Apart())
    torch.testing.assert_close(found.lpips, (images - reference).abs().mean(dim=(1, 2, 3)))
    assert "LPIPS (AlexNet) (0 is identical): mean" in found.report
    plain = compare_videos(images, reference)
    assert plain.lpips is None
    assert "LPIPS" not in plain.report


def test_inputs_are_left_as_found():
    images, reference = pair()
    copies = images.clone(), reference.clone()
    compare_videos(images, reference, Apart())
    assert torch.equal(images, copies[0]) and torch.equal(reference, copies[1])


def test_no_graph_is_kept():
    images, reference = pair()
    made = compare_videos(images.requires_grad_(), reference, Apart())
    assert not any(values.requires_grad for values in (made.psnr, made.ssim, made.lpips))


# the JSON text


def test_the_text_has_every_number_under_its_key():
    images, reference = pair()
    made = compare_videos(images, reference, Apart())
    found = json.loads(made.scores)
    assert list(found) == ["frames", "width", "height", "identical_frames", "psnr", "ssim", "lpips"]
    assert (found["frames"], found["width"], found["height"], found["identical_frames"]) == (4, 24, 20, [])
    assert (list(found["psnr"]), found["psnr"]["unit"]) == (["unit", "mean", "per_frame"], "dB")
    assert list(found["ssim"]) == ["mean", "per_frame"]
    assert (list(found["lpips"]), found["lpips"]["network"]) == (["network", "mean", "per_frame"], "LPIPS (AlexNet)")
    for name in ("psnr", "ssim", "lpips"):
        values = getattr(made, name).tolist()
        assert found[name]["per_frame"] == pytest.approx(values, abs=1e-6)
        assert found[name]["mean"] == pytest.approx(sum(values) / 4, abs=1e-6)
    assert json.loads(compare_videos(images, reference).scores)["lpips"] is None


def test_an_identical_frame_is_null_named_and_not_in_the_mean_of_psnr():
    images, reference = pair()
    images[2] = reference[2]
    made = compare_videos(images, reference)
    found = json.loads(made.scores)
    per_frame = found["psnr"]["per_frame"]
    assert found["identical_frames"] == [2]
    assert per_frame[2] is None
    assert found["psnr"]["mean"] == pytest.approx((per_frame[0] + per_frame[1] + per_frame[3]) / 3, abs=1e-6)
    assert found["ssim"]["per_frame"][2] == pytest.approx(1, abs=1e-5)
    assert found["ssim"]["mean"] == pytest.approx(sum(found["ssim"]["per_frame"]) / 4, abs=1e-6)
    assert "Infinity" not in made.scores
    assert made.report.endswith("Identical, with infinite PSNR that is not in its mean: frame 2.")


def test_two_equal_videos_have_no_mean_of_psnr():
    _, reference = pair(8)
    made = compare_videos(reference, reference.clone(), Apart())
    found = json.loads(made.scores)
    assert found["psnr"] == {"unit": "dB", "mean": None, "per_frame": [None] * 8}
    assert found["lpips"]["mean"] == 0
    assert "PSNR: infinite, every frame is identical." in made.report
    assert torch.isfinite(made.plot).all()


def test_many_identical_frames_are_counted():
    images, reference = pair(9)
    images[1:] = reference[1:]
    assert compare_videos(images, reference).report.endswith("frame 1, 2, 3, 4, 5 and 3 more.")


def test_the_report_names_the_frames_with_the_lowest_and_the_highest_score():
    images, reference = pair()
    made = compare_videos(images, reference)
    lines = made.report.splitlines()
    assert lines[0] == "Against the reference: 4 frames of 24x20."
    low, high = made.psnr.min(), made.psnr.max()
    assert lines[1] == (
        f"PSNR (dB, higher is nearer): mean {made.psnr.mean():.2f}, from {low:.2f} at frame 3 to {high:.2f} at frame 0."
    )
    assert lines[2].startswith(f"SSIM (1 is identical): mean {made.ssim.mean():.4f}, from ")


# the plot


def columns(plot: torch.Tensor, colour: tuple[int, int, int], panel: int) -> list[int]:
    """Columns in which a panel's field has a colour."""
    rows = slice(TOP + PANEL * panel + 40, TOP + PANEL * (panel + 1) - 16)
    found = (plot[0, rows, LEFT + 4 :] * 255 - torch.tensor(colour)).abs().amax(-1) < 40
    return (found.any(dim=0).nonzero().flatten() + LEFT + 4).tolist()


def test_there_is_a_panel_for_every_score():
    images, reference = pair()
    plot = compare_videos(images, reference, Apart()).plot
    assert plot.dtype == torch.float32 and 0 <= plot.min() and plot.max() <= 1
    two = compare_videos(images, reference).plot
    assert plot.shape[1] - two.shape[1] == PANEL
    for panel in range(3):
        assert max(columns(plot, CURVE, panel)) == pytest.approx(RIGHT, abs=3)
        assert len(columns(plot, MEAN, panel)) > 300


def test_an_identical_frame_is_a_dot_and_a_gap_in_the_curve():
    images, reference = pair(5)
    images[2] = reference[2]
    plot = compare_videos(images, reference).plot
    middle = (LEFT + RIGHT) // 2
    dots = columns(plot, SAME, 0)
    assert dots and all(abs(column - middle) < 8 for column in dots)
    assert not any(abs(column - middle) < 100 for column in columns(plot, CURVE, 0))
    assert columns(plot, SAME, 1) == []


def test_rounding_does_not_fill_a_panel():
    """Equal videos: SSIM is 1 but for rounding, and its curve is flat."""
    rounded = torch.tensor([1.0, 1.0 - 6e-8] * 4, dtype=torch.float64)
    plot = video_scores_plot([ScoreCurve("SSIM", "1 is identical", rounded, float(rounded.mean()), ".4f")], "title")
    field = (plot[0, TOP + 40 : TOP + PANEL - 16] * 255 - torch.tensor(CURVE)).abs().amax(-1) < 40
    assert 1 <= field.any(dim=1).sum() < 12


def test_one_frame_is_a_dot():
    images, reference = pair(1)
    made = compare_videos(images, reference)
    assert made.report.startswith("Against the reference: 1 frame of 24x20.")
    assert all(abs(column - (LEFT + RIGHT) // 2) < 8 for column in columns(made.plot, CURVE, 0))


# what comes in


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_videos_are_measured_in_colour_and_that_is_said(channels):
    images, reference = pair()
    given = images[..., :1] if channels == 1 else torch.cat([images, torch.zeros(4, 20, 24, 1)], dim=-1)
    colour = images[..., :1].repeat(1, 1, 1, 3) if channels == 1 else images
    made = compare_videos(given, reference)
    torch.testing.assert_close(made.psnr, compare_videos(colour, reference).psnr)
    assert made.report.endswith("images: grey, repeated to RGB." if channels == 1 else "images: alpha dropped.")
    assert "reference: " in compare_videos(reference, given).report.splitlines()[-1]


def test_the_watch_is_told_of_every_frame_for_every_score():
    images, reference = pair()
    totals, told = [], []
    compare_videos(images, reference, watch=lambda total: totals.append(total) or told.append)
    assert totals == [4, 4]
    assert sum(told) == 8


def test_psnr_without_a_watch_is_the_same():
    images, reference = pair()
    assert torch.equal(signal_to_noise(images, reference), compare_videos(images, reference).psnr)


@pytest.mark.parametrize(
    ("images", "reference", "message"),
    [
        (pair(4)[0], pair(3)[0], r"images has 4 frames, reference has 3: make both equally long, .* \(length 3\)"),
        (pair()[0], pair()[0][:, :18, :22], "images is 24x20, reference is 22x18: scale one of them"),
        (pair()[0] * math.nan, pair()[0], "images has pixels that are not numbers .* in frame 0, 1, 2, 3 of 4"),
        (pair()[0], pair()[0] / 0, "reference has pixels that are not numbers"),
        (pair()[0][..., :2], pair()[0], "images has 2 channels"),
    ],
)
def test_bad_input_is_named(images, reference, message):
    with pytest.raises(ValueError, match=message):
        compare_videos(images, reference)
