"""adjacent_distances: chunks change nothing and every frame is seen once. SSIM equals kornia's golden numbers."""

from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from pack.frames.perceptual_distance import adjacent_distances, to_lpips_range
from pack.frames.structural_similarity import SSIMMetric


def scored(frames: torch.Tensor, chunk: int) -> tuple[torch.Tensor, int]:
    seen = 0

    def features(images: torch.Tensor) -> list[torch.Tensor]:
        nonlocal seen
        seen += len(images)
        return [images.mean(dim=(1, 2)), images.amax(dim=(1, 2))]

    def distance(these, those) -> torch.Tensor:
        return sum((a - b).abs().sum(dim=1) for a, b in zip(these, those, strict=True))

    return adjacent_distances(frames, features, distance, chunk), seen


@pytest.mark.parametrize("frames", [2, 3, 9])
@pytest.mark.parametrize("chunk", [1, 2, 4, 100])
def test_chunks_change_nothing_and_each_frame_is_seen_once(frames, chunk):
    video = torch.rand(frames, 5, 6, 3, generator=torch.Generator().manual_seed(frames))
    naive = [
        (a.mean((0, 1)) - b.mean((0, 1))).abs().sum() + (a.amax((0, 1)) - b.amax((0, 1))).abs().sum()
        for a, b in pairwise(video)
    ]
    found, seen = scored(video, chunk)
    torch.testing.assert_close(found, torch.stack(naive))
    assert seen == frames


def test_the_lpips_range_is_minus_one_to_one_channels_first():
    image = torch.tensor([0.0, 0.5, 1.0]).expand(1, 2, 2, 3)
    assert to_lpips_range(image)[0, :, 0, 0].tolist() == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize("sequence", ["seq0", "seq1"])
def test_ssim_equals_the_golden_numbers(golden, sequence):
    data = load_file(golden("lpips/lpips_ssim.safetensors"))
    expected = 1 - data[f"ssim.same.{sequence}_adjacent"]
    torch.testing.assert_close(SSIMMetric().adjacent(data[sequence] / 255), expected, atol=1e-4, rtol=0)


def test_ssim_on_the_breakpoint_clip(golden):
    data = load_file(golden("lpips/breakpoint.safetensors"))
    found = SSIMMetric().adjacent(data["clip"] / 255)
    torch.testing.assert_close(found, data["A.ssim.adjacent"], atol=1e-4, rtol=0)


def test_two_frames_have_one_distance_and_equal_frames_none():
    video = torch.rand(1, 16, 16, 3).expand(2, -1, -1, -1)
    torch.testing.assert_close(SSIMMetric().adjacent(video), torch.zeros(1), atol=1e-6, rtol=0)


def test_ssim_between_pictures_is_that_of_a_video_of_both():
    these, those = torch.rand(2, 5, 16, 20, 3, generator=torch.Generator().manual_seed(4))
    naive = torch.cat([SSIMMetric().adjacent(torch.stack(pair)) for pair in zip(these, those, strict=True)])
    assert torch.equal(SSIMMetric().between(these, those), naive)
    with pytest.raises(ValueError, match="zip"):
        SSIMMetric().between(these, those[:4])


@pytest.mark.parametrize(("height", "width"), [(5, 64), (64, 5), (1, 1)])
def test_pictures_smaller_than_half_a_window_are_named(height, width):
    with pytest.raises(ValueError, match=f"frames are {width}x{height} pixels, 1-SSIM needs at least 6x6: make them"):
        SSIMMetric().adjacent(torch.rand(2, height, width, 3))
    assert SSIMMetric().adjacent(torch.rand(2, 6, 6, 3)).isfinite().all()
