"""What is said of a method from its scores: intervals beside scipy's and an enumeration, wins beside a loop."""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy.stats import bootstrap

from pack.bench.suite import statistics
from pack.bench.suite.statistics import estimate, goodness, mean_estimate, median_estimate, paired


def scores(n, seed=0):
    return np.random.default_rng(seed).gamma(3, 2, n)


@pytest.mark.parametrize(("ours", "theirs"), [(mean_estimate, np.mean), (median_estimate, np.median)])
def test_the_interval_agrees_with_scipy(ours, theirs):
    """Within the error of 2,000 resamples at the 2.5 % quantile: about a fortieth of the interval's width."""
    x = scores(40)
    found = ours(x)
    wanted = bootstrap((x,), theirs, n_resamples=50_000, method="percentile", rng=1).confidence_interval
    assert found.value == pytest.approx(theirs(x))
    assert [found.low, found.high] == pytest.approx([wanted.low, wanted.high], abs=0.06 * (wanted.high - wanted.low))
    assert (found.count, found.left_out) == (40, 0)


@pytest.mark.parametrize("x", [(0.0, 1.0), (1.0, 2.0, 4.0), (0.0, 1.0, 10.0, 100.0)])
def test_the_interval_of_a_few_scores_is_that_of_all_their_resamples(x):
    means = [np.mean(drawn) for drawn in itertools.product(x, repeat=len(x))]
    wanted = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    found = mean_estimate(x)
    assert [found.low, found.high] == pytest.approx(list(wanted))


def test_the_same_scores_have_the_same_interval_in_any_order():
    x = scores(30)
    assert mean_estimate(x) == mean_estimate(x.copy()) == mean_estimate(x[::-1])
    assert mean_estimate(x) != mean_estimate(x + 1)


def test_scores_that_are_no_number_are_left_out_and_counted():
    found = mean_estimate([1.0, None, float("nan"), 3.0, float("inf")])
    assert found == statistics.Estimate(2.0, mean_estimate([1.0, 3.0]).low, mean_estimate([1.0, 3.0]).high, 2, 3)


def test_one_score_has_no_interval_and_none_has_no_mean():
    assert mean_estimate([2.5, None]) == statistics.Estimate(2.5, None, None, 1, 1)
    assert median_estimate([]) == statistics.Estimate(None, None, None, 0, 0)
    assert mean_estimate([None]) == statistics.Estimate(None, None, None, 0, 1)


def test_a_measure_near_1_is_told_by_its_median():
    assert estimate([1.0, 1.0, 10.0], "near 1").value == 1.0
    assert estimate([1.0, 1.0, 10.0], "lower").value == 4.0


def test_goodness_is_more_where_a_score_is_better():
    assert list(goodness([1, 2], "higher")) == [1, 2]
    assert list(goodness([1, 2], "lower")) == [-1, -2]
    assert list(goodness([0.5, 1, 3], "near 1")) == [-0.5, 0, -2]
    assert np.isnan(goodness([None, np.inf, -np.inf], "lower")).all()
    with pytest.raises(ValueError, match="better is 'more'; it can be 'higher', 'lower', 'near 1'"):
        goodness([1], "more")


@pytest.mark.parametrize("better", ["higher", "lower", "near 1"])
def test_wins_and_differences_are_those_of_a_loop(better):
    ours, theirs = [1.0, 2.0, 3.0, None, 0.9, 5.0, 1.0], [1.0, 1.5, 4.0, 1.0, 0.5, np.inf, 1.2]
    won, differences = 0.0, []
    for a, b in zip(ours, theirs, strict=True):
        if a is None or b == np.inf:
            continue
        if better == "near 1":
            a, b = abs(a - 1), abs(b - 1)
        won += 0.5 if a == b else float((a > b) == (better == "higher"))
        differences.append(a - b)
    found = paired(ours, theirs, better)
    assert (found.better, found.count) == (won, 5)
    assert found.difference.value == pytest.approx(np.mean(differences))
    low, high = mean_estimate(differences).low, mean_estimate(differences).high
    assert [found.difference.low, found.difference.high] == pytest.approx([low, high])


def test_the_comparison_is_by_clips_and_not_by_means():
    """Clips differ far more from each other than the two methods do."""
    theirs = scores(20) * 10
    ours = theirs + 0.1 + 0.01 * scores(20, seed=1)
    assert paired(ours, theirs, "higher").differs and paired(theirs, ours, "higher").differs
    assert mean_estimate(ours).low < mean_estimate(theirs).high
    assert not paired(theirs + (scores(20, seed=1) - 6), theirs, "higher").differs
    assert not paired(theirs, theirs, "higher").differs


def test_five_clips_that_agree_are_too_few_to_differ():
    assert not paired([2.0] * 5, [1.0] * 5, "higher").differs
    assert paired([2.0] * 6, [1.0] * 6, "higher").differs


def test_paired_needs_the_same_clips():
    with pytest.raises(ValueError, match="values has 2 clips, baseline 1"):
        paired([1, 2], [1], "lower")


def test_ten_thousand_clips_take_little_memory():
    """All resamples at once would be 160 MB."""
    x = scores(10_000)
    tracemalloc.start()
    found = mean_estimate(x)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 40e6
    error = 1.96 * x.std() / 100  # central limit
    assert [found.low, found.high] == pytest.approx([found.value - error, found.value + error], abs=0.1 * error)
