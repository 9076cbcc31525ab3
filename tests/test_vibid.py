"""ViBiDSampler: naive steps for every option, the keyframe as a least-squares solution, the official first step."""

import math
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from pack.samplers.vibid import directed_step, sample_vibid, vibid_predictions, vibid_step, with_end

SIGMAS = torch.tensor([5.0, 2.0, 0.7, 0.0], dtype=torch.float64)
FRAMES, SHAPE = 5, (5, 2, 2, 3)


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Toy:
    """Two linear predictions per direction that mix the frames and depend on the level; notes what it is asked."""

    def __init__(self, frames=FRAMES):
        self.keyframes = (random(1, *SHAPE[1:], seed=1), random(1, *SHAPE[1:], seed=2))
        self.mixing = random(2, 2, frames, frames, seed=3) / frames**0.5  # [direction, guided or not, N, N]
        self.asked = []

    def predict(self, x, sigma, backward):
        self.asked.append((float(sigma), backward, x.clone()))
        guided, unguided = torch.einsum("gnm,mchw->gnchw", self.mixing[int(backward)], x.double()) / (1 + sigma)
        return (guided + self.keyframes[int(backward)]).to(x), unguided.to(x)


class Noise:
    """Unit noise from a seed; notes the levels it is asked for and what it gives."""

    def __init__(self, seed=4, shape=SHAPE):
        self.generator, self.shape, self.levels, self.given = torch.Generator().manual_seed(seed), shape, [], []

    def __call__(self, sigma, following):
        self.levels.append((float(sigma), float(following)))
        self.given.append(torch.randn(*self.shape, dtype=torch.float64, generator=self.generator))
        return self.given[-1]


def naive_pass(toy, x, sigma, following, backward, strength, cfg_pp):
    """One direction: the estimate with its end drawn to the other keyframe, then a step along (x - D_u) / sigma."""
    estimate, unguided = toy.predict(x, torch.tensor(sigma, dtype=torch.float64), backward)
    end = toy.keyframes[0 if backward else 1][0]
    estimate[-1] += strength * (end - estimate[-1])
    direction = (x - (unguided if cfg_pp else estimate)) / sigma
    return estimate + following * direction, estimate


def naive(toy, x, sigmas, noises, strength, cfg_pp, renoise):
    """Every step's x and estimate."""
    noises, steps = iter(noises), []
    for sigma, following in pairwise(sigmas):
        x, estimate = naive_pass(toy, x, sigma, following, False, strength, cfg_pp)
        level = following
        if renoise:
            x, level = x + math.sqrt(sigma**2 - following**2) * next(noises), sigma
        if level > 0:
            x, estimate = (v.flip(0) for v in naive_pass(toy, x.flip(0), level, following, True, strength, cfg_pp))
        steps.append((x, estimate))
    assert next(noises, None) is None
    return steps


def sampled(seed=4, frames=FRAMES, **options):
    shape = (frames, *SHAPE[1:])
    return sample_vibid(Toy(frames), 5 * random(*shape), SIGMAS, Noise(seed, shape), **options)


# the keyframe and the step


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.5, 1.0])
def test_only_the_last_frame_is_drawn_to_the_keyframe(strength):
    denoised, keyframe = random(*SHAPE), random(1, *SHAPE[1:], seed=1)
    copies = denoised.clone(), keyframe.clone()
    ended = with_end(denoised, keyframe, strength)
    assert torch.equal(ended[:-1], denoised[:-1])
    torch.testing.assert_close(ended[-1], (1 - strength) * denoised[-1] + strength * keyframe[0])
    assert torch.equal(denoised, copies[0])
    assert torch.equal(keyframe, copies[1])
    if strength in (0, 1):
        assert torch.equal(ended[-1:], keyframe if strength else denoised[-1:])


def test_five_conjugate_gradient_steps_of_the_official_problem_give_the_copy():
    """min |A x - y|, A picks the last frame, started at the estimate: A^T A is a projector, so one step ends it."""
    denoised, keyframe = random(*SHAPE), random(1, *SHAPE[1:], seed=1)

    def projected(x):
        picked = torch.zeros_like(x)
        picked[-1] = x[-1]
        return picked

    x, target = denoised, projected(keyframe.expand(SHAPE))
    residual = target - projected(x)
    towards = residual
    for _ in range(5):
        size = residual.square().sum()
        if size < 1e-20:  # 0 / 0 in the official code
            break
        length = size / (towards * projected(towards)).sum()
        x = x + length * towards
        residual = residual - length * projected(towards)
        towards = residual + residual.square().sum() / size * towards
    torch.testing.assert_close(with_end(denoised, keyframe, 1.0), x, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_keyframe_of_another_type_takes_that_of_the_estimate(dtype):
    denoised, keyframe = random(*SHAPE).float(), random(1, *SHAPE[1:], seed=1).to(dtype)
    ended = with_end(denoised, keyframe, 1.0)
    assert ended.dtype == torch.float32
    assert torch.equal(ended[-1:], keyframe.float())


def test_a_directed_step_goes_from_one_estimate_along_the_other_s_direction():
    x, denoised, unguided = (random(*SHAPE, seed=seed) for seed in range(3))
    sigma, following, none = torch.tensor([2.0, 0.7, 0.0], dtype=torch.float64)
    noise = (x - unguided) / 2.0
    torch.testing.assert_close(directed_step(x, denoised, unguided, sigma, following), denoised + 0.7 * noise)
    assert torch.equal(directed_step(x, denoised, unguided, sigma, none), denoised)


def test_directed_at_its_own_estimate_a_step_is_euler_s():
    x, denoised = random(*SHAPE), random(*SHAPE, seed=1)
    sigma, following = torch.tensor([2.0, 0.7], dtype=torch.float64)
    expected = x + (following - sigma) * (x - denoised) / sigma
    torch.testing.assert_close(directed_step(x, denoised, denoised, sigma, following), expected)


# sampling


@pytest.mark.parametrize("renoise", [True, False])
@pytest.mark.parametrize("cfg_pp", [True, False])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_every_step_is_the_naive_one(strength, cfg_pp, renoise):
    noise, x, seen = Noise(), 5 * random(*SHAPE), []
    result = sample_vibid(Toy(), x, SIGMAS, noise, seen.append, strength, cfg_pp, renoise)
    expected = naive(Toy(), x, SIGMAS.tolist(), noise.given, strength, cfg_pp, renoise)
    assert [item["i"] for item in seen] == [0, 1, 2]
    for item, sigma, (_, estimate) in zip(seen, SIGMAS[:-1], expected, strict=True):
        assert item["sigma"] == item["sigma_hat"] == sigma
        assert item["x"].shape == x.shape
        torch.testing.assert_close(item["denoised"], estimate)
    torch.testing.assert_close(result, expected[-1][0])
    assert result.isfinite().all()


@pytest.mark.parametrize("renoise", [True, False])
@pytest.mark.parametrize("cfg_pp", [True, False])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_one_step_alone_gives_x_and_the_last_estimate(strength, cfg_pp, renoise):
    x, noise = 5 * random(*SHAPE), Noise()
    for sigma, following in [(5.0, 2.0), (0.7, 0.0)]:
        levels = torch.tensor([sigma, following], dtype=torch.float64)
        result = vibid_step(Toy(), x, *levels, noise, strength, cfg_pp, renoise)
        ((expected, estimate),) = naive(Toy(), x, [sigma, following], noise.given, strength, cfg_pp, renoise)
        torch.testing.assert_close(result[0], expected)
        torch.testing.assert_close(result[1], estimate)
        noise.given.clear()


def test_the_default_is_the_paper_s():
    full = sampled(end_strength=1.0, cfg_pp=True, renoise=True)
    assert torch.equal(sampled(), full)
    for changed in ({"end_strength": 0.5}, {"cfg_pp": False}, {"renoise": False}):
        assert (sampled(**changed) - full).abs().max() > 0.01


def test_each_step_asks_forward_and_backward_at_one_level_and_draws_one_noise():
    toy, noise = Toy(), Noise()
    sample_vibid(toy, random(*SHAPE), SIGMAS, noise)
    assert [item[:2] for item in toy.asked] == [(level, way) for level in (5.0, 2.0, 0.7) for way in (False, True)]
    assert noise.levels == [(5.0, 2.0), (2.0, 0.7), (0.7, 0.0)]


def test_without_noise_the_backward_pass_is_asked_at_the_next_level_unless_that_is_zero():
    toy, noise = Toy(), Noise()
    result = sample_vibid(toy, random(*SHAPE), SIGMAS, noise, renoise=False)
    asked = [(5.0, False), (2.0, True), (2.0, False), (0.7, True), (0.7, False)]
    assert [item[:2] for item in toy.asked] == asked
    assert noise.levels == []
    assert torch.equal(result[-1:], toy.keyframes[1])


def test_the_levels_and_directions_asked_are_those_of_the_official_run(golden):
    runs = load_file(golden("svd/vibid_mpd_runs.safetensors"))
    toy = Toy()
    sample_vibid(toy, random(*SHAPE), runs["vibid_cfg1/sigmas"].double(), Noise())
    assert [level for level, _, _ in toy.asked] == runs["vibid_cfg1/eval_sigma"].tolist()
    assert [int(backward) for _, backward, _ in toy.asked] == runs["vibid_cfg1/eval_is_end_condition"].tolist()


def test_the_first_frame_is_the_first_keyframe_after_a_run_to_zero():
    first, last = Toy().keyframes
    assert torch.equal(sampled()[:1], first)
    assert (sampled(end_strength=0.0)[:1] - first).abs().max() > 0.01
    assert (sampled()[-1:] - last).abs().max() > 0.01  # the last pass ends at the start


@pytest.mark.parametrize("renoise", [True, False])
@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_videos_are_sampled(frames, renoise):
    result = sampled(frames=frames, renoise=renoise)
    assert result.shape == (frames, *SHAPE[1:])
    assert result.isfinite().all()
    end = 0 if renoise else -1
    assert torch.equal(result[end], Toy().keyframes[end][0])


def test_two_runs_with_one_seed_are_equal():
    assert torch.equal(sampled(), sampled())
    assert not torch.equal(sampled(seed=5), sampled())
    assert torch.equal(sampled(seed=5, renoise=False), sampled(renoise=False))


def test_inputs_are_left_as_they_were_and_nothing_is_differentiated():
    toy, x, sigmas, noise = Toy(), random(*SHAPE), SIGMAS.clone(), Noise()
    toy.mixing.requires_grad_()
    before = x.clone()
    result = sample_vibid(toy, x, sigmas, noise)
    assert not result.requires_grad
    assert torch.equal(x, before)
    assert torch.equal(sigmas, SIGMAS)
    assert all(torch.equal(*pair) for pair in zip(toy.keyframes, Toy().keyframes, strict=True))
    again = Noise()
    assert all(torch.equal(given, again(1, 0)) for given in noise.given)


def test_the_type_of_the_latent_is_kept():
    x = random(*SHAPE).float()
    assert sample_vibid(Toy(), x, SIGMAS, lambda *levels: torch.ones_like(x)).dtype == torch.float32


class Recorded:
    """Answers with the official run's estimates in place of the network; notes what it is asked."""

    def __init__(self, runs, pictures, run):
        self.keyframes = pictures["latent_start_scaled"], pictures["latent_end_scaled"]
        names = (f"{run}/eval_denoised_cond", f"{run}/eval_denoised_uncond")
        self.left, self.asked = zip(*(runs[name] for name in names), strict=True), []

    def predict(self, x, sigma, backward):
        self.asked.append((x.clone(), backward))
        return next(self.left)


def test_the_official_first_step_from_its_estimates(golden):
    runs = load_file(golden("svd/vibid_mpd_runs.safetensors"))
    directions = Recorded(runs, load_file(golden("svd/cond.safetensors")), "vibid_cfg1")
    sigmas, left = runs["vibid_cfg1/sigmas"][:2], iter(runs["noise"])
    end = sample_vibid(directions, runs["vibid_cfg1/eval_x"][0], sigmas, lambda *levels: next(left))
    assert [backward for _, backward in directions.asked] == [False, True]
    tolerance = 1e-6 * float(sigmas[0]) + 2e-4
    torch.testing.assert_close(directions.asked[1][0], runs["vibid_cfg1/eval_x"][1], atol=tolerance, rtol=0)
    torch.testing.assert_close(end, runs["vibid_cfg1/x_after_step"][0], atol=tolerance, rtol=0)
    torch.testing.assert_close(end, runs["vibid_cfg1/eval_x"][2], atol=tolerance, rtol=0)


@pytest.mark.parametrize("renoise", [True, False])
@pytest.mark.parametrize("last", [0.0, 0.3])
def test_the_predictions_that_are_told_are_those_that_are_made(renoise, last):
    toy, sigmas = Toy(), torch.tensor([5.0, 2.0, last], dtype=torch.float64)
    sample_vibid(toy, random(*SHAPE), sigmas, Noise(), renoise=renoise)
    assert len(toy.asked) == vibid_predictions(sigmas, renoise)
