"""The rows of ./dev bench quality: who registers what, what a row may know, what is compared with what."""

import pytest
import torch

from pack.bench import methods, quality
from pack.bench.pair import Pair
from pack.bench.paired import difference
from pack.bench.scene import Scene
from pack.demo import world


def by_group():
    found = {}
    for item in methods.all_methods():
        found.setdefault(item.group, []).append(item.name)
    return found


def test_these_groups_are_installed_and_asking_twice_adds_nothing():
    first = by_group()
    assert list(first) == [
        "no transformer",
        "flf2v",
        "i2v",
        "flf2v, reach 1 (constructed)",
        "flf2v, 49 frames",
        "flf2v, 65 frames",
        "SVD, 14 frames",
        "t2v",
    ]
    assert by_group() == first


@pytest.mark.parametrize("group", ["flf2v", "i2v", "flf2v, reach 1 (constructed)"])
def test_every_base_has_the_method_its_variants_and_its_controls(group):
    for name in (
        "AFB K=30%",
        "AFB K=100%",
        "AFB, candidates in 2 steps of their own",
        "AFB, candidates in 4 steps of their own",
        "AFB K=30%, N_a=2",
        "AFB by disagreement, both K=100%",
        "AFB by disagreement, both K=30%",
        "AFB by disagreement, both in 4 own steps",
        "control: true picture at the place of K=30%",
        "control: true picture in the middle",
        "control: the forward video's own picture",
        "control: K=30%, random place",
        "control: K=30%, random place in the later half",
        "control: K=30%, fixed 0.75",
    ):
        assert name in by_group()[group]


@pytest.mark.parametrize("group", ["flf2v", "flf2v, 49 frames", "flf2v, 65 frames"])
def test_attention_and_position_are_judged_at_three_lengths(group):
    assert {"first-last only", "KAB", "ReTRo", "KAB + ReTRo"} <= set(by_group()[group])


def test_whatever_is_compared_is_compared_with_a_row_of_its_group():
    groups = by_group()
    for item in methods.all_methods():
        assert item.against is None or item.against in groups[item.group]
        assert (item.against is None) == (
            item.base is None
            or item.name in ("first-last only", "first picture only")
            or item.name.startswith("bridge's counterpart")
        )


def test_a_name_is_taken_once_in_a_group():
    methods.all_methods()
    with pytest.raises(ValueError, match="two methods of no transformer are called 'cross-fade'"):
        methods.method("cross-fade")(lambda scene: scene.pair.first)


def test_rows_that_are_asked_for_bring_what_they_are_compared_with():
    found = quality.chosen(methods.all_methods(), ["afb k=100"], ["i2v"])
    assert [quality.titled(item) for item in found] == ["i2v: first-last only", "i2v: AFB K=100%"]
    whole = quality.chosen(methods.all_methods(), ["i2v: AFB K=30%"], [])
    assert [quality.titled(item) for item in whole] == ["i2v: first-last only", "i2v: AFB K=30%"]
    assert quality.chosen(methods.all_methods(), [], []) == methods.all_methods()
    assert quality.chosen(methods.all_methods(), ["nothing is called so"], []) == []


def test_methods_see_the_ends_and_the_caption_alone():
    clip = world.clip(1_000_000)
    pair = Pair.of(clip)
    assert torch.equal(pair.first, clip.frames[:1]) and torch.equal(pair.last, clip.frames[-1:])
    assert set(vars(pair)) == {"first", "last", "length", "caption"}
    seeing = {item.name for item in methods.all_methods() if item.sees_truth}
    assert all("truth" in name or "true picture" in name for name in seeing)


def test_the_baselines_are_what_they_are_called():
    by_name = {item.name: item.make for item in methods.all_methods() if item.base is None}
    scene = Scene(None, world.clip(1_000_000), 0)
    held, faded = by_name["hold first"](scene), by_name["cross-fade"](scene)
    first, last = scene.pair.first, scene.pair.last
    assert torch.equal(held[20], first[0])
    torch.testing.assert_close(faded[[0, 16, 32]], torch.cat([first, (first + last) / 2, last]))


class CountingWorld:
    """A base whose every video costs 20 calls."""

    calls = 0

    def track(self, pair):
        return "track"

    def video(self, track, caption, seed, model=None):
        self.calls += 20
        return torch.zeros(33, 64, 64, 3)


def test_a_part_that_two_rows_share_is_made_once_and_counts_in_both():
    world_, clip = CountingWorld(), world.clip(1_000_000)
    scene = Scene(world_, clip, 0)
    first, second = scene.begun(), scene.begun()
    first.forward()
    second.forward()
    second.video("another track")
    assert (first.calls, second.calls, world_.calls) == (20, 40, 40)
    assert second.seconds >= first.seconds > 0


def test_a_difference_is_paired_with_an_interval_and_the_clips_better():
    found = difference([2.0, 3.0, 4.0, 3.5], [1.0, 2.5, 4.5, 2.0], True)
    assert found.mean == pytest.approx(0.625)
    assert (found.better, found.clips) == (3, 4)
    assert -0.5 <= found.low < found.mean < found.high <= 1.5
    assert found == difference([2.0, 3.0, 4.0, 3.5], [1.0, 2.5, 4.5, 2.0], True)
    assert difference([2.0, 3.0, 4.0, 3.5], [1.0, 2.5, 4.5, 2.0], False).better == 1


def test_an_interval_covers_the_mean_of_the_clips_it_was_drawn_from_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(60):
        drawn = torch.randn(40, generator=generator).tolist()
        found = difference(drawn, [0.0] * 40, True)
        covered += found.low <= 0 <= found.high
    assert 50 <= covered <= 60


def test_one_clip_has_no_interval_and_equal_rows_have_none_of_width():
    alone = difference([2.0], [1.0], True)
    assert (alone.mean, alone.low, alone.high) == (1.0, None, None)
    assert "no interval" in quality.difference_shown(alone)
    same = difference([1.0, 2.0], [1.0, 2.0], True)
    assert (same.mean, same.low, same.high, same.better) == (0.0, 0.0, 0.0, 0)
    with pytest.raises(ValueError, match="2 and 1 numbers cannot be compared in pairs"):
        difference([1.0, 2.0], [1.0], True)


def test_the_table_shows_means_and_below_them_differences():
    numbers = {"ssim": 0.5, "perceptual": 0.1, "calls": 20, "seconds": 2.0, "group": "i2v"}
    rows = [
        {"method": name, "psnr": value + gain, "psnr_moving": value, "tail_jump": 2.0 - gain, **numbers}
        for name, gain in (("first-last only", 0.0), ("AFB K=100%", 1.0))
        for value in (10.0, 20.0)
    ]
    asked = quality.chosen(methods.all_methods(), ["afb k=100"], ["i2v"])
    lines = quality.tables(asked, rows).splitlines()
    assert lines[0] == "i2v"
    assert lines[3].split()[2:] == ["16.00", "15.00", "0.5000", "0.1000", "1.00", "20.0", "2.00"]
    assert lines[5].split("  ")[-5:] != lines[3].split("  ")[-5:]
    assert "+1.00 [+1.00, +1.00] 2/2" in lines[5]
    assert "-1.00 [-1.00, -1.00] 2/2" in lines[5]
    assert "+0.00 [+0.00, +0.00] 0/2" in lines[5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clips", "0"], "at least 1 clip"),
        (["--first-seed", "-3"], "seeds from 0 on"),
        (["--methods", "AFB", "magic"], "'magic' names no row; there are: no transformer: hold first;"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        quality.main(arguments)
    assert message in capsys.readouterr().err


def test_a_range_of_seeds_is_named_after_its_split():
    assert quality.split_of(range(2_000_000, 2_000_008)) == "test clips"
    assert quality.split_of(range(1_000_000, 1_000_256)) == "validation clips"
    assert quality.split_of(range(5_000_000, 5_000_002)) == "no split's clips"
