"""The videos of numbered slots: their order, names and numbers, with lists and gaps."""

import pytest
import torch

from pack.frames.slot_order import only, slot_videos

NAMES = ["cut_1", "cut_2", "cut_3", "cut_4"]


def video(value: float) -> torch.Tensor:
    return torch.full((2, 4, 4, 3), value)


def laid(slots):
    return [(item.name, item.number, float(item.images[0, 0, 0, 0])) for item in slot_videos(slots, NAMES)]


@pytest.mark.parametrize(
    ("slots", "expected"),
    [
        ({}, []),
        ({"cut_2": video(2), "cut_1": video(1)}, [("cut_1", 1, 1), ("cut_2", 2, 2)]),
        ({"cut_3": video(3)}, [("cut_3", 3, 3)]),
        ({"cut_2": [video(5)], "cut_4": (video(6),)}, [("cut_2", 2, 5), ("cut_4", 4, 6)]),
        ({"cut_1": [video(1), video(2)]}, [("cut_1 (1)", 1, 1), ("cut_1 (2)", 2, 2)]),
        (
            {"cut_2": [video(1), video(2)], "cut_3": video(3)},
            [("cut_2 (1)", 2, 1), ("cut_2 (2)", 3, 2), ("cut_3", 4, 3)],
        ),
        ({"cut_1": [], "cut_2": video(2)}, [("cut_2", 2, 2)]),
    ],
)
def test_slots_and_lists_are_in_order_and_counted_through(slots, expected):
    assert laid(slots) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "cut_1 must be a video, got 3"),
        (torch.zeros(4, 4, 3), r"cut_1 must be a video \[frames"),
        (None, "got None"),
    ],
)
def test_what_is_no_video_is_named(value, message):
    with pytest.raises(ValueError, match=message):
        slot_videos({"cut_1": [value]}, NAMES)


@pytest.mark.parametrize(("values", "value"), [(3, 3), ([3], 3), ((3, 3), 3), ([], None), (None, None), ([None], None)])
def test_equal_values_are_one(values, value):
    assert only("fps", values) == value


def test_different_values_are_refused():
    with pytest.raises(ValueError, match="fps is a list of 3 different values: connect one, which holds for all"):
        only("fps", [16.0, 16.0, 24.0])
