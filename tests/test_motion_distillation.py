"""Motion Prior Distillation: the residual form of the paper's code, naive runs of both bases, counts, symmetry."""

import math
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from pack.samplers.motion_distillation import BASES, distillation_predictions, distilled, sample_mpd
from pack.samplers.vibid import sample_vibid

SIGMAS = torch.tensor([5.0, 3.0, 1.4, 0.5, 0.1, 0.0], dtype=torch.float64)
FRAMES, SHAPE = 5, (5, 2, 2, 3)
SETTINGS = [
    {},
    {"base": "parallel", "early": 0.1},
    {"base": "sequential", "early": 1.0, "repeats": 2, "shift": 0.5},
    {"base": "parallel", "early": 0.5, "repeats": 1, "ramp": True},
    {"base": "sequential", "early": 0.7, "repeats": 1, "shift": 1.5, "ramp": True},
    {"base": "sequential", "early": 0.4, "repeats": 0},
    {"base": "parallel", "early": 0.4, "repeats": 0, "shift": 0.0},
    {"base": "parallel", "early": 0.0, "repeats": 2},
]


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


def sampled(seed=4, frames=FRAMES, sigmas=SIGMAS, **options):
    shape = (frames, *SHAPE[1:])
    return sample_mpd(Toy(frames), 5 * random(*shape), sigmas, Noise(seed, shape), **options)


def naive(toy, x, sigmas, noises, base="sequential", early=0.2, repeats=3, shift=1.0, ramp=False):
    """Every step's x and estimate, move by move; eps is the direction (x - D_u) / sigma of the pass."""
    first, last = (frame[0] for frame in toy.keyframes)
    left, count, steps = iter(noises), len(x), []

    def asked(x, sigma, backward):
        guided, unguided = toy.predict(x, torch.tensor(sigma, dtype=torch.float64), backward)
        return guided, (x - unguided) / sigma

    def noised(x, sigma, following):
        return x + math.sqrt(sigma**2 - following**2) * next(left)

    for index, (sigma, following) in enumerate(pairwise(sigmas)):
        is_early = index < early * (len(sigmas) - 1)
        for _ in range({"sequential": repeats, "parallel": 1}[base] * is_early):
            forward, eps = asked(x, sigma, False)
            error = last - forward[-1]
            moved = [forward[n] + shift * (n / (count - 1) if ramp else 1) * error for n in range(count)]
            x = noised(torch.stack([first, *moved[1:]]) + following * eps, sigma, following)
        if base == "sequential" or is_early:
            forward, eps = asked(x, sigma, False)
            x = noised(torch.cat([forward[:-1], last[None]]) + following * eps, sigma, following)
            backward, eps = asked(x.flip(0), sigma, True)
            estimate = torch.cat([backward[:-1], first[None]]).flip(0)
            x = estimate + following * eps.flip(0)
        else:
            for again in range(repeats + 1):
                if again:
                    x = noised(x, sigma, following)
                forward, eps = asked(x, sigma, False)
                backward = asked(x.flip(0), sigma, True)[0].flip(0)
                share = [n / (count - 1) for n in range(count)]
                mixed = [(1 - share[n]) * forward[n] + share[n] * backward[n] for n in range(count)]
                estimate = torch.stack(mixed)
                x = estimate + following * eps
        steps.append((x, estimate))
    assert next(left, None) is None
    return steps


# the distilled estimate


def test_the_distilled_estimate_is_the_code_s_sum_of_flipped_residual_differences():
    """methods.md 4.3: the backward residual starts from the last keyframe and adds up the forward one's differences."""
    x, forward, first, last = (random(*SHAPE, seed=seed) for seed in range(4))
    first, last, sigma = first[:1], last[:1], 3.0
    residual = (x - forward) / sigma
    differences = residual[1:] - residual[:-1]
    start = (x.flip(0)[:1] - last) / sigma
    backward = torch.cat([start, start - differences.flip(0).cumsum(0)])
    expected = (x.flip(0) - sigma * backward).flip(0)
    expected[0] = first[0]
    torch.testing.assert_close(distilled(forward, first, last, 1.0, False), expected)


@pytest.mark.parametrize("ramp", [False, True])
@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_every_frame_but_the_first_is_moved_by_its_share_of_the_end_s_error(shift, ramp):
    forward, first, last = random(*SHAPE), random(1, *SHAPE[1:], seed=1), random(1, *SHAPE[1:], seed=2)
    copies = [item.clone() for item in (forward, first, last)]
    estimate = distilled(forward, first, last, shift, ramp)
    assert torch.equal(estimate[:1], first)
    for n in range(1, FRAMES):
        share = shift * (n / 4 if ramp else 1)
        torch.testing.assert_close(estimate[n], forward[n] + share * (last[0] - forward[4]))
    assert all(torch.equal(*pair) for pair in zip((forward, first, last), copies, strict=True))


def test_without_a_shift_only_the_first_frame_is_put_in_place():
    forward, first, last = random(*SHAPE), random(1, *SHAPE[1:], seed=1), random(1, *SHAPE[1:], seed=2)
    for ramp in (False, True):
        assert torch.equal(distilled(forward, first, last, 0.0, ramp), torch.cat([first, forward[1:]]))


@pytest.mark.parametrize("ramp", [False, True])
def test_a_full_shift_ends_on_the_last_keyframe_and_keeps_or_stretches_the_motion(ramp):
    forward, first, last = random(*SHAPE), random(1, *SHAPE[1:], seed=1), random(1, *SHAPE[1:], seed=2)
    estimate = distilled(forward, first, last, 1.0, ramp)
    torch.testing.assert_close(estimate[-1:], last)
    stretched = (last - forward[-1:]) / 4 if ramp else torch.zeros_like(last)
    torch.testing.assert_close(estimate[1:].diff(dim=0), forward[1:].diff(dim=0) + stretched)


def test_a_pass_that_ends_on_the_keyframe_is_not_moved():
    forward, first = random(*SHAPE), random(1, *SHAPE[1:], seed=1)
    for ramp in (False, True):
        assert torch.equal(distilled(forward, first, forward[-1:], 1.0, ramp)[1:], forward[1:])


def test_one_frame_is_the_first_keyframe_and_two_are_both():
    first, last = random(1, *SHAPE[1:], seed=1), random(1, *SHAPE[1:], seed=2)
    for ramp in (False, True):
        assert torch.equal(distilled(random(1, *SHAPE[1:]), first, last, 1.0, ramp), first)
        torch.testing.assert_close(distilled(random(2, *SHAPE[1:]), first, last, 1.0, ramp), torch.cat([first, last]))


def test_keyframes_of_another_type_take_that_of_the_estimate():
    forward, first, last = random(*SHAPE).float(), random(1, *SHAPE[1:]), random(1, *SHAPE[1:], seed=2)
    for ramp in (False, True):
        estimate = distilled(forward, first, last.half(), 1.0, ramp)
        assert estimate.dtype == torch.float32
        assert torch.equal(estimate[:1], first.float())


# sampling


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_every_step_is_the_naive_one(options):
    noise, x, seen = Noise(), 5 * random(*SHAPE), []
    result = sample_mpd(Toy(), x, SIGMAS, noise, seen.append, **options)
    expected = naive(Toy(), x, SIGMAS.tolist(), noise.given, **options)
    assert [item["i"] for item in seen] == [0, 1, 2, 3, 4]
    for item, sigma, (_, estimate) in zip(seen, SIGMAS[:-1], expected, strict=True):
        assert item["sigma"] == item["sigma_hat"] == sigma
        assert item["x"].shape == x.shape
        torch.testing.assert_close(item["denoised"], estimate)
    torch.testing.assert_close(result, expected[-1][0])
    assert result.isfinite().all()


@pytest.mark.parametrize(
    ("options", "predictions", "noises"),
    [
        ({}, 65, 5 * (3 + 1) + 20),
        ({"base": "parallel", "early": 0.1}, 185, 3 * (1 + 1) + 22 * 3),
        ({"repeats": 0}, 50, 25),
        ({"early": 0.0}, 50, 25),
        ({"early": 1.0}, 25 * 5, 25 * 4),
        ({"base": "parallel", "early": 0.0, "repeats": 0}, 50, 0),
        ({"base": "parallel", "early": 1.0}, 25 * 3, 25 * 2),
    ],
    ids=str,
)
def test_predictions_and_noises_of_25_steps_are_counted(options, predictions, noises):
    """methods.md 4.3: 65 = 5 (3 + 2) + 20 * 2 and 185 = 3 (1 + 2) + 22 * 4 * 2 predictions at the paper's settings."""
    toy, noise = Toy(), Noise()
    sample_mpd(toy, random(*SHAPE), torch.linspace(5, 0, 26, dtype=torch.float64), noise, **options)
    assert len(toy.asked) == predictions
    assert len(noise.levels) == noises
    settings = {"base": "sequential", "early": 0.2, "repeats": 3} | options
    assert distillation_predictions(25, **settings) == predictions


@pytest.mark.parametrize(("base", "early", "name"), [("sequential", 0.2, "mpd_seq"), ("parallel", 0.1, "mpd_par")])
@pytest.mark.parametrize("levels", ["", "_lowsig"])
def test_the_levels_and_directions_asked_are_those_of_the_official_run(golden, base, early, name, levels):
    runs = load_file(golden("svd/vibid_mpd_runs.safetensors"))
    toy, sigmas = Toy(), runs[f"{name}{levels}/sigmas"]
    sample_mpd(toy, random(*SHAPE), sigmas.double(), Noise(), base=base, early=early)
    assert [level for level, _, _ in toy.asked] == runs[f"{name}{levels}/eval_sigma"].tolist()
    assert [int(backward) for _, backward, _ in toy.asked] == runs[f"{name}{levels}/eval_is_end_condition"].tolist()


@pytest.mark.parametrize("base", BASES)
def test_noise_is_drawn_between_the_levels_of_its_step(base):
    noise = Noise()
    sample_mpd(Toy(), random(*SHAPE), SIGMAS[:3], noise, base=base, early=0.5, repeats=2)
    first, second = (5.0, 3.0), (3.0, 1.4)
    expected = {"sequential": [first] * 3 + [second], "parallel": [first] * 2 + [second] * 2}
    assert noise.levels == expected[base]


@pytest.mark.parametrize("options", [{"early": 0.0}, {"repeats": 0, "early": 0.6}])
def test_with_nothing_distilled_sequential_is_vibid(options):
    expected = sample_vibid(Toy(), 5 * random(*SHAPE), SIGMAS, Noise())
    assert torch.equal(sampled(base="sequential", **options), expected)
    assert (sampled() - expected).abs().max() > 1e-3


def test_with_every_step_early_parallel_is_sequential_with_one_repeat():
    parallel = sampled(base="parallel", early=1.0, repeats=3)
    assert torch.equal(parallel, sampled(base="sequential", early=1.0, repeats=1))


@pytest.mark.parametrize("base", BASES)
def test_the_shift_and_its_ramp_matter_in_early_steps_only(base):
    for changed in ({"shift": 0.5}, {"ramp": True}):
        early, none = ({"base": base, "early": early, "sigmas": SIGMAS[:3]} for early in (0.5, 0.0))
        assert (sampled(**early, **changed) - sampled(**early)).abs().max() > 0.01
        assert torch.equal(sampled(**none, **changed), sampled(**none))


def test_the_first_frame_is_the_first_keyframe_after_a_run_to_zero():
    first, _ = Toy().keyframes
    assert torch.equal(sampled()[:1], first)
    assert torch.equal(sampled(base="parallel", early=1.0)[:1], first)


class Mirrored:
    """Directions whose backward pass is the forward one of the video played backwards, between exchanged ends."""

    def __init__(self, keyframes):
        self.keyframes, self.guided, self.unguided = keyframes, random(5, 5, seed=5) / 5, random(5, 5, seed=6) / 5

    def predict(self, x, sigma, backward):
        unguided = (self.unguided + self.unguided.flip(0, 1)) / 2  # knows no keyframe, and no direction of time
        guided = torch.einsum("nm,mchw->nchw", self.guided, x) + self.keyframes[int(backward)]
        return guided / (1 + sigma), torch.einsum("nm,mchw->nchw", unguided, x) / (1 + sigma)


def test_exchanging_the_keyframes_plays_a_parallel_run_backwards():
    """Where nothing is distilled: distilled and ViBiD steps begin forwards, so they have no such symmetry."""
    first, last = Toy().keyframes
    x, noise, noise_again = 5 * random(*SHAPE), Noise(), Noise()
    options = {"base": "parallel", "early": 0.0, "repeats": 2}
    plain = sample_mpd(Mirrored((first, last)), x, SIGMAS, noise, **options)
    exchanged = sample_mpd(
        Mirrored((last, first)), x.flip(0), SIGMAS, lambda *levels: noise_again(*levels).flip(0), **options
    )
    torch.testing.assert_close(exchanged, plain.flip(0))
    assert (plain - plain.flip(0)).abs().max() > 0.1


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_videos_are_sampled(frames, base):
    for ramp in (False, True):
        result = sampled(frames=frames, base=base, early=0.4, ramp=ramp)
        assert result.shape == (frames, *SHAPE[1:])
        assert result.isfinite().all()


@pytest.mark.parametrize("base", BASES)
def test_two_runs_with_one_seed_are_equal(base):
    assert torch.equal(sampled(base=base), sampled(base=base))
    assert not torch.equal(sampled(base=base, seed=5), sampled(base=base))


@pytest.mark.parametrize("base", BASES)
def test_inputs_are_left_as_they_were_and_nothing_is_differentiated(base):
    toy, x, sigmas, noise = Toy(), random(*SHAPE), SIGMAS.clone(), Noise()
    toy.mixing.requires_grad_()
    before = x.clone()
    result = sample_mpd(toy, x, sigmas, noise, base=base, early=0.4)
    assert not result.requires_grad
    assert torch.equal(x, before)
    assert torch.equal(sigmas, SIGMAS)
    assert all(torch.equal(*pair) for pair in zip(toy.keyframes, Toy().keyframes, strict=True))
    again = Noise()
    assert all(torch.equal(given, again(1, 0)) for given in noise.given)


@pytest.mark.parametrize("base", BASES)
def test_the_type_of_the_latent_is_kept(base):
    x = random(*SHAPE).float()
    ones = torch.ones_like(x)
    for ramp in (False, True):
        result = sample_mpd(Toy(), x, SIGMAS, lambda *levels: ones, base=base, early=0.4, ramp=ramp)
        assert result.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "serial"}, "base must be one of sequential, parallel, got 'serial'"),
        ({"repeats": -1}, r"repeats is -1: use 0 \(none\) or more"),
        ({"early": 1.25}, "early is 1.25: it is a share of the steps, 0 to 1"),
        ({"early": -0.5}, "early is -0.5: it is a share of the steps, 0 to 1"),
    ],
)
def test_values_out_of_range_are_named_before_anything_is_predicted(options, message):
    toy = Toy()
    with pytest.raises(ValueError, match=message):
        sample_mpd(toy, random(*SHAPE), SIGMAS, Noise(), **options)
    assert toy.asked == []


class Recorded:
    """Answers with the official run's first estimates in place of the network, then with zeros."""

    def __init__(self, runs, pictures, run):
        self.keyframes = pictures["latent_start_scaled"], pictures["latent_end_scaled"]
        names = (f"{run}/eval_denoised_cond", f"{run}/eval_denoised_uncond")
        self.left, self.asked = zip(*(runs[name] for name in names), strict=True), []

    def predict(self, x, sigma, backward):
        self.asked.append(x.clone())
        return next(self.left, (torch.zeros_like(x),) * 2)


@pytest.mark.parametrize("run", ["mpd_seq", "mpd_seq_lowsig"])
def test_the_official_distilled_steps_from_their_estimates(golden, run):
    runs = load_file(golden("svd/vibid_mpd_runs.safetensors"))
    directions = Recorded(runs, load_file(golden("svd/cond.safetensors")), run)
    sigmas, left = runs[f"{run}/sigmas"][:2], iter(runs["noise"])
    sample_mpd(directions, runs[f"{run}/eval_x"][0], sigmas, lambda *levels: next(left), early=1.0)
    for place in range(3):  # what was asked after none, one and two distilled steps
        expected = runs[f"{run}/eval_x"][place]
        tolerance = 1e-6 * float(sigmas[0]) + 2e-4
        torch.testing.assert_close(directions.asked[place], expected, atol=tolerance, rtol=0)
