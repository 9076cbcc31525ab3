"""The mathematics that runs beside a model, on tensors of real sizes that say they lie on a GPU and hold nothing.

An operation that mixes devices fails; what is formed in float32 is counted in bytes.
"""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from pack.patches.keyframe_attention import MEANS_BYTES, anchored_bias, cosine_taper, frame_means
from pack.patches.temporal_maps import FORMED_AT_ONCE, attended, temporal_maps, turned
from pack.patches.temporal_rope import changed_rotations, rotation_change
from pack.samplers.direction_fusion import fused, fusion_weights, guidance_ramp
from pack.samplers.motion_distillation import distilled
from pack.samplers.recurrence import euler_step, noised_again
from pack.samplers.vibid import vibid_step

# SVD-XT at 1024 x 576: frames, channels, height and width of its latents; heads and channels of its largest layer
SVD, SVD_HEADS, SVD_CHANNELS = (25, 4, 72, 128), 5, 320
# Wan 14B at 832 x 480, 81 frames: latent frames, tokens of a frame, heads, channels of a head, words
FRAMES, TOKENS, HEADS, HEAD, WORDS = 21, 30 * 52, 40, 128, 512


class Float32(TorchDispatchMode):
    """The largest float32 tensor that an operation made on the GPU, in bytes."""

    largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.is_cuda and made.dtype == torch.float32:
            self.largest = max(self.largest, made.numel() * made.element_size())
        return made


@pytest.fixture
def gpu():
    """Makes half-precision tensors on a GPU that is not there."""
    with FakeTensorMode():
        yield lambda *shape, dtype=torch.half: torch.empty(*shape, dtype=dtype, device="cuda")


def test_temporal_maps_stay_on_the_gpu_and_are_formed_a_few_rows_at_a_time(gpu):
    rows = SVD[2] * SVD[3]
    q, k, v = (gpu(rows, SVD[0], SVD_CHANNELS) for _ in range(3))
    with Float32() as seen:
        maps = temporal_maps(q, k, SVD_HEADS)
        made = attended(turned(maps), v)
    assert maps.is_cuda and maps.dtype == made.dtype == torch.half and made.shape == v.shape
    assert 0 < seen.largest <= 4 * FORMED_AT_ONCE


def test_the_mean_attention_of_wan_14b_stays_on_the_gpu_and_is_formed_in_pieces(gpu):
    q, k = gpu(1, FRAMES, TOKENS, HEADS * HEAD, dtype=torch.bfloat16), gpu(1, WORDS, HEADS * HEAD, dtype=torch.bfloat16)
    anchors = [0, FRAMES - 1]
    with Float32() as seen:
        means = frame_means(q, k, HEADS)
        bias = anchored_bias(means, anchors, cosine_taper(FRAMES, anchors, 0.7, 0.3), 5e-4)
        frame_means(q, k, HEADS, bias)
    assert bias.is_cuda and bias.shape == (1, FRAMES, WORDS)
    assert 0 < seen.largest <= MEANS_BYTES


@pytest.mark.parametrize("mode", ["amplitude", "phase", "warp"])
def test_a_table_of_rotations_stays_on_the_gpu(gpu, mode):
    rotations = gpu(1, 1, FRAMES * TOKENS, HEAD // 2, 2, 2, dtype=torch.float32)
    change = rotation_change(torch.linspace(0.94, 1.06, FRAMES, dtype=torch.float64), mode, 44, 1e4)
    change = change.to(rotations).repeat_interleave(TOKENS, dim=0)
    assert changed_rotations(rotations, change).is_cuda


def test_both_directions_are_fused_on_the_gpu_in_their_own_precision(gpu):
    ahead, back = gpu(*SVD), gpu(*SVD)
    with Float32() as seen:
        made = fused(ahead, back, fusion_weights(SVD[0], "linear"))
        scaled = guidance_ramp(SVD[0], 1.0, 3.0, "per_direction").to(made).view(-1, 1, 1, 1) * made
    assert made.is_cuda and made.dtype == scaled.dtype == torch.half
    assert seen.largest < ahead.numel()  # no copy of the video


class Passes:
    """Both directions of a guider, on the GPU."""

    def __init__(self, gpu):
        self.keyframes = gpu(1, *SVD[1:]), gpu(1, *SVD[1:])

    def predict(self, x, sigma, backward):
        return x * 0.5, x * 0.25


def test_the_steps_of_svds_samplers_stay_on_the_gpu_in_their_own_precision(gpu):
    x, passes = gpu(*SVD), Passes(gpu)
    levels = torch.tensor([14.0, 7.0], device="cuda")
    with Float32() as seen:
        moved, estimate = vibid_step(passes, x, *levels, lambda *_: gpu(*SVD))
        shifted = distilled(estimate, *passes.keyframes, 1.0, True)
        again = noised_again(euler_step(moved, shifted, *levels), *levels, gpu(*SVD))
    assert again.is_cuda and again.dtype == torch.half
    assert seen.largest < x.numel()
