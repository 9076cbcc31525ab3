"""A storyboard's pictures in their order over slots, batches and lists, and every picture that is not there."""

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack
from pack.frames.storyboard import check_switched_on, only_picture, storyboard_track
from pack.frames.storyboard_strip import HEIGHT, LEFT, RIGHT, RULER, WIDTH, storyboard_strip

EMPTY = KeyframeTrack(64, 48, 33)
RED, BLUE = torch.tensor([200, 60, 60]), torch.tensor([28, 98, 168])


def grey(*values, width=4):
    """A batch of plain pictures of these values."""
    return torch.stack([torch.full((3, width, 3), value) for value in values])


def made(slots, at="even", strength=1.0, track=EMPTY):
    found = storyboard_track(slots, at, strength, track).keyframes
    return [(item.frame, round(float(item.image.mean()), 3), item.source) for item in found]


@pytest.mark.parametrize(
    "slots",
    [
        {"picture_1": [grey(0.1)], "picture_2": [grey(0.2)], "picture_3": [grey(0.3)]},
        {"picture_1": [grey(0.1, 0.2, 0.3)]},
        {"picture_1": [grey(0.1), grey(0.2, width=7), grey(0.3)]},
        {"picture_1": [grey(0.1, 0.2)], "picture_2": [grey(0.3)]},
        {"picture_1": [grey(0.1), grey(0.2, 0.3)]},
        {"picture_3": [grey(0.3)], "picture_1": [grey(0.1)], "picture_2": [grey(0.2)]},
        {"picture_1": grey(0.1, 0.2), "picture_2": [grey(0.3)], "picture_3": [None], "picture_4": None},
    ],
    ids=["slots", "batch", "list", "batch and slot", "list of batches", "slots in another order", "open slots"],
)
def test_pictures_are_used_in_the_order_of_slots_and_in_them(slots):
    assert made(slots) == [(0, 0.1, "picture 1"), (16, 0.2, "picture 2"), (32, 0.3, "picture 3")]


def test_places_follow_the_pictures_and_the_track_is_in_order_of_time():
    assert made({"picture_1": [grey(0.1, 0.2)]}, "-1, 25%") == [(8, 0.2, "picture 2"), (32, 0.1, "picture 1")]


def test_the_track_says_strength_and_what_was_changed():
    track = storyboard_track({"picture_1": [torch.rand(1, 3, 4, 4)]}, "0", 0.5, EMPTY)
    assert [(item.strength, item.change) for item in track.keyframes] == [(0.5, "alpha dropped")]
    assert EMPTY.keyframes == ()


@pytest.mark.parametrize(
    ("slots", "at", "message"),
    [
        ({}, "even", "pictures is empty: connect a picture to picture_1"),
        ({"picture_1": [None]}, "even", "pictures is empty"),
        ({"picture_1": [grey(0.1)[:0]]}, "even", "pictures is empty"),
        (
            {"picture_1": [grey(0.1)], "picture_3": [grey(0.1)]},
            "even",
            "picture_2 is empty, though picture_3 has a pict",
        ),
        ({"picture_2": [grey(0.1)]}, "even", "picture_1 is empty, though picture_2 has a picture"),
        ({"picture_1": [grey(0.1, 0.2)]}, "0", "at has 1 place for 2 pictures"),
        ({"picture_1": [torch.full((1, 3, 4, 3), torch.nan)]}, "0", "picture_1 has pixels that are not numbers"),
        ({"picture_1": [torch.rand(2, 3, 4, 2)]}, "even", "picture_1, image 1 of 2, has 2 channels"),
    ],
)
def test_what_is_missing_is_said(slots, at, message):
    with pytest.raises(ValueError, match=message):
        made(slots, at)


def test_one_picture_is_taken_alone_or_in_a_list_and_several_name_storyboard():
    picture = grey(0.4)
    assert only_picture(picture, "image") is only_picture([picture], "image") is picture
    for several in (grey(0.1, 0.2), [grey(0.1), grey(0.2)], [grey(0.1, 0.2)]):
        with pytest.raises(
            ValueError, match="image has 2 pictures, Add Keyframe takes one: connect them to Storyboard"
        ):
            only_picture(several, "image")


def graph(mode, origin=3, **board):
    """A page's file: Load Image 3 goes to slot 2 of the storyboard 7."""
    nodes = [
        {"id": 3, "type": "LoadImage", "title": "Middle", "mode": mode},
        {
            "id": 7,
            "type": "InbetweenStoryboard",
            "inputs": [
                {"name": "pictures.picture_1", "link": None},
                {"name": "pictures.picture_2", "link": 5},
                {"name": "at", "link": None},
            ],
        },
    ]
    return {"nodes": nodes, "links": [[5, origin, 0, 7, 1, "IMAGE"]]}


@pytest.mark.parametrize(("mode", "word"), [(2, "muted"), (4, "bypassed")])
def test_a_picture_that_is_switched_off_is_named(mode, word):
    with pytest.raises(ValueError, match=f"picture_2 is empty because Middle, .*, is {word}: switch it on, or disconn"):
        check_switched_on(graph(mode), "7", {"picture_1": [grey(0.1)]})


@pytest.mark.parametrize("mode", [2, 4])
def test_a_picture_that_is_switched_off_is_named_inside_subgraphs(mode):
    inner = graph(mode)
    inner["links"] = [{"id": 5, "origin_id": 3, "origin_slot": 0, "target_id": 7, "target_slot": 1}]
    outer = {"id": "outer", "nodes": [{"id": 12, "type": "inner", "inputs": []}], "links": []}
    whole = {
        "nodes": [{"id": 4, "type": "outer"}],
        "links": [],
        "definitions": {"subgraphs": [outer, {"id": "inner", **inner}]},
    }
    with pytest.raises(ValueError, match="picture_2 is empty because Middle"):
        check_switched_on(whole, "4:12:7", {})


@pytest.mark.parametrize(
    ("workflow", "node_id", "slots"),
    [
        (graph(0), "7", {}),  # the node is on
        (graph(2), "7", {"picture_2": [grey(0.1)]}),  # it came all the same
        (graph(2, origin=-10), "7", {}),  # the subgraph's own open input
        (graph(2), "8", {}),  # not in the file
        (graph(2), "4:7", {}),
        ({}, "7", {}),  # no page
    ],
)
def test_nothing_is_said_where_no_picture_is_switched_off(workflow, node_id, slots):
    check_switched_on(workflow, node_id, slots)


def strip_of(length, *frames):
    track = KeyframeTrack(64, 48, length)
    for frame in frames:
        track = track.with_keyframe(Keyframe(frame, grey(0.5)))
    return storyboard_strip(track, [torch.ones(48, 64, 3) * 0.5] * len(frames))


def colour_at(strip, length, frame):
    """The strip's colour on the ruler at a frame, 0..255."""
    column = round(LEFT + (RIGHT - LEFT) * frame / (length - 1))
    return (strip[0, RULER, column] * 255).round().long()


def test_dots_stand_where_wan_holds_the_pictures():
    strip = strip_of(33, 0, 14, 32)
    assert strip.shape == (1, HEIGHT, WIDTH, 3)
    assert 0 <= float(strip.min()) <= float(strip.max()) <= 1
    for frame in (0, 16, 32):
        torch.testing.assert_close(colour_at(strip, 33, frame), BLUE, atol=2, rtol=0)
    assert (colour_at(strip, 33, 14) - BLUE).abs().max() > 20


def test_a_dot_is_red_where_two_pictures_are_held_on_one_frame():
    strip = strip_of(33, 0, 15, 17)
    torch.testing.assert_close(colour_at(strip, 33, 16), RED, atol=2, rtol=0)
    torch.testing.assert_close(colour_at(strip, 33, 0), BLUE, atol=2, rtol=0)


@pytest.mark.parametrize(("length", "frames"), [(1, (0,)), (2, (0, 1)), (14, range(14)), (16384, (0, 7)), (81, ())])
def test_a_strip_of_any_length_is_drawn(length, frames):
    strip = strip_of(length, *frames)
    assert strip.shape == (1, HEIGHT, WIDTH, 3)
    assert float(strip.std()) > 0.01
