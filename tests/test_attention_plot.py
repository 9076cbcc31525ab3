"""The picture and the words of what Keyframe Attention did."""

import torch

from pack.frames.attention_plot import (
    AFTER,
    BEFORE,
    GAP,
    HEIGHT,
    MARGIN,
    PANEL,
    AttentionCurve,
    attention_plot,
    attention_report,
)

WAY = torch.linspace(0, 1, 9)


def curve(bend: float) -> AttentionCurve:
    bent = WAY + bend * torch.sin(torch.pi * WAY)
    return AttentionCurve(
        bent, WAY + bend / 2 * torch.sin(torch.pi * WAY), bend * torch.ones(9), bend / 2 * torch.ones(9)
    )


def pixels(plot: torch.Tensor, colour: tuple[int, int, int]) -> torch.Tensor:
    """Where a colour is, [n, 2] rows and columns."""
    return ((plot[0] * 255 - torch.tensor(colour)).abs().amax(-1) < 3).nonzero()


def test_there_is_one_panel_per_branch_and_the_picture_is_an_image():
    for count, names in ((1, ["text"]), (3, ["text", "first", "last"])):
        plot = attention_plot({name: curve(0.3) for name in names}, "title")
        assert plot.shape == (1, HEIGHT, MARGIN + PANEL * count, 3)
        assert plot.dtype == torch.float32 and 0 <= plot.min() and plot.max() <= 1


def test_the_curve_that_bends_more_is_drawn_higher():
    plot = attention_plot({"text": curve(0.4)}, "title")
    middle = MARGIN + (PANEL - GAP) // 2
    rows = [pixels(plot, colour) for colour in (BEFORE, AFTER)]
    before, after = (found[(found[:, 1] - middle).abs() < 3][:, 0].float().min() for found in rows)
    assert before < after


def test_places_far_beyond_the_ends_stay_on_the_panel():
    wild = AttentionCurve(WAY, 5 * WAY - 2, torch.ones(9), torch.zeros(9))
    found = pixels(attention_plot({"text": wild}, "title"), AFTER)
    drawn = found[found[:, 0] < 400]  # the legend lies below
    assert 130 < drawn[:, 0].min() and drawn[:, 0].max() < 372


def test_the_report_says_how_much_lies_off_the_way_between_the_ends():
    ends_do_not_count = AttentionCurve(WAY, WAY, torch.tensor([9.0, 0.2, 0.4, 9.0]), torch.tensor([9.0, 0.1, 0.2, 9.0]))
    report = attention_report({"first": ends_do_not_count}, "Step 5 of 20")
    assert report.startswith("Step 5 of 20.\n")
    assert "first picture: 30.0 % of the attention" in report and "15.0 % after" in report
