"""Two directions become one: official guidance and weights, naive fusion, time reversal, the official fused step."""

import pytest
import torch
from safetensors.torch import load_file

from pack.samplers.direction_fusion import FUSIONS, SCHEDULES, fused, fusion_weights, guidance_ramp
from pack.samplers.recurrence import euler_step


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# guidance


@pytest.mark.parametrize(("lowest", "highest"), [(1.0, 3.0), (0.0, 7.5), (2.5, 2.5)])
@pytest.mark.parametrize("frames", [2, 5, 14, 25])
def test_guidance_rises_evenly_from_a_pass_s_own_keyframe(frames, lowest, highest):
    expected = [lowest + (highest - lowest) * n / (frames - 1) for n in range(frames)]
    assert guidance_ramp(frames, lowest, highest, "per_direction").tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("lowest", "highest"), [(1.0, 3.0), (0.0, 7.5), (2.5, 2.5)])
@pytest.mark.parametrize("frames", [2, 5, 14, 25])
def test_symmetric_guidance_is_the_middle_of_both_in_every_frame(frames, lowest, highest):
    ramp = guidance_ramp(frames, lowest, highest, "symmetric")
    assert ramp.tolist() == pytest.approx([(lowest + highest) / 2] * frames, rel=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_frame_has_one_scale(schedule):
    assert guidance_ramp(1, 2.0, 2.0, schedule).tolist() == [2.0]


@pytest.mark.parametrize(("run", "schedule"), [("step0_avg", "symmetric"), ("step0_wavg", "per_direction")])
def test_guidance_is_that_of_the_official_run(golden, run, schedule):
    guidance = load_file(golden("svd/gi_step.safetensors"))[f"{run}/guidance"]
    torch.testing.assert_close(guidance_ramp(5, 1.0, 3.0, schedule), guidance, atol=1e-6, rtol=0)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_lowest_scale_above_the_highest_is_refused(schedule):
    with pytest.raises(ValueError, match="min_cfg 3.5 is above max_cfg 3: exchange them"):
        guidance_ramp(5, 3.5, 3.0, schedule)


def test_an_unknown_schedule_or_fusion_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="cfg_schedule must be one of symmetric, per_direction, got 'linear'"):
        guidance_ramp(5, 1.0, 3.0, "linear")
    with pytest.raises(ValueError, match="fuse must be one of mean, linear, got 'symmetric'"):
        fusion_weights(5, "symmetric")


# weights and fusion


@pytest.mark.parametrize("frames", [2, 3, 5, 25])
def test_weights_are_one_half_or_fall_evenly_from_the_first_frame_to_the_last(frames):
    assert fusion_weights(frames, "mean").tolist() == [0.5] * frames
    linear = fusion_weights(frames, "linear").tolist()
    assert linear == pytest.approx([1 - n / (frames - 1) for n in range(frames)], abs=1e-6)
    assert (linear[0], linear[-1]) == (1, 0)


def test_linear_weights_are_those_of_the_official_run(golden):
    weights = load_file(golden("svd/trf_runs.safetensors"))["blend_weight_fwd"]
    torch.testing.assert_close(fusion_weights(5, "linear"), weights, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 4, 2, 3), (5, 2, 2, 2, 2)])
def test_every_frame_is_a_weighted_mean_with_the_backward_frame_of_the_same_time(shape):
    forward, backward, weights = random(*shape), random(*shape, seed=1), random(5, seed=2)
    copies = [item.clone() for item in (forward, backward, weights)]
    result = fused(forward, backward, weights)
    for n in range(5):
        expected = weights[n] * forward[n] + (1 - weights[n]) * backward[4 - n]
        torch.testing.assert_close(result[n], expected)
    assert all(torch.equal(*pair) for pair in zip((forward, backward, weights), copies, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_the_type_of_the_predictions_is_kept(dtype):
    forward, backward = random(5, 2).to(dtype), random(5, 2, seed=1).to(dtype)
    assert fused(forward, backward, fusion_weights(5, "linear")).dtype == dtype


@pytest.mark.parametrize("fuse", FUSIONS)
def test_directions_that_agree_are_left_alone(fuse):
    video = random(5, 4, 2, 3)
    torch.testing.assert_close(fused(video, video.flip(0), fusion_weights(5, fuse)), video)


def test_linear_fusion_takes_each_end_from_the_pass_that_starts_there():
    forward, backward = random(5, 2), random(5, 2, seed=1)
    result = fused(forward, backward, fusion_weights(5, "linear"))
    assert torch.equal(result[0], forward[0])
    assert torch.equal(result[4], backward[0])


@pytest.mark.parametrize(("fuse", "frames"), [("mean", 1), ("mean", 2), ("mean", 5), ("linear", 2), ("linear", 5)])
def test_exchanging_the_passes_plays_the_fused_video_backwards(fuse, frames):
    forward, backward = random(frames, 4, 2, 3), random(frames, 4, 2, 3, seed=1)
    weights = fusion_weights(frames, fuse)
    exchanged = fused(backward, forward, weights)
    torch.testing.assert_close(exchanged, fused(forward, backward, weights).flip(0))


@pytest.mark.parametrize("fuse", FUSIONS)
def test_fusing_euler_steps_is_the_euler_step_of_the_fused_estimate(fuse):
    """methods.md 8, identity 8."""
    x, forward, backward = random(5, 4, 2, 3), random(5, 4, 2, 3, seed=1), random(5, 4, 2, 3, seed=2)
    sigma, following = torch.tensor([3.0, 1.3], dtype=torch.float64)
    weights = fusion_weights(5, fuse)
    steps = euler_step(x, forward, sigma, following), euler_step(x.flip(0), backward, sigma, following)
    expected = euler_step(x, fused(forward, backward, weights), sigma, following)
    torch.testing.assert_close(fused(*steps, weights), expected)


@pytest.mark.parametrize(
    ("run", "outputs", "schedule", "fuse"),
    [
        ("step0_avg", "step0_avg", "symmetric", "mean"),
        ("step3_avg", "step3_avg", "symmetric", "mean"),
        ("step0_wavg", "step0_avg", "per_direction", "linear"),  # both runs start from the same x
    ],
)
def test_guided_and_fused_outputs_of_the_network_are_the_official_ones(golden, run, outputs, schedule, fuse):
    data = load_file(golden("svd/gi_step.safetensors"))
    guidance = guidance_ramp(5, 1.0, 3.0, schedule).view(-1, 1, 1, 1)
    x, sigma = data[f"{outputs}/x"], data[f"{outputs}/sigma"]
    weights = fusion_weights(5, fuse)
    guided_v, guided_d = [], []
    for way, video in (("fwd", x), ("bwd", x.flip(0))):
        uncond, cond = (data[f"{outputs}/v_{way}_{branch}"] for branch in ("uncond", "cond"))
        v = uncond + guidance * (cond - uncond)  # each pass in its own order
        guided_v.append(v)
        guided_d.append(video / (sigma**2 + 1) - v * sigma / (sigma**2 + 1).sqrt())
    torch.testing.assert_close(fused(*guided_v, weights), data[f"{run}/v_fused"], atol=2e-5, rtol=0)
    torch.testing.assert_close(fused(*guided_d, weights), data[f"{run}/denoised"], atol=2e-4, rtol=0)
