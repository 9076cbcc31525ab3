"""SNR alignment: what networks are fed, where the prior goes, heads back and forth, table ends, errors."""

import math
import random as numbers
from functools import partial
from itertools import pairwise

import pytest
import torch

from pack.samplers.bridge import SOLVERS, bridge_sample, sample_bridge
from pack.samplers.bridge_schedule import BridgeSchedule, bridge_times
from pack.samplers.snr_alignment import (
    HEADS,
    ddpm_input,
    edm_input,
    flow_input,
    head_target,
    head_to_z0,
    mixture_to_z0,
    mode_centring,
    table_index,
)

SCHEDULES = [BridgeSchedule(), BridgeSchedule("vp", 0.1, 20.0)]
SHAPE = (3, 2, 4, 2, 2)
TIMES = [0.01, 0.3, 0.7, 0.98]
INPUTS = {"edm": edm_input, "flow": flow_input}

both = pytest.mark.parametrize("schedule", SCHEDULES, ids=["gmax", "vp"])
inputs = pytest.mark.parametrize("fed", INPUTS)
centrings = pytest.mark.parametrize("centring", [0.0, 0.35, 1.0])
SAMPLERS = {solver: partial(sample_bridge, solver) for solver in SOLVERS}


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def value(schedule, name, t):
    return float(getattr(schedule, name)(t))


def ddpm_table(entries=1000):
    """alpha / sigma of a scaled-linear DDPM."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, entries, dtype=torch.float64) ** 2
    kept = (1 - betas).cumprod(0)
    return (kept / (1 - kept)).sqrt()


# the input is one of the network's own


@both
@centrings
@pytest.mark.parametrize("t", TIMES)
def test_the_input_holds_clean_latents_and_noise_as_the_level_says(t, centring, schedule):
    """For any z_0, prior and noise: EDM m + sigma eps, flow (1 - tau) m + tau eps, with m the mixture at weight 1."""
    z_0, prior, noise = (random(*SHAPE, seed=seed) for seed in range(3))
    z = bridge_sample(z_0, prior, noise, t, schedule)
    a, rest = value(schedule, "a", t), (1 - centring) * value(schedule, "b", t)
    mixture = (a * z_0 + rest * prior) / (a + rest)
    edm = edm_input(z, prior, t, schedule, largest=1e9, centring=centring)
    torch.testing.assert_close(edm.x, mixture + float(edm.level) * noise, atol=1e-10, rtol=1e-10)
    flow = flow_input(z, prior, t, schedule, largest=1.0, centring=centring)
    expected = (1 - float(flow.level)) * mixture + float(flow.level) * noise
    torch.testing.assert_close(flow.x, expected, atol=1e-12, rtol=0)
    assert not edm.clamped
    assert not flow.clamped
    assert float(flow.level) == pytest.approx(float(edm.level) / (1 + float(edm.level)), rel=1e-12)


@both
@pytest.mark.parametrize("t", [0.1, 0.3, 0.7])
def test_the_ddpm_input_has_variance_one_and_the_table_s_snr(t, schedule):
    z_0, prior, noise = (random(*SHAPE, seed=seed) for seed in range(3))
    table = ddpm_table()
    fed = ddpm_input(bridge_sample(z_0, prior, noise, t, schedule), prior, t, schedule, table)
    place, share = int(fed.level), float(fed.level) % 1
    assert 1 <= place < 999
    ratio = torch.lerp(table[place], table[place + 1], share)
    kept = ratio / (1 + ratio**2).sqrt()
    torch.testing.assert_close(fed.x, kept * z_0 + (1 - kept**2).sqrt() * noise, atol=1e-9, rtol=0)
    assert not fed.clamped


def test_saf_is_the_table_of_the_paper():
    """gmax, t where sigma^2 = 10: a^2 / c^2 = 1/10 - 1/25.005."""
    schedule = BridgeSchedule()
    t = value(schedule, "time_of_snr", 0.1)
    level = math.sqrt(1 / (0.1 - 1 / 25.005))
    z, prior = random(*SHAPE), random(*SHAPE, seed=1)
    a, b = 1 - 10 / 25.005, 10 / 25.005
    edm, flow = edm_input(z, prior, t, schedule), flow_input(z, prior, t, schedule)
    assert float(edm.level) == pytest.approx(level, rel=1e-12)
    torch.testing.assert_close(edm.x, (z - b * prior) / a)
    assert float(flow.level) == pytest.approx(level / (1 + level), rel=1e-12)
    torch.testing.assert_close(flow.x, (z - b * prior) / (a + math.sqrt(10 * a)))


def test_unaligned_feeds_gmax_s_z_as_it_is_at_its_noise():
    schedule, z, prior = BridgeSchedule(), random(*SHAPE), random(*SHAPE, seed=1)
    for t in TIMES:
        c = value(schedule, "c", t)
        edm = edm_input(z, prior, t, schedule, centring=0.0)
        torch.testing.assert_close(edm.x, z, atol=1e-12, rtol=0)
        assert float(edm.level) == pytest.approx(c, rel=1e-12)
        flow = flow_input(z, prior, t, schedule, centring=0.0)
        torch.testing.assert_close(flow.x, z / (1 + c), atol=1e-12, rtol=0)
        assert float(flow.level) == pytest.approx(c / (1 + c), rel=1e-12)


@both
@pytest.mark.parametrize("fed", [edm_input, flow_input, lambda *given: ddpm_input(*given, ddpm_table())])
def test_a_batch_of_times_is_fed_sample_by_sample(fed, schedule):
    z, prior, times = random(*SHAPE), random(*SHAPE, seed=1), [0.9, 0.2, 0.5]
    batch = fed(z, prior, torch.tensor(times, dtype=torch.float64), schedule)
    for row, t in enumerate(times):
        alone = fed(z[row : row + 1], prior[row : row + 1], t, schedule)
        torch.testing.assert_close(batch.x[row], alone.x[0], atol=1e-13, rtol=1e-13)
        assert float(batch.level[row]) == pytest.approx(float(alone.level), rel=1e-13)
    assert (batch.level.shape, batch.level.dtype) == ((3,), torch.float64)


@inputs
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_input_has_the_type_of_z(fed, dtype):
    z, prior = random(*SHAPE, dtype=dtype), random(*SHAPE, seed=1)
    aligned = INPUTS[fed](z, prior, 0.4, SCHEDULES[0])
    assert aligned.x.dtype == dtype
    wide = INPUTS[fed](z.double(), prior, 0.4, SCHEDULES[0]).x
    torch.testing.assert_close(aligned.x.double(), wide, atol=0.05, rtol=0.02)


@inputs
@centrings
@both
def test_at_the_video_the_network_is_fed_the_video_without_noise(schedule, centring, fed):
    z, prior = random(*SHAPE), random(*SHAPE, seed=1)
    aligned = INPUTS[fed](z, prior, 0.0, schedule, centring=centring)
    assert torch.equal(aligned.x, z)
    assert float(aligned.level) == 0
    assert not aligned.clamped


# levels beyond the model's


@both
@inputs
@pytest.mark.parametrize("t", [0.9, 1 - 1e-6, 1 - 1e-15])
def test_beyond_the_largest_level_the_noise_is_the_largest_and_it_is_told(t, fed, schedule):
    largest = {"edm": 0.9, "flow": 0.4}[fed]
    z_0, prior, noise = (random(*SHAPE, seed=seed) for seed in range(3))
    z = bridge_sample(z_0, prior, noise, t, schedule)
    aligned = INPUTS[fed](z, prior, t, schedule, largest=largest)
    assert aligned.clamped
    assert float(aligned.level) == pytest.approx(largest, rel=1e-12)
    centred = z - value(schedule, "b", t) * prior
    torch.testing.assert_close(aligned.x, largest / value(schedule, "c", t) * centred)


@inputs
def test_the_default_limits_are_far_enough_for_the_released_schedule(fed):
    z, prior = random(*SHAPE), random(*SHAPE, seed=1)
    assert not any(INPUTS[fed](z, prior, t, BridgeSchedule()).clamped for t in bridge_times(50)[:-1])
    assert INPUTS[fed](z, prior, 0.999, BridgeSchedule("vp", 0.1, 20.0)).clamped
    batch = torch.tensor([0.001, 0.5, 0.9])
    assert not INPUTS[fed](z, prior, batch, BridgeSchedule()).clamped
    assert INPUTS[fed](z, prior, batch, BridgeSchedule(), largest=0.8).clamped


def test_levels_at_the_start_of_a_run():
    """Noise of 112 for EDM, .991 for flow, and at most 2.5 where nothing is aligned."""
    z, schedule = random(*SHAPE), BridgeSchedule()
    assert float(edm_input(z, z, 0.999, schedule).level) == pytest.approx(111.8, abs=0.1)
    assert float(flow_input(z, z, 0.999, schedule).level) == pytest.approx(0.99114, abs=1e-5)
    levels = [float(edm_input(z, z, t, schedule, centring=0.0).level) for t in bridge_times(50)[:-1]]
    assert max(levels) == pytest.approx(2.5, abs=0.01)
    assert levels[0] < 0.3
    assert levels[-1] < 0.2


def naive_index(ratio, table, top):
    """The rule of the official code, one number at a time."""
    first = table[0] + (top or 0)
    if top is None and not table[-1] <= ratio <= table[0]:
        return 0.0 if ratio > table[0] else len(table) - 1.0
    if top is not None and ratio > table[1]:
        return max((ratio - first) / (table[1] - first), 0.0)
    if ratio < table[-1]:
        return len(table) - 1 + (table[-1] - ratio) / table[-1]
    place = next(place for place in range(len(table) - 1) if table[place] >= ratio >= table[place + 1])
    return place + (table[place] - ratio) / (table[place] - table[place + 1])


@pytest.mark.parametrize("top", [None, 0.0, 7.0])
@pytest.mark.parametrize("last", [0.1, 0.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_index_is_that_of_the_official_rule(seed, last, top):
    chance = numbers.Random(seed)
    table = [*sorted((chance.uniform(0.2, 5) for _ in range(9)), reverse=True), last]
    ratios = [chance.uniform(0, 15) for _ in range(40)] + [chance.uniform(0, 0.3) for _ in range(10)] + table + [0.0]
    ours, clamped = table_index(
        torch.tensor(ratios, dtype=torch.float64), torch.tensor(table, dtype=torch.float64), top
    )
    assert ours.tolist() == pytest.approx([naive_index(ratio, table, top) for ratio in ratios], rel=1e-12, abs=1e-12)
    assert ours.isfinite().all()
    assert clamped
    inside = torch.tensor([table[3], table[7]], dtype=torch.float64)
    ours, clamped = table_index(inside, torch.tensor(table, dtype=torch.float64), top)
    assert ours.tolist() == pytest.approx([3, 7])
    assert not clamped


def test_past_its_end_an_extended_table_runs_on_by_less_than_one():
    table = torch.tensor([4.0, 2.0, 1.0, 0.5], dtype=torch.float64)
    ours, clamped = table_index(torch.tensor([0.5, 0.25, 0.0]), table, 9.0)
    assert ours.tolist() == [3.0, 3.5, 4.0]
    assert not clamped
    ours, clamped = table_index(torch.tensor([13.0, 7.5, 2.0]), table, 9.0)
    assert ours.tolist() == [0.0, 0.5, 1.0]
    assert not clamped
    ours, clamped = table_index(torch.tensor([13.1, 0.4]), table, 9.0)
    assert (float(ours[0]), clamped) == (0.0, True)
    ours, clamped = table_index(torch.tensor([0.4, 1.0]), table, None)
    assert (ours.tolist(), clamped) == ([3.0, 2.0], True)


# without weights trained as a bridge


class Network:
    """A network of x_0 + sigma eps that was never told of a prior."""

    def __init__(self):
        self.mixing, self.asked = random(2, 2, seed=5), []

    def __call__(self, x, sigma):
        self.asked.append((x, float(sigma)))
        mixed = torch.einsum("cd,bd...->bc...", self.mixing, x / (1 + sigma**2) ** 0.5)
        return x / (1 + sigma**2) + 0.3 * mixed.tanh()


def ancestral(network, x, sigmas, noises):
    """Ordinary ancestral sampling: x = D + sigma_down (x - D) / sigma + sigma_up eps, as in k-diffusion at eta 1."""
    noises = iter(noises)
    for sigma, following in pairwise(sigmas):
        up = (following**2 * (sigma**2 - following**2) / sigma**2) ** 0.5
        down = (following**2 - up**2) ** 0.5
        denoised = network(x, sigma)
        x = denoised + down / sigma * (x - denoised)
        if following > 0:
            x = x + up * next(noises)
    return x


@both
def test_saf_is_ancestral_sampling_on_another_schedule(schedule):
    """The levels are c / a, the states (z - b z_T) / a; of the prior nothing is left but what the start holds of it."""
    times, prior = bridge_times(8), 3 * random(*SHAPE, seed=9)
    noises = [random(*SHAPE, seed=20 + index) for index in range(8)]
    given, bridged, states = iter(noises), Network(), []

    def denoise(z, t):
        fed = edm_input(z, prior, t, schedule, largest=1e9)
        states.append(fed.x)
        return bridged(fed.x, fed.level)

    ours = SAMPLERS["sde"](denoise, prior, times, lambda t, s: next(given), schedule)
    sigmas = [value(schedule, "c", t) / value(schedule, "a", t) for t in times]
    ordinary = Network()
    theirs = ancestral(ordinary, prior + sigmas[0] * noises[0], sigmas, noises[1:])
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)
    for (_, sigma), (x, expected), state in zip(bridged.asked, ordinary.asked, states, strict=True):
        assert sigma == pytest.approx(expected, rel=1e-9)
        torch.testing.assert_close(state / sigma, x / sigma, atol=1e-9, rtol=0)


def finished(sample, fed, prior, schedule, centring=1.0, start=None, network=Network):
    model, noises = network(), iter(random(*SHAPE, seed=20 + index) for index in range(20))

    def denoise(z, t):
        aligned = INPUTS[fed](z, prior, t, schedule, largest=1e9 if fed == "edm" else 1.0, centring=centring)
        return model(aligned.x, aligned.level)

    return sample(denoise, prior, bridge_times(8), lambda t, s: next(noises), schedule, start=start)


@both
@inputs
@pytest.mark.parametrize("seed", range(3))
def test_without_bridge_weights_the_prior_drops_out_of_saf(seed, fed, schedule):
    """Two priors, one noise: the same video exactly if the start is b z_T + c eps; nearly so from our own start."""
    priors = random(*SHAPE, seed=seed), random(*SHAPE, seed=seed + 10)
    videos = []
    for prior in priors:
        b, c = value(schedule, "b", 0.999), value(schedule, "c", 0.999)
        start = b * prior + c * random(*SHAPE, seed=30)
        videos.append(finished(SAMPLERS["sde"], fed, prior, schedule, start=start))
    torch.testing.assert_close(*videos, atol=1e-8, rtol=0)
    own = [finished(SAMPLERS["sde"], fed, prior, schedule) for prior in priors]
    assert (own[0] - own[1]).abs().max() < 0.02
    if schedule.name == "gmax":
        kept = [finished(SAMPLERS["sde"], fed, prior, schedule, centring=0.0) for prior in priors]
        assert (kept[0] - kept[1]).abs().max() > 10 * (own[0] - own[1]).abs().max()
        assert (kept[0] - kept[1]).abs().max() > 0.1


@inputs
def test_without_bridge_weights_the_ode_under_saf_does_not_know_the_prior_either(fed):
    schedule, videos = BridgeSchedule(), []
    for seed in (1, 2):
        prior = random(*SHAPE, seed=seed)
        b, c = value(schedule, "b", 0.999), value(schedule, "c", 0.999)
        start = b * prior + c * random(*SHAPE, seed=30)
        videos.append(finished(SAMPLERS["ode"], fed, prior, schedule, start=start))
    torch.testing.assert_close(*videos, atol=1e-8, rtol=0)


# what the network's estimate is of


@both
@pytest.mark.parametrize("centring", [0.0, 0.35, 1.0])
@pytest.mark.parametrize("t", TIMES)
def test_the_video_is_got_back_from_the_mixture(t, centring, schedule):
    z_0, prior = random(*SHAPE), random(*SHAPE, seed=1)
    a, rest = value(schedule, "a", t), (1 - centring) * value(schedule, "b", t)
    mixture = (a * z_0 + rest * prior) / (a + rest)
    copies = mixture.clone(), prior.clone()
    got = mixture_to_z0(mixture, prior, t, schedule, centring, smallest_a=0.0)
    torch.testing.assert_close(got, z_0, atol=1e-9, rtol=0)
    assert torch.equal(mixture_to_z0(mixture, prior, t, schedule, centring, smallest_a=2.0), mixture)
    assert torch.equal(mixture, copies[0])
    assert torch.equal(prior, copies[1])


def test_where_little_of_the_video_is_left_the_mixture_stays():
    schedule, mixture, prior = BridgeSchedule(), random(*SHAPE), random(*SHAPE, seed=1)
    times = [float(schedule.time_of_snr(1 / (25.005 * (1 - a)))) for a in (0.0999, 0.1001)]
    assert torch.equal(mixture_to_z0(mixture, prior, times[0], schedule, 0.0), mixture)
    expected = (mixture - (1 - 0.1001) * prior) / 0.1001
    torch.testing.assert_close(mixture_to_z0(mixture, prior, times[1], schedule, 0.0), expected)


# heads


@both
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("t", TIMES)
def test_a_head_s_target_gives_the_video_back(t, head, schedule):
    z_0, prior, noise = (random(*SHAPE, seed=seed) for seed in range(3))
    z = bridge_sample(z_0, prior, noise, t, schedule)
    target = head_target(head, z_0, noise, prior, t, schedule)
    torch.testing.assert_close(head_to_z0(head, target, z, prior, t, schedule), z_0, atol=1e-9, rtol=0)


@both
@pytest.mark.parametrize("t", TIMES)
def test_heads_are_what_their_names_say(t, schedule):
    z_0, prior, noise = (random(*SHAPE, seed=seed) for seed in range(3))
    z = bridge_sample(z_0, prior, noise, t, schedule)
    a, b, c, alpha, sigma = (value(schedule, name, t) for name in ("a", "b", "c", "alpha", "sigma"))
    expected = {
        "z0": z_0,
        "eps_psi": (z - alpha * z_0) / sigma,
        "eps_psi_new": (z - a * z_0 - b * prior) / c,
        "v": (a * noise - c * z_0) / math.sqrt(a**2 + c**2),
    }
    assert tuple(expected) == HEADS
    for head, target in expected.items():
        torch.testing.assert_close(head_target(head, z_0, noise, prior, t, schedule), target, atol=1e-9, rtol=0)
    out, root = random(*SHAPE, seed=7), math.sqrt(a**2 + c**2)
    expected = {
        "z0": out,
        "eps_psi": (z - sigma * out) / alpha,
        "eps_psi_new": (z - b * prior - c * out) / a,
        "v": (a * (z - b * prior) / root - c * out) / root,
    }
    for head, estimate in expected.items():
        torch.testing.assert_close(head_to_z0(head, out, z, prior, t, schedule), estimate, atol=1e-9, rtol=1e-9)


@both
@pytest.mark.parametrize("head", HEADS)
def test_heads_take_a_batch_of_times(head, schedule):
    z_0, prior, noise = (random(*SHAPE, seed=seed) for seed in range(3))
    times = torch.tensor([0.9, 0.2, 0.5], dtype=torch.float64)
    z = bridge_sample(z_0, prior, noise, times, schedule)
    target = head_target(head, z_0, noise, prior, times, schedule)
    torch.testing.assert_close(head_to_z0(head, target, z, prior, times, schedule), z_0, atol=1e-10, rtol=0)
    for row, t in enumerate(times.tolist()):
        alone = head_target(head, z_0[row], noise[row], prior[row], t, schedule)
        torch.testing.assert_close(target[row], alone, atol=1e-13, rtol=0)


@pytest.mark.parametrize("head", HEADS)
def test_targets_are_finite_at_the_video_and_just_before_the_prior(head):
    z_0, prior, noise = (random(*SHAPE, seed=seed, dtype=torch.float32) for seed in range(3))
    for schedule in (*SCHEDULES, BridgeSchedule("vp", 0.1, 1000.0)):
        for t in (0.0, 1 / 1001, 0.999, 1 - 1e-9):
            target = head_target(head, z_0, noise, prior, t, schedule)
            assert target.isfinite().all()
            assert target.dtype == torch.float32


# modes and errors


def test_only_partial_reads_the_centring():
    assert [mode_centring(mode, 0.3) for mode in ("saf", "partial", "unaligned")] == [1.0, 0.3, 0.0]


Z = torch.ones(1, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mode_centring("aligned", 1.0), "mode must be one of saf, partial, unaligned, got 'aligned'"),
        (lambda: mode_centring("partial", 1.2), r"centring is 1.2: use 0 \(.*\) to 1"),
        (lambda: edm_input(Z, Z, 0.5, SCHEDULES[0], centring=-0.1), "centring is -0.1"),
        (lambda: flow_input(Z, Z, 0.5, SCHEDULES[0], centring=math.nan), "centring is nan"),
        (lambda: mixture_to_z0(Z, Z, 0.5, SCHEDULES[0], 2.0), "centring is 2"),
        (lambda: edm_input(Z, Z, 1.0, SCHEDULES[0]), "At bridge time 1 there is only the prior.*begin at 0.999"),
        (lambda: flow_input(Z, Z, 1.0, SCHEDULES[0], centring=0.0), "At bridge time 1"),
        (lambda: ddpm_input(Z, Z, torch.tensor([0.5, 1.0]), SCHEDULES[0], ddpm_table()), "At bridge time 1"),
        (lambda: head_to_z0("v", Z, Z, Z, 1.0, SCHEDULES[0]), "At bridge time 1"),
        (lambda: head_to_z0("eps_psi_new", Z, Z, Z, 1.0, SCHEDULES[0]), "At bridge time 1"),
        (lambda: head_target("v", Z, Z, Z, 1.0, SCHEDULES[0]), "At bridge time 1"),
        (lambda: head_to_z0("eps", Z, Z, Z, 0.5, SCHEDULES[0]), "head must be one of z0, eps_psi, eps_psi_new, v, got"),
        (lambda: head_target("eps", Z, Z, Z, 0.5, SCHEDULES[0]), "head must be one of .* got 'eps'"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
