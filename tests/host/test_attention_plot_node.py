"""Attention Plot: it shows what the bias did, agrees with the bias itself, and says why it cannot draw."""

import pytest
import torch

WINDOW = ("standard_static", 1, False, "pyramid", False)


@pytest.fixture
def parts(host, load_wan, conditioned, with_attention):
    """Noise, guider, sigmas and latent for the plot. attention: settings of Keyframe Attention, None without it."""

    def make(attention, steps=6):
        nodes = host.NODE_CLASS_MAPPINGS
        model = with_attention(load_wan("flf2v"), attention)
        guider = nodes["CFGGuider"].execute(model, *conditioned("flf2v"), 3.0).args[0]
        sigmas = nodes["BasicScheduler"].execute(model, "simple", steps, 1.0).args[0]
        return nodes["RandomNoise"].execute(1).args[0], guider, sigmas, {"samples": torch.zeros(1, 16, 5, 4, 6)}

    return make


def plotted(parts, attention, step):
    from pack.nodes.attention import AttentionPlot

    return AttentionPlot.execute(*parts(attention), step).args


def test_the_bias_brings_attention_nearer_to_the_even_way(parts):
    from pack.patches.attention_record_host import record_attention

    found = record_attention(*parts({"blocks": "0-1"}), 1)
    assert list(found) == ["text", "first", "last"]
    for branch in found.values():
        before, after = branch.distances
        assert branch.blocks == 2
        assert before[0] == before[-1] == after[0] == after[-1] == 0
        assert (after[1:-1] < before[1:-1]).all()
        assert branch.places[0][0] == branch.places[1][0] == 0
        torch.testing.assert_close(branch.places[1][-1], torch.tensor(1.0))


def test_more_strength_is_nearer(parts):
    from pack.patches.attention_record_host import record_attention

    weak, strong = (
        record_attention(*parts({"blocks": "0-1", "strength": strength}), 1)["text"].distances[1].sum()
        for strength in (0.5, 1.0)
    )
    assert strong < weak


def test_the_node_gives_a_picture_and_a_report(parts):
    plot, report = plotted(parts, {"blocks": "0-1"}, 2)
    assert plot.ndim == 4 and plot.shape[0] == 1 and plot.shape[-1] == 3
    assert report.startswith("Keyframe Attention at step 2 of 6, biased blocks: 2.\nprompt: ")


def test_drawing_twice_gives_the_same_picture(parts):
    first, second = (plotted(parts, {"blocks": "0-1"}, 2)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_with_context_windows_the_first_window_is_drawn(host, parts, load_wan, conditioned, with_attention):
    from pack.nodes.attention import AttentionPlot

    nodes = host.NODE_CLASS_MAPPINGS
    windows = nodes["WanContextWindowsManual"].execute(load_wan("flf2v"), 17, 8, *WINDOW)
    model = with_attention(windows.args[0], {"blocks": "0-1"})
    guider = nodes["CFGGuider"].execute(model, *conditioned("flf2v", frames=9), 3.0).args[0]
    noise, _, sigmas, _ = parts(None)
    plot, report = AttentionPlot.execute(noise, guider, sigmas, {"samples": torch.zeros(1, 16, 9, 4, 6)}, 1).args
    assert plot.ndim == 4 and "biased blocks: 2" in report


def test_a_schedule_of_one_step_has_nothing_to_draw(parts):
    from pack.nodes.attention import AttentionPlot

    with pytest.raises(ValueError, match="sigmas has one step; step 0 is never biased"):
        AttentionPlot.execute(*parts({"blocks": "0-1"}, steps=1), 1)


@pytest.mark.parametrize(
    ("attention", "step", "message"),
    [
        (None, 1, "no Keyframe Attention: put that node between the model and the guider"),
        ({"blocks": "0-1"}, 0, "step is 0: use a whole number from 1 to 10000; the nearest is 1"),
        ({"blocks": "0-1"}, 6, "step is 6; of this schedule of 6 steps, 1 to 5 can be drawn"),
        ({"blocks": "0-1"}, 5, "at step 5 of 6 no block is biased: choose a step up to end_percent"),
        ({"blocks": "5-12"}, 1, "at step 1 of 6 no block is biased: .* blocks that the model has"),
    ],
)
def test_what_cannot_be_drawn_is_said(parts, attention, step, message):
    with pytest.raises(ValueError, match=message):
        plotted(parts, attention, step)
