"""The rows of ./dev bench quality register themselves."""

import dataclasses

import pytest
import torch

from pack.bench import methods, quality
from pack.bench.demo_world import Pair
from pack.demo import world

ROWS = [
    "hold first",
    "cross-fade",
    "truth through the VAE",
    "first-last only",
    "AFB K=30%",
    "AFB K=100%",
    "AFB K=30%, N_a=2, margin 7",
    "random anchor, K=30%",
    "isolation only",
    "KAB",
    "KAB, no isolation",
    "ReTRo amplitude",
    "ReTRo phase",
    "ReTRo warp",
    "KAB + ReTRo",
    "KAB, weights by position",
    "ReTRo amplitude, balanced",
    "AFB K=30% + KAB + ReTRo",
    "the same, AFB's anchor is KAB's",
    "cross-fade, 14 frames",
    "SVD, first picture only",
    "TRF",
    "ViBiD",
    "MPD sequential",
    "MPD parallel",
    "GI without fine-tune",
    "GI",
    *[
        f"{name}, {steps} steps"
        for steps in (5, 10, 20, 50)
        for name in (
            "SDEdit 0.5",
            "SDEdit 0.7",
            "SDEdit 0.85",
            "bridge, unaligned",
            "bridge's counterpart, diffusion trained",
            "bridge trained with SAF",
            "bridge trained without SAF",
            "bridge trained with SAF, neural prior",
        )
    ],
    "neural prior alone",
    "cross-fade prior through the VAE",
]


def test_these_rows_are_installed():
    assert [item.name for item in methods.all_methods()] == ROWS
    assert [item.name for item in methods.all_methods()] == ROWS  # asking twice adds nothing


def test_a_name_is_taken_once():
    methods.all_methods()
    with pytest.raises(ValueError, match="two methods are called 'cross-fade'"):
        methods.method("cross-fade")(lambda world, pair, seed: pair.first)


def test_the_table_shows_means_over_clips():
    numbers = {"psnr_moving": 1.0, "ssim": 0.5, "perceptual": 0.1, "tail_jump": 1.0, "calls": 20, "seconds": 2.0}
    rows = [{"method": "a", "psnr": value, **numbers} for value in (10.0, 20.0)]
    lines = quality.table(rows).splitlines()
    assert len(lines) == 2
    assert lines[1].split() == ["a", "15.00", "1.00", "0.5000", "0.1000", "1.00", "20.0", "2.00"]


def test_methods_see_the_ends_and_the_caption_alone():
    clip = world.clip(1_000_000)
    pair = Pair.of(clip)
    assert torch.equal(pair.first, clip.frames[:1]) and torch.equal(pair.last, clip.frames[-1:])
    assert {field.name for field in dataclasses.fields(pair)} == {"first", "last", "length", "caption"}
    assert [item.name for item in methods.all_methods() if item.sees_truth] == ["truth through the VAE"]


def test_the_baselines_are_what_they_are_called():
    by_name = {item.name: item.make for item in methods.all_methods()}
    pair = Pair.of(world.clip(1_000_000))
    held, faded = by_name["hold first"](None, pair, 0), by_name["cross-fade"](None, pair, 0)
    assert torch.equal(held[20], pair.first[0])
    torch.testing.assert_close(faded[[0, 16, 32]], torch.cat([pair.first, (pair.first + pair.last) / 2, pair.last]))


@pytest.mark.parametrize("clips", ["0", "257"])
def test_a_number_of_clips_that_there_is_not_is_refused(clips, capsys):
    with pytest.raises(SystemExit):
        quality.main(["--clips", clips])
    assert f"--clips {clips} is not between 1 and 256" in capsys.readouterr().err
