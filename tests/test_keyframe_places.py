"""The words in which an artist says where pictures go: every form, rounding, and all that is refused."""

import itertools
from fractions import Fraction

import pytest

from pack.frames.keyframe_places import placed_frame, placed_frames, places


def frames(at, count, length=81, fps=16.0):
    return placed_frames(at, count, length, fps)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("0, 40, 80", (0, 40, 80)),
        ("0,40,-1", (0, 40, 80)),
        ("-81, -41, -1", (0, 40, 80)),
        ("0%, 50%, 100%", (0, 40, 80)),
        ("0s, 2.5s, 5s", (0, 40, 80)),
        ("0, 50%, 5s", (0, 40, 80)),
        (" 0 ,  50 % , 2 S ", (0, 40, 32)),
        ("80, 0, 40", (80, 0, 40)),
        ("0, 40, 80,", (0, 40, 80)),
        ("0, 33.3%, 66.7%", (0, 27, 53)),
        (".5s, +9.0, 1.s", (8, 9, 16)),
        ("\uff10\uff0c\uff15\uff10\uff05\u3001\uff0d\uff11", (0, 40, 80)),
    ],
)
def test_every_form_and_their_mixtures_name_frames(at, expected):
    assert frames(at, 3) == expected


@pytest.mark.parametrize("at", ["even", " Even ", "EVEN,"])
@pytest.mark.parametrize(("count", "length"), [(1, 81), (2, 81), (3, 81), (6, 81), (10, 33), (5, 5), (1, 1), (14, 25)])
def test_even_spreads_from_the_first_to_the_last_frame(at, count, length):
    found = frames(at, count, length)
    ideal = [Fraction(place * (length - 1), max(1, count - 1)) for place in range(count)]
    assert all(abs(frame - place) <= Fraction(1, 2) for frame, place in zip(found, ideal, strict=True))
    assert (found[0], found[-1]) == (0, length - 1 if count > 1 else 0)
    gaps = [after - before for before, after in itertools.pairwise(found)]
    assert not gaps or max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("fps", [7.0, 16.0, 23.976, 24.0])
def test_the_last_second_that_a_message_offers_is_the_last_frame(fps):
    with pytest.raises(ValueError, match="use 0s to ") as told:
        frames("0, 99s", 2, fps=fps)
    last = str(told.value).rsplit(" ", 1)[1].rstrip(".")
    assert frames(f"0, {last}", 2, fps=fps) == (0, 80)


def test_halves_go_up_whether_they_are_shares_or_seconds():
    assert frames("50%, 0.03125s", 2, 82) == (41, 1)


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("", "at is empty: write even, or 3 places. A place is a frame"),
        (" , ", "at has nothing between two commas"),
        ("0, 80", "at has 2 places for 3 pictures: write 3, or even"),
        ("40", "at has 1 place for 3 pictures: write 3, or even"),
        ("0, 1, 2, 3", "at has 4 places for 3 pictures: write 3, or even"),
        ("0, even, 80", "at has even among other places: even stands alone"),
        ("0, middle, 80", 'at has "middle", which is no place. A place is a frame'),
        ("0,, 80", "at has nothing between two commas, which is no place"),
        ("0 40 80", 'at has "0 40 80", which is no place. A place is a frame .* with commas between them'),
        ("0, 1e1, 80", 'at has "1e1", which is no place'),
        ("0, nan, inf", 'at has "nan", which is no place'),
        ("0, 40.5, 80", "at has 40.5, which lies between two frames: write 40 or 41"),
        ("0, -0.5, 80", "at has -0.5, which lies between two frames: write -1 or 0"),
        ("0, 81, 80", "at has 81, which is outside a video of 81 frames: use 0 to 80, or -81 to -1"),
        ("0, -82, 80", "at has -82, which is outside a video of 81 frames"),
        ("0, 101%, 80", "at has 101%, which is outside the video: use 0% to 100%"),
        ("0, -10%, 80", "at has -10%, which is outside the video: use 0% to 100%"),
        ("0, 5.1s, 80", "at has 5.1s, which is outside a video of 81 frames at 16 fps: use 0s to 5s"),
        ("0, -1s, 80", "at has -1s, which is outside a video of 81 frames at 16 fps"),
        (f"0, {'9' * 500}, 80", "which is outside a video of 81 frames"),
        (f"0, {'9' * 500}s, 80", "which is outside a video of 81 frames"),
        ("0, 50%, 2.5s", r"at puts pictures 2 and 3 both on frame 40 \(50% and 2.5s\): the nearest free frames are 39"),
        ("80, -1, 0", r"both on frame 80 \(80 and -1\): the nearest free frames are 79\."),
    ],
)
def test_what_does_not_fit_is_said_with_what_does(at, message):
    with pytest.raises(ValueError, match=message):
        frames(at, 3)


def test_even_says_how_long_the_video_must_be():
    with pytest.raises(
        ValueError, match="3 pictures do not fit on 2 frames: raise length to 3 or more, or leave 1 out"
    ):
        frames("even", 3, 2)


@pytest.mark.parametrize(("at", "frame"), [("40", 40), ("-1", 80), ("50%", 40), ("1.5s", 24), ("12,", 12)])
def test_one_place_for_one_picture(at, frame):
    assert placed_frame(at, 81, 16.0) == frame


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("0, 40", "at has 2 places, Add Keyframe puts one picture on one of them: write one, or use Storyboard"),
        ("even", "at cannot be even for one picture: write a frame, .* Storyboard spreads several"),
        ("81", "at has 81, which is outside a video of 81 frames"),
        ("40.5", "write 40 or 41"),
    ],
)
def test_one_place_is_said_as_clearly(at, message):
    with pytest.raises(ValueError, match=message):
        placed_frame(at, 81, 16.0)


def test_a_text_of_spaces_has_no_places():
    assert places("  ") == []
