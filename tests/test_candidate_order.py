"""check_reversed: forward videos are refused; backward ones, loops, and what cannot be told are not."""

import pytest
import torch

from pack.frames.candidate_order import check_reversed
from pack.frames.structural_similarity import SSIMMetric

REFUSED = "candidates begin like the first keyframe and end like the last one, so they were not made backwards"


class Colour:
    """The mean difference of colours."""

    name = "colour"

    def between(self, these, those):
        return (these - those).abs().mean(dim=(1, 2, 3))


def picture(seed: int, height: int = 96, width: int = 128) -> torch.Tensor:
    """Broad shapes, and grain as a photograph has it, [1,H,W,3]."""
    generator = torch.Generator().manual_seed(seed)
    shapes = torch.rand(1, 3, 6, 8, generator=generator)
    grain = torch.rand(1, 3, height, width, generator=generator)
    return (0.7 * torch.nn.functional.interpolate(shapes, (height, width)) + 0.3 * grain).movedim(1, -1)


def between(first: torch.Tensor, last: torch.Tensor, length: int = 9) -> torch.Tensor:
    """A cross-fade, [N,H,W,3]."""
    share = torch.linspace(0, 1, length)[:, None, None, None]
    return (1 - share) * first + share * last


def soft(frames: torch.Tensor) -> torch.Tensor:
    """As an early estimate shows them: no detail, little contrast."""
    blurred = torch.nn.functional.avg_pool2d(frames.movedim(-1, 1), 9, 1, 4, count_include_pad=False).movedim(1, -1)
    return 0.5 + 0.4 * (blurred - 0.5)


@pytest.mark.parametrize("metric", [Colour(), SSIMMetric()], ids=["colour", "ssim"])
@pytest.mark.parametrize("seen", [lambda frames: frames, soft], ids=["sharp", "soft"])
def test_only_a_forward_video_is_refused(metric, seen):
    ends = picture(1), picture(2)
    forwards = seen(between(*ends))
    check_reversed(forwards.flip(0), ends, metric)
    with pytest.raises(ValueError, match=f"{REFUSED}: connect 'Reverse Keyframes' .* bypassed"):
        check_reversed(forwards, ends, metric)


def test_the_keyframes_may_have_another_size():
    ends = picture(1, 90, 120), picture(2, 90, 120)
    forwards = between(picture(1), picture(2))
    check_reversed(forwards.flip(0), ends, Colour())
    large = torch.nn.functional.interpolate(between(*ends).movedim(-1, 1), (200, 300)).movedim(1, -1)
    with pytest.raises(ValueError, match=REFUSED):
        check_reversed(large, ends, Colour())


def test_a_loop_is_not_refused():
    one, other = picture(1), picture(3)
    there_and_back = torch.cat([between(one, other), between(other, one)[1:]])
    check_reversed(there_and_back, (one, one), SSIMMetric())
    nearly = (one + 0.005 * torch.rand(one.shape, generator=torch.Generator().manual_seed(5))).clamp(0, 1)
    check_reversed(torch.cat([one, there_and_back[1:-1], nearly]), (one, nearly), SSIMMetric())


@pytest.mark.parametrize("lacking", [0, 1, 2])
def test_a_track_without_both_ends_is_not_checked(lacking):
    ends = [picture(1), picture(2)]
    forwards = between(*ends)
    for end in range(2):
        if lacking in (end, 2):
            ends[end] = None
    check_reversed(forwards, tuple(ends), Colour())


@pytest.mark.parametrize(("begins", "stops"), [(0.0, 0.45), (0.55, 1.0), (0.0, 0.0), (1.0, 1.0)])
def test_both_ends_have_to_agree(begins, stops):
    """One end of the candidates is as in a backward video, however clearly the other is as in a forward one."""
    black, white = torch.zeros(1, 32, 32, 3), torch.ones(1, 32, 32, 3)
    check_reversed(between(black + begins, black + stops), (black, white), Colour())
    with pytest.raises(ValueError, match=REFUSED):
        check_reversed(between(black + 0.4, black + 0.6), (black, white), Colour())


def test_noise_is_not_refused():
    for seed in range(5):
        noise = torch.rand(9, 96, 128, 3, generator=torch.Generator().manual_seed(seed))
        check_reversed(noise, (picture(1), picture(2)), SSIMMetric())


def test_five_small_pairs_are_what_it_costs():
    seen = []

    class Spy(Colour):
        def between(self, these, those):
            seen.append((tuple(these.shape), tuple(those.shape)))
            return super().between(these, those)

    check_reversed(torch.zeros(9, 480, 832, 3), (torch.zeros(1, 480, 832, 3), torch.ones(1, 480, 832, 3)), Spy())
    assert seen == [((5, 64, 111, 3), (5, 64, 111, 3))]
