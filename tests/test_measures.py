"""The measures of a made clip against the true one."""

import math

import pytest
import torch

from pack.demo import measures, world

CLIP = world.clip(1_000_001)


@pytest.fixture(scope="module")
def distance():
    """The form of the distance on a random network with TAESD's layers."""
    generator = torch.Generator().manual_seed(0)
    layers = [torch.nn.Conv2d(3, 4, 3, padding=1)]
    layers += [torch.nn.Conv2d(4, 4, 3, padding=1, stride=2 if n in (2, 6, 10) else 1) for n in range(1, 14)]
    for layer in layers:
        for value in layer.parameters():
            value.data = torch.randn(value.shape, generator=generator) * 0.3
    return measures.PictureDistance(torch.nn.Sequential(*layers))


def test_the_truth_is_perfect(distance):
    found = measures.measured(CLIP.frames, CLIP, distance)
    assert found["psnr"] == found["psnr_moving"] == 100
    assert found["ssim"] == pytest.approx(1)
    assert found["perceptual"] == 0


def test_psnr_is_of_the_inner_frames_alone(distance):
    frames = CLIP.frames.clone()
    frames[[0, -1]] = 0
    assert measures.measured(frames, CLIP, distance)["psnr"] == 100
    frames = (CLIP.frames * 0.5 + 0.25 + 0.1) - 0.1  # any change
    error = (frames - CLIP.frames)[1:-1].square().mean()
    assert measures.measured(frames, CLIP, distance)["psnr"] == pytest.approx(-10 * math.log10(error), rel=1e-5)


def test_an_error_outside_the_moving_region_is_not_in_it(distance):
    frames = torch.where(CLIP.moving[..., None], CLIP.frames, 1 - CLIP.frames)
    found = measures.measured(frames, CLIP, distance)
    assert found["psnr_moving"] == 100
    assert found["psnr"] < 15


def test_the_distance_is_the_formula(distance):
    a, b = torch.rand(2, 2, 32, 32, 3, generator=torch.Generator().manual_seed(1))
    total = torch.zeros(2)
    x, y = a.movedim(-1, 1), b.movedim(-1, 1)
    for index, layer in enumerate(distance.encoder):
        x, y = layer(x), layer(y)
        if index in measures.TAPS:
            apart = x / x.norm(dim=1, keepdim=True) - y / y.norm(dim=1, keepdim=True)
            total += (apart**2).sum(dim=1).mean(dim=(1, 2)) / len(measures.TAPS)
    torch.testing.assert_close(distance.between(distance.features(a), distance.features(b)), total)


def test_a_jump_onto_the_last_frame_shows(distance):
    share = torch.linspace(0, 0.5, 33)[:, None, None, None]
    frames = (1 - share) * CLIP.frames[:1] + share * CLIP.frames[-1:]
    smooth = measures.measured(frames, CLIP, distance)["tail_jump"]
    frames[-1] = CLIP.frames[-1]
    assert smooth == pytest.approx(1, abs=0.6)
    assert measures.measured(frames, CLIP, distance)["tail_jump"] > 5 * smooth


def test_another_length_is_refused(distance):
    with pytest.raises(ValueError, match=r"frames has shape \[17, 64, 64, 3\], the true clip \[33, 64, 64, 3\]"):
        measures.measured(CLIP.frames[:17], CLIP, distance)


def test_a_rhythm_is_the_largest_phase_over_the_smallest():
    from pack.demo.measures import rhythm, step_sizes

    still = torch.zeros(33, 4, 4, 3)
    still[::4] += 0.1  # a picture that jumps and jumps back every four frames
    sizes = step_sizes(still)
    assert sizes.shape == (32,)
    torch.testing.assert_close(sizes[:4], torch.tensor([0.1, 0, 0, 0.1]))
    even = torch.tensor([[1.0, 2, 1, 2] * 8, [2.0, 1, 2, 1] * 8])
    assert rhythm(even) == pytest.approx(1)
    assert rhythm(torch.tensor([[3.0, 2, 2, 2] * 8])) == pytest.approx(1.5)
