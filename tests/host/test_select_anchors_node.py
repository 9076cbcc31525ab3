"""InbetweenSelectAnchors: keyframes of other sizes, forward videos as candidates."""

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack

LENGTH = 33


@pytest.fixture(scope="module")
def node(host):
    from pack.nodes.anchors import SelectAnchors

    return SelectAnchors


@pytest.fixture
def track(pictures):
    """A track whose keyframes have another shape than the video."""
    made = KeyframeTrack(48, 32, LENGTH).with_keyframe(Keyframe(0, pictures(1, 80, 64)))
    return made.with_keyframe(Keyframe(-1, pictures(2, 64, 64)))


@pytest.fixture
def forward(track):
    """A cross-fade between the keyframes, with a flash on frame 21."""
    from pack.frames.fit_host import fitted_ends

    first, last = fitted_ends(track)
    share = torch.linspace(0, 1, LENGTH)[:, None, None, None]
    video = (1 - share) * first + share * last
    video[21] = 1 - video[21]
    return video


def test_the_defaults_of_the_node_are_those_of_the_settings(node):
    from dataclasses import asdict

    from pack.frames.anchor_settings import AnchorSettings

    defaults = asdict(AnchorSettings())
    assert {item.id: item.default for item in node.GET_SCHEMA().inputs if item.id in defaults} == defaults


@pytest.mark.parametrize("settings", [{}, {"score_on": "disagreement"}, {"score_on": "fixed", "fixed_alpha": 21 / 32}])
def test_every_way_of_measuring_runs_and_fixed_is_told_apart(node, track, forward, settings):
    calm = forward.clone()
    calm[21] = calm[20]
    made, anchors, where, alpha, plot, report = node.execute(track, calm.flip(0), forward=forward, **settings).args
    assert (where, alpha) == (21, 21 / 32)
    assert [item.frame for item in made.keyframes] == [0, 21, 32]
    assert torch.equal(anchors, calm[21][None])
    assert plot.shape == (1, 600, 1200, 3)
    assert ("the median" in report) is (settings.get("score_on") != "fixed")


def test_candidates_that_were_not_reversed_are_refused_whatever_the_keyframes_sizes(node, track, forward):
    node.execute(track, forward.flip(0))
    for score_on in ("reverse", "fixed"):
        with pytest.raises(ValueError, match="candidates begin like the first keyframe and end like the last one"):
            node.execute(track, forward, score_on=score_on)


@pytest.mark.parametrize("frame", [0, LENGTH - 1])
def test_a_track_with_one_end_takes_any_candidates(node, pictures, forward, frame):
    one = KeyframeTrack(48, 32, LENGTH).with_keyframe(Keyframe(frame, pictures(1, 48, 32)))
    assert node.execute(one, forward).args[2] == 21


def test_without_an_anchor_the_very_track_goes_on(node, track, forward):
    made, anchors, where, _, _, report = node.execute(track, forward.flip(0), min_break=90.0).args
    assert made is track
    assert torch.equal(anchors, torch.zeros(1, 32, 48, 3))
    assert 16 <= where <= 24
    assert "No anchor was added" in report
