"""Block ranges: what is typed, the paper's range in shallow models, refusals, and scaling with the depth."""

import pytest

from pack.patches.block_range import PAPER_BLOCKS, block_indices, scaled_blocks


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("5-12", (5, 6, 7, 8, 9, 10, 11, 12)),
        ("0,3,8-10", (0, 3, 8, 9, 10)),
        ("  0 ,3, 8 - 10  ", (0, 3, 8, 9, 10)),
        ("8-10,0,3", (0, 3, 8, 9, 10)),
        ("4, 4, 3-5, 5-6", (3, 4, 5, 6)),
        ("7-7", (7,)),
        ("007", (7,)),
        ("39", (39,)),
        ("0-39", tuple(range(40))),
        ("3,,5,", (3, 5)),
    ],
)
def test_numbers_and_ranges_are_read_in_any_order_and_each_once(text, blocks):
    assert block_indices(text, 40) == blocks


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [(40, range(5, 13)), (30, range(5, 13)), (13, range(5, 13)), (12, range(5, 12)), (6, [5]), (5, []), (1, [])],
)
def test_the_paper_s_range_is_taken_as_it_is_and_ends_with_the_model(depth, blocks):
    assert block_indices(PAPER_BLOCKS, depth) == tuple(blocks)


def test_the_paper_s_range_may_stand_beside_others_in_a_shallow_model():
    assert block_indices("0, 5-12", 7) == (0, 5, 6)
    with pytest.raises(ValueError, match="blocks has '9', but this model's blocks are 0 to 6"):
        block_indices("9, 5-12", 7)


@pytest.mark.parametrize("text", ["", " , ", ","])
def test_a_text_without_a_block_is_refused(text):
    with pytest.raises(ValueError, match="which names no block: write for instance 5-12 or 0,3,8-10"):
        block_indices(text, 40)


@pytest.mark.parametrize("item", ["x", "5-", "-5", "5-9-12", "5..12", "5 12", "1.5", "5;7", "all"])
def test_an_item_that_is_no_block_is_named_with_what_to_write(item):
    with pytest.raises(ValueError, match=f"blocks has '{item}', which is no block or range: .* 5-12 or 0,3,8-10"):
        block_indices(f"1, {item}, 3-4", 40)


@pytest.mark.parametrize(("text", "item"), [("40", "40"), ("0, 38-40", "38-40"), ("50-60", "50-60"), ("4-12,99", "99")])
def test_a_block_outside_the_model_is_named_with_the_model_s_blocks(text, item):
    with pytest.raises(ValueError, match=f"blocks has '{item}', but this model's blocks are 0 to 39"):
        block_indices(text, 40)


def test_any_other_range_must_lie_inside_a_shallow_model():
    for text in ("5-11", "4-12", "6-12", "12"):
        with pytest.raises(ValueError, match=f"blocks has '{text}', but this model's blocks are 0 to 7"):
            block_indices(text, 8)


def test_a_range_that_runs_backwards_is_named_the_right_way_round():
    with pytest.raises(ValueError, match="blocks has '12-5', which runs backwards: write 5-12"):
        block_indices("0, 12-5", 40)


@pytest.mark.parametrize(("depth", "blocks"), [(40, range(5, 13)), (30, range(4, 10)), (1, [0]), (2, [0]), (4, [0])])
def test_the_paper_s_share_of_the_blocks_scales_with_the_depth(depth, blocks):
    assert scaled_blocks(depth) == tuple(blocks)


def test_scaled_blocks_are_some_and_inside_a_model_of_any_depth():
    for depth in range(1, 101):
        blocks = scaled_blocks(depth)
        assert blocks
        assert set(blocks) <= set(range(depth))
        assert blocks == tuple(range(blocks[0], blocks[-1] + 1))
        assert abs(blocks[0] - depth / 8) <= 0.5
        assert len(blocks) == pytest.approx(depth / 5, abs=1)


@pytest.mark.parametrize("text", ["9" * 5000, f"0-{'9' * 5000}", "a" * 5000])
def test_a_number_of_many_digits_is_no_block_and_is_shown_in_part(text):
    with pytest.raises(ValueError, match="blocks has '.{40}', which is no block or range"):
        block_indices(text, 40)
