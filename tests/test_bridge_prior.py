"""prior_between: one keyframe, passages of every kind, what lies outside them, middle keyframes, refusals."""

import math

import pytest
import torch

from pack.frames.bridge_prior import KINDS, prior_between

SHAPE = (3, 2, 2)


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def numbers(values, places, frames, kind):
    """The prior of keyframes that are one number each."""
    return prior_between(torch.tensor(values, dtype=torch.float64)[:, None], places, frames, kind)[:, 0].tolist()


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_one_keyframe_is_every_frame(kind, place):
    still = random(1, *SHAPE)
    assert torch.equal(prior_between(still, [place], 5, kind), still.expand(5, -1, -1, -1))


@pytest.mark.parametrize("kind", KINDS)
def test_before_the_first_and_after_the_last_keyframe_it_is_held(kind):
    stills = random(2, *SHAPE)
    made = prior_between(stills, [2, 5], 9, kind)
    assert made.shape == (9, *SHAPE)
    for frame in (0, 1, 2):
        assert torch.equal(made[frame], stills[0])
    for frame in (5, 6, 7, 8):
        assert torch.equal(made[frame], stills[1])
    assert not torch.equal(made[4], stills[0])
    assert torch.equal(made[4], stills[1]) == (kind == "nearest")


@pytest.mark.parametrize("kind", ["linear", "pixel"])
def test_linear_goes_in_even_steps_from_keyframe_to_keyframe(kind):
    assert numbers([0.0, 10.0, 4.0], [0, 4, 6], 7, kind) == [0, 2.5, 5, 7.5, 10, 7, 4]


def test_nearest_holds_each_until_half_way():
    assert numbers([1.0, 2.0], [0, 4], 5, "nearest") == [1, 1, 1, 2, 2]
    assert numbers([1.0, 2.0], [0, 5], 6, "nearest") == [1, 1, 1, 2, 2, 2]
    assert numbers([1.0, 2.0, 3.0], [1, 3, 6], 8, "nearest") == [1, 1, 1, 2, 2, 3, 3, 3]


def test_slerp_turns_evenly_at_one_length():
    """Between two arrows of length 2 that are 90 degrees apart, 18 degrees a frame."""
    stills = torch.tensor([[2.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    made = prior_between(stills, [0, 5], 6, "slerp")
    angles = [18 * math.pi / 180 * frame for frame in range(6)]
    expected = [[2 * math.cos(angle), 2 * math.sin(angle)] for angle in angles]
    torch.testing.assert_close(made, torch.tensor(expected, dtype=torch.float64))


def test_slerp_is_the_formula_over_the_whole_latent():
    stills = random(2, *SHAPE)
    made = prior_between(stills, [0, 4], 5, "slerp")
    first, last = stills.flatten(1)
    omega = torch.arccos(first @ last / (first.norm() * last.norm()))
    for frame in range(5):
        share = frame / 4
        weights = torch.sin((1 - share) * omega), torch.sin(share * omega)
        expected = (weights[0] * first + weights[1] * last) / torch.sin(omega)
        torch.testing.assert_close(made[frame].flatten(), expected)


@pytest.mark.parametrize("last", [0.0, 1.0, 3.0, -1.0])
def test_where_slerp_has_no_arc_it_is_linear(last):
    """No length, the same direction, the opposite one."""
    first = random(*SHAPE)
    stills = torch.stack([first, last * first])
    made, expected = (prior_between(stills, [0, 4], 5, kind) for kind in ("slerp", "linear"))
    torch.testing.assert_close(made, expected)


@pytest.mark.parametrize("kind", ["linear", "slerp"])
def test_played_backwards_it_is_the_passage_back(kind):
    stills = random(3, *SHAPE)
    made, back = prior_between(stills, [1, 3, 7], 9, kind), prior_between(stills.flip(0), [1, 5, 7], 9, kind)
    torch.testing.assert_close(made.flip(0), back)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_keyframes_are_in_it_bit_for_bit_in_their_own_type_and_left_alone(kind, dtype):
    stills = random(3, *SHAPE).to(dtype)
    copy = stills.clone()
    made = prior_between(stills, [0, 3, 7], 8, kind)
    assert made.dtype == dtype
    assert torch.equal(made[[0, 3, 7]], copy)
    made.zero_()
    assert torch.equal(stills, copy)


@pytest.mark.parametrize("kind", KINDS)
def test_keyframes_side_by_side_and_a_video_of_one_frame(kind):
    stills = random(2, *SHAPE)
    assert torch.equal(prior_between(stills, [0, 1], 2, kind), stills)
    assert torch.equal(prior_between(stills[:1], [0], 1, kind), stills[:1])


@pytest.mark.parametrize(
    ("places", "kind", "message"),
    [
        ([0, 4], "cubic", "kind must be one of linear, nearest, slerp, pixel, got 'cubic'"),
        ([], "linear", "keyframes is empty: connect first_image or last_image, or add a keyframe"),
        ([4, 0], "linear", "keyframes must rise from 0 to 4, got 4, 0"),
        ([0, 0], "linear", "keyframes must rise from 0 to 4, got 0, 0"),
        ([0, 5], "linear", "keyframes must rise from 0 to 4, got 0, 5"),
        ([-1, 4], "linear", "keyframes must rise from 0 to 4, got -1, 4"),
    ],
)
def test_bad_arguments_are_named(places, kind, message):
    with pytest.raises(ValueError, match=message):
        prior_between(random(2, *SHAPE), places, 5, kind)
