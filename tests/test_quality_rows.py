"""The rows of ./dev bench quality register themselves."""

import pytest

from pack.bench import methods, quality

ROWS = [
    "hold first",
    "cross-fade",
    "truth through the VAE",
    "first-last only",
    "AFB K=30%",
    "AFB K=100%",
    "AFB K=30%, N_a=2",
    "anchor at a random place, K=30%",
]


def test_these_rows_are_installed():
    assert [item.name for item in methods.all_methods()] == ROWS
    assert [item.name for item in methods.all_methods()] == ROWS  # asking twice adds nothing


def test_a_name_is_taken_once():
    methods.all_methods()
    with pytest.raises(ValueError, match="two methods are called 'cross-fade'"):
        methods.method("cross-fade")(lambda world, clip, seed: clip.frames)


def test_the_table_shows_means_over_clips():
    numbers = {"psnr_moving": 1.0, "ssim": 0.5, "perceptual": 0.1, "tail_jump": 1.0, "calls": 20, "seconds": 2.0}
    rows = [{"method": "a", "psnr": value, **numbers} for value in (10.0, 20.0)]
    lines = quality.table(rows).splitlines()
    assert len(lines) == 2
    assert lines[1].split() == ["a", "15.00", "1.00", "0.5000", "0.1000", "1.00", "20.0", "2.00"]
