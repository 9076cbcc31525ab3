"""Steps that go back: official orders and runs, orders that never lose their place, naive sampling, noise levels."""

import json
import math
import random as numbers
from collections import Counter
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from pack.samplers.direction_fusion import fused
from pack.samplers.recurrence import (
    PATTERNS,
    check_schedule,
    euler_step,
    evaluations,
    noised_again,
    sample_recurrent,
    step_order,
)

SIGMAS = torch.tensor([5.0, 3.0, 1.7, 0.8, 0.3, 0.0], dtype=torch.float64)
SHAPE = (3, 2, 2, 2)
ORDERS = {
    "plain": step_order(5, "repeat", 0, 0.5, 1),
    "repeat": step_order(5, "repeat", 2, 0.5, 1),
    "jump": step_order(5, "jump", 2, 0.8, 2),
}


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class LinearModel:
    """D = a x / (1 + sigma^2) + b, different in every frame; notes what it is asked."""

    def __init__(self):
        self.a, self.b, self.asked = random(3, 1, 1, 1, seed=1), random(*SHAPE, seed=2), []

    def __call__(self, x, sigma, **extra_args):
        self.asked.append((x.clone(), sigma, extra_args))
        return self.a.to(x) * x / (1 + sigma.view(-1, 1, 1, 1) ** 2) + self.b.to(x)


class Noise:
    """Unit noise from a seed; notes the levels it is asked for and what it gives."""

    def __init__(self, seed=3):
        self.generator, self.levels, self.given = torch.Generator().manual_seed(seed), [], []

    def __call__(self, sigma, following):
        self.levels.append((float(sigma), float(following)))
        self.given.append(torch.randn(*SHAPE, dtype=torch.float64, generator=self.generator))
        return self.given[-1]


def sampled(order, seed=3, **options):
    return sample_recurrent(LinearModel(), 5 * random(*SHAPE), SIGMAS, order, Noise(seed), {}, **options)


# orders


def test_the_default_order_of_time_reversal_fusion_is_the_official_one(golden):
    official = json.loads(golden("svd/trf_order_default50.json").read_text())["entries"]
    order = step_order(50, "jump", repeats=1, until=0.2, jump_length=5)
    assert [[{"step": "D", "back": "R"}[kind], index] for kind, index in order] == official
    assert (len(order), evaluations(order)) == (60, 55)


def test_the_order_of_the_official_short_run_is_ours(golden):
    runs = load_file(golden("svd/trf_runs.safetensors"))
    kinds = [("step", "back")[kind] for kind in runs["entry_kind"]]
    official = list(zip(kinds, runs["entry_sigma_index"].tolist(), strict=True))
    assert step_order(6, "jump", repeats=1, until=0.5, jump_length=2) == official


def test_jumps_are_those_of_repaint():
    """Its list of times, as its paper gives it, for two jumps from every place."""
    steps, length = 20, 3
    jumps = dict.fromkeys(range(8, steps - length, length), 2)
    time, times = steps, [steps]
    while time >= 1:
        time -= 1
        times.append(time)
        if jumps.get(time, 0):
            jumps[time] -= 1
            for _ in range(length):
                time += 1
                times.append(time)
    order = step_order(steps, "jump", repeats=2, until=0.6, jump_length=length)
    ours = [steps] + [steps - index - (kind == "step") for kind, index in order]
    assert ours == times
    assert max(Counter(times).values()) == 5  # where two jumps overlap, 3 + 3 visits with one shared


@pytest.mark.parametrize(("steps", "repeats", "until", "again"), [(50, 5, 0.5, 25), (5, 2, 0.7, 3), (10, 3, 1.0, 10)])
def test_repeat_makes_the_first_steps_again_and_the_others_once(steps, repeats, until, again):
    order = step_order(steps, "repeat", repeats, until, 5)
    expected = []
    for index in range(steps):
        expected += ["step", *["back", "step"] * (repeats * (index < again))]
    assert [kind for kind, _ in order] == expected
    assert Counter(order) == {
        **{("step", index): 1 + repeats * (index < again) for index in range(steps)},
        **{("back", index): repeats for index in range(again)},
    }
    assert evaluations(order) == steps + again * repeats


def test_the_published_number_of_evaluations_of_generative_inbetweening():
    """methods.md 3.4: 50 steps, of which 25 are made again 5 times."""
    assert evaluations(step_order(50, "repeat", repeats=5, until=0.5, jump_length=1)) == 175


def test_the_repeats_of_the_official_run_are_ours(golden):
    indices = load_file(golden("svd/gi_runs.safetensors"))["avg_rec/eval_step_index"].tolist()
    order = step_order(5, "repeat", repeats=2, until=0.5, jump_length=1)
    assert [index for kind, index in order if kind == "step"] == indices


@pytest.mark.parametrize(
    "options",
    [("repeat", 0, 0.5, 5), ("jump", 0, 0.5, 5), ("repeat", 3, 0.0, 1), ("jump", 0, 0.5, 9), ("jump", 3, 0.0, 1)],
)
def test_without_repeats_or_a_place_for_them_there_are_plain_steps(options):
    assert step_order(9, *options) == [("step", index) for index in range(9)]


@pytest.mark.parametrize("tenths", range(2, 10))
def test_the_last_jump_begins_where_the_share_of_the_steps_ends(tenths):
    """Also for 0.9 of 50 steps, where 1 - 0.9 is a little less than 0.1."""
    order = step_order(50, "jump", repeats=1, until=tenths / 10, jump_length=5)
    assert max(index + 1 for kind, index in order if kind == "back") == 5 * tenths


@pytest.mark.parametrize("pattern", PATTERNS)
def test_an_order_never_loses_its_place_and_ends_at_the_last_level(pattern):
    chance = numbers.Random(7)
    went_back = 0
    for _ in range(200):
        steps, repeats, length = chance.randint(1, 30), chance.randint(0, 4), chance.randint(1, 8)
        until = chance.choice([0.0, 1.0, chance.random()])
        if pattern == "jump":
            length = min(length, max(1, int(until * steps) - 1))
            repeats = repeats if int(until * steps) > length else 0  # no jump fits
        order = step_order(steps, pattern, repeats, until, length)
        place, setting = 0, (steps, repeats, until, length)
        for kind, index in order:
            assert place == (index if kind == "step" else index + 1), setting
            assert 0 <= index < steps, setting
            place = index + 1 if kind == "step" else index
        assert place == steps, setting
        backs = sum(kind == "back" for kind, _ in order)
        assert evaluations(order) == steps + backs, setting
        went_back += backs > 0
    assert went_back > 50


def test_an_order_does_not_depend_on_an_earlier_one():
    assert step_order(20, "jump", 2, 0.5, 3) == step_order(20, "jump", 2, 0.5, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pattern": "leap"}, "pattern must be one of repeat, jump, got 'leap'"),
        ({"repeats": -1}, r"repeats is -1: use 0 \(none\) or more"),
        ({"until": 1.5}, "until is 1.5: it is a share of the steps, 0 to 1"),
        ({"until": -0.25}, "until is -0.25: it is a share of the steps, 0 to 1"),
        ({"jump_length": 0}, "jump_length is 0: use 1 step or more"),
    ],
)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_values_out_of_range_are_named(pattern, changed, message):
    with pytest.raises(ValueError, match=message):
        step_order(**{"steps": 10, "pattern": pattern, "repeats": 1, "until": 0.5, "jump_length": 2, **changed})


def test_a_jump_as_long_as_the_early_steps_is_refused_and_the_values_named_are_taken():
    message = "jump_length is 5, but until covers the first 5 of 25 steps, .* use 4 at most, or set until above 0.2"
    with pytest.raises(ValueError, match=message):
        step_order(25, "jump", 1, 0.2, 5)
    for until, length in ((0.2, 4), (0.24, 5)):
        assert any(kind == "back" for kind, _ in step_order(25, "jump", 1, until, length))
    with pytest.raises(ValueError, match=r"the first 2 of 2 steps, and a jump must be shorter: use 1 at most\.$"):
        step_order(2, "jump", 1, 1.0, 2)
    with pytest.raises(ValueError, match="the first 1 of 1 steps, and a jump must be shorter: take more steps"):
        step_order(1, "jump", 1, 1.0, 1)
    with pytest.raises(ValueError, match="the first 1 of 10 steps, and a jump must be shorter: set until above 0.1"):
        step_order(10, "jump", 1, 0.1, 1)


# noise levels


@pytest.mark.parametrize("levels", [[1.0, 0.0], [1.0, 0.5], [700.0, 100.0, 3.0, 0.002, 0.0]])
def test_falling_levels_are_a_schedule(levels):
    check_schedule(torch.tensor(levels))


@pytest.mark.parametrize("levels", [[math.inf, 3.0, 0.0], [math.inf, 0.0], [math.nan, 0.0], [3.0, 1.0, -1.0]])
def test_a_level_that_is_no_number_from_0_up_is_refused(levels):
    with pytest.raises(ValueError, match=f"sigmas go from {levels[0]:g} to {levels[-1]:g}; noise levels are numbers"):
        check_schedule(torch.tensor(levels))


@pytest.mark.parametrize("levels", [[], [1.0]])
def test_a_schedule_without_a_step_is_refused(levels):
    with pytest.raises(ValueError, match="sigmas has no step: set the scheduler to at least 1 step"):
        check_schedule(torch.tensor(levels))


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([3.0, 3.0, 0.0], "entry 0 is 3 and the next 3"),
        ([3.0, 1.5, 2.25, 0.0], "entry 1 is 1.5 and the next 2.25"),
        ([3.0, 0.0, 0.0], "entry 1 is 0 and the next 0"),
        ([3.0, 0.0, 1.0], "entry 1 is 0 and the next 1"),
        ([0.0, 3.0], "entry 0 is 0 and the next 3"),
        ([3.0, math.nan, 0.0], "entry 0 is 3 and the next nan"),
    ],
)
def test_levels_that_do_not_fall_are_named(levels, message):
    with pytest.raises(ValueError, match=f"sigmas must fall at every step, but {message}"):
        check_schedule(torch.tensor(levels))


# single moves


def test_an_euler_step_is_one_of_the_ode():
    """dx / d sigma = (x - D) / sigma."""
    x, denoised = random(*SHAPE), random(*SHAPE, seed=1)
    for sigma, following in pairwise(SIGMAS):
        expected = x + (following - sigma) * (x - denoised) / sigma
        torch.testing.assert_close(euler_step(x, denoised, sigma, following), expected)
    assert torch.equal(euler_step(x, denoised, SIGMAS[-2], SIGMAS[-1]), denoised)


def test_noise_put_in_again_restores_the_variance():
    """Independent unit noises as orthogonal unit vectors: the squared length is the variance."""
    clean, first, second = torch.eye(3, dtype=torch.float64)
    for sigma, following in [(5.0, 3.0), (0.3, 0.0), (700.0, 0.002), (2.0, 2.0)]:
        levels = torch.tensor([sigma, following], dtype=torch.float64)
        x = noised_again(clean + following * first, *levels, second)
        assert float((x - clean).square().sum()) == pytest.approx(sigma**2)
        assert float((x - clean) @ first) == following


@pytest.mark.parametrize("run", ["step0_avg", "step3_avg", "step3_wavg"])
def test_an_euler_step_is_that_of_the_official_run(golden, run):
    data = load_file(golden("svd/gi_step.safetensors"))
    x, denoised, sigma, following = (data[f"{run}/{name}"] for name in ("x", "denoised", "sigma", "sigma_next"))
    stepped = euler_step(x, denoised, sigma, following)
    torch.testing.assert_close(stepped, data[f"{run}/x_next"], atol=1e-6 * float(sigma) + 1e-5, rtol=0)


# sampling


@pytest.mark.parametrize("scale", [1.0, 0.95, 0.0])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_sampling_is_naive_euler_steps_and_returns(order, scale):
    model, noise, start = LinearModel(), Noise(), 5 * random(*SHAPE)
    result = sample_recurrent(model, start, SIGMAS, order, noise, {}, noise_scale=scale)
    sigmas, x, left = SIGMAS.tolist(), start, iter(noise.given)
    for kind, i in order:
        if kind == "step":
            slope = (x - (model.a * x / (1 + sigmas[i] ** 2) + model.b)) / sigmas[i]
            x = x + (sigmas[i + 1] - sigmas[i]) * slope
        else:
            x = x + scale * math.sqrt(sigmas[i] ** 2 - sigmas[i + 1] ** 2) * next(left)
    assert next(left, None) is None
    torch.testing.assert_close(result, x)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_every_step_asks_once_at_its_level_and_every_return_draws_once_between_its_two(order):
    model, noise, extra = LinearModel(), Noise(), {"seed": 5, "model_options": {}}
    sample_recurrent(model, random(*SHAPE), SIGMAS, order, noise, extra)
    sigmas = SIGMAS.tolist()
    assert [level.tolist() for _, level, _ in model.asked] == [[sigmas[i]] * 3 for kind, i in order if kind == "step"]
    assert all(given == extra for _, _, given in model.asked)
    assert len(model.asked) == evaluations(order)
    assert noise.levels == [(sigmas[i], sigmas[i + 1]) for kind, i in order if kind == "back"]


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_the_callback_sees_every_step_before_it_is_made(order):
    seen, model = [], LinearModel()
    plain = sample_recurrent(model, random(*SHAPE), SIGMAS, order, Noise(), {})
    watched = sample_recurrent(LinearModel(), random(*SHAPE), SIGMAS, order, Noise(), {}, seen.append)
    assert torch.equal(plain, watched)
    assert [item["i"] for item in seen] == [index for kind, index in order if kind == "step"]
    for item, (x, _, _) in zip(seen, model.asked, strict=True):
        assert set(item) == {"x", "i", "sigma", "sigma_hat", "denoised"}
        assert item["sigma"] == item["sigma_hat"] == SIGMAS[item["i"]]
        assert torch.equal(item["x"], x)
        expected = model.a * x / (1 + SIGMAS[item["i"]] ** 2) + model.b
        torch.testing.assert_close(item["denoised"], expected)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_two_runs_with_one_seed_are_equal(order):
    assert torch.equal(sampled(order), sampled(order))
    assert torch.equal(sampled(order, seed=4), sampled(order)) == (order == ORDERS["plain"])


def test_noise_put_in_again_scales_with_its_strength():
    assert torch.equal(sampled(ORDERS["repeat"]), sampled(ORDERS["repeat"], noise_scale=1.0))
    ends = [sampled(ORDERS["repeat"], noise_scale=scale) for scale in (0.0, 0.5, 1.0)]  # linear in the noise
    torch.testing.assert_close(ends[1], (ends[0] + ends[2]) / 2)
    assert (ends[0] - ends[2]).abs().max() > 0.01


def test_a_run_to_level_zero_ends_on_the_last_estimate():
    seen = []
    assert torch.equal(sampled(ORDERS["jump"], callback=seen.append), seen[-1]["denoised"])


def test_inputs_are_left_as_they_were_and_nothing_is_differentiated():
    model, noise, x, sigmas = LinearModel(), Noise(), random(*SHAPE), SIGMAS.clone()
    model.a.requires_grad_()
    order, extra = list(ORDERS["jump"]), {"seed": 1}
    before = x.clone()
    result = sample_recurrent(model, x, sigmas, order, noise, extra)
    assert not result.requires_grad
    assert torch.equal(x, before)
    assert torch.equal(sigmas, SIGMAS)
    assert order == ORDERS["jump"]
    assert extra == {"seed": 1}
    again = Noise()
    assert all(torch.equal(given, again(1, 0)) for given in noise.given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_type_of_the_latent_is_kept_whatever_that_of_the_levels(dtype):
    x = random(*SHAPE).to(dtype)
    result = sample_recurrent(LinearModel(), x, SIGMAS, ORDERS["jump"], lambda *levels: torch.ones_like(x), {})
    assert result.dtype == dtype


def test_plain_steps_converge_at_first_order():
    """Clean data of variance 1 around m: D = m + (x - m) / (1 + sigma^2), and x - m falls as sqrt(1 + sigma^2)."""
    x, mean = 4 * random(*SHAPE), random(*SHAPE, seed=1)
    exact = mean + (x - mean) * math.sqrt((1 + 0.5**2) / (1 + 4.0**2))

    def model(x, sigma):
        return mean + (x - mean) / (1 + sigma.view(-1, 1, 1, 1) ** 2)

    errors = []
    for steps in (8, 16, 32, 64):
        sigmas = torch.linspace(4.0, 0.5, steps + 1, dtype=torch.float64)
        end = sample_recurrent(model, x, sigmas, step_order(steps, "repeat", 0, 0.0, 1), Noise(), {})
        errors.append(float((end - exact).abs().max()))
    slopes = [math.log2(first / second) for first, second in pairwise(errors)]
    assert slopes == pytest.approx([1, 1, 1], abs=0.2)


# the official runs, with their recorded estimates in place of the network


def replayed(denoised, seen):
    left = iter(denoised)

    def model(x, sigma):
        seen.append(x.clone())
        return next(left)

    return model


@pytest.mark.parametrize("name", ["avg_norec", "wavg_norec", "avg_rec", "wavg_rec"])
def test_the_official_run_of_generative_inbetweening_from_its_estimates(golden, name):
    runs = load_file(golden("svd/gi_runs.safetensors"))
    noises = runs.get(f"{name}/noise", torch.zeros(0))
    sigmas, left, seen = runs["sigmas"], iter(noises), []
    order = step_order(5, "repeat", repeats=2 * bool(len(noises)), until=0.5, jump_length=1)
    model = replayed(runs[f"{name}/denoised"], seen)
    final = sample_recurrent(model, runs[f"{name}/x_in_first"], sigmas, order, lambda *levels: next(left), {})
    assert next(left, None) is None
    ends, asked = [], runs[f"{name}/eval_step_index"].tolist()
    for place in range(1, len(seen)):
        if asked[place] != asked[place - 1]:
            ends.append(seen[place])  # x before the first evaluation of a step is that after the step before
    for index, end in enumerate([*ends, final]):
        tolerance = 2e-6 * float(sigmas[index]) + 2e-5
        torch.testing.assert_close(end, runs[f"{name}/x_step_end"][index], atol=tolerance, rtol=0)


def test_the_official_run_of_time_reversal_fusion_from_its_first_estimates(golden):
    """Up to the first step after the jump back."""
    runs, seen = load_file(golden("svd/trf_runs.safetensors")), []
    sigmas, left = runs["sigmas"], iter(runs["noise"])
    start = load_file(golden("svd/cond.safetensors"))["noise_init_unit"] * (1 + sigmas[0] ** 2).sqrt()
    order = step_order(6, "jump", repeats=1, until=0.5, jump_length=2)[:6]
    pairs = zip(runs["fixed_cin/denoised_fwd"], runs["fixed_cin/denoised_bwd_flipped_order"], strict=True)
    model = replayed([fused(*pair, runs["blend_weight_fwd"]) for pair in pairs], seen)
    end = sample_recurrent(model, start, sigmas, order, lambda *levels: next(left), {})
    assert [kind for kind, _ in order].count("back") == 2
    after = [place for place, (kind, _) in enumerate(order) if kind == "step"]
    for place, x in zip(after[1:], seen[1:], strict=True):
        expected = runs["fixed_cin/x_after_entry"][place - 1]
        torch.testing.assert_close(x, expected, atol=2e-6 * 700 + 2e-4, rtol=0)
    torch.testing.assert_close(end, runs["fixed_cin/x_after_entry"][5], atol=2e-4, rtol=0)
