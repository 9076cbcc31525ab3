"""Where pictures go on a video, as an artist writes it: "even", "0, 50%, 2.5s, -1". Text and numbers only.

place           written     frame
frame           40, -1      n, or N + n where n is negative
share           p%          floor(p/100 (N - 1) + 1/2)
seconds         t s         floor(t fps + 1/2)
even            even        floor(i (N - 1)/(K - 1) + 1/2) for picture i = 0..K-1; one picture goes on frame 0

N is the video's length in frames, K the number of pictures. Places are separated by commas, one for each picture, in
any order of time. Full-width digits and signs, and the commas of Chinese and Japanese, are taken as well.

Source: ours. web/keyframe_places.js reads the same words in the page.
"""

from __future__ import annotations

import math
import re
import unicodedata

EVEN = "even"
HOW = "A place is a frame (40, or -1 for the last), a share (50%) or seconds (1.5s), with commas between them"
_PLACE = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))\s*(%|s?)", re.IGNORECASE)


def placed_frames(at: str, count: int, length: int, fps: float) -> tuple[int, ...]:
    """The video frame of each picture, in the pictures' order.

    Args:
        at: the places, as above.
        count: pictures, at least 1. length: frames of the video. fps: frames per second.
    Returns:
        As many distinct frames as pictures, each 0 to length-1.
    Raises:
        ValueError: a place that cannot be read or lies outside the video, not as many places as pictures, or two on
            one frame. The message names `at`, what was written and what fits.
    """
    written = places(at)
    if not written:
        raise ValueError(f"at is empty: write even, or {_many(count, 'place')}. {HOW}.")
    if [item.lower() for item in written] == [EVEN]:
        if count > length:
            raise ValueError(
                f"at is even, but {count} pictures do not fit on {length} frames: raise length to {count} or more, or "
                f"leave {count - length} out."
            )
        return tuple(math.floor(place * (length - 1) / max(1, count - 1) + 0.5) for place in range(count))
    frames = tuple(_frame(item, length, fps) for item in written)
    if len(frames) != count:
        raise ValueError(f"at has {_many(len(frames), 'place')} for {_many(count, 'picture')}: write {count}, or even.")
    _check_apart(frames, written, length)
    return frames


def placed_frame(at: str, length: int, fps: float) -> int:
    """The video frame of a single picture.

    Args:
        at: one place, as above; not "even".
    Returns:
        0 to length-1.
    Raises:
        ValueError: several places, or one that cannot be read or lies outside the video.
    """
    written = places(at)
    if len(written) != 1:
        raise ValueError(
            f"at has {len(written)} places, Add Keyframe puts one picture on one of them: write one, or use Storyboard."
        )
    if written[0].lower() == EVEN:
        raise ValueError(
            "at cannot be even for one picture: write a frame, a share (50%) or seconds (1.5s). Storyboard spreads "
            "several evenly."
        )
    return _frame(written[0], length, fps)


def places(at: str) -> list[str]:
    """The places of a text, trimmed, in plain characters; [] if there is none. One comma may stand at the end."""
    plain = unicodedata.normalize("NFKC", at).replace("\u3001", ",").replace("\u2212", "-")
    items = [item.strip() for item in plain.split(",")]
    return items[:-1] if items[-1] == "" else items


def _frame(item: str, length: int, fps: float) -> int:
    """The frame of one place."""
    found = _PLACE.fullmatch(item)
    if item.lower() == EVEN:
        raise ValueError("at has even among other places: even stands alone, and spreads all pictures.")
    if found is None:
        shown = f'"{item}"' if item else "nothing between two commas"
        raise ValueError(f"at has {shown}, which is no place. {HOW}.")
    number, unit = float(found[1]), found[2].lower()
    if unit == "%":
        if not 0 <= number <= 100:
            raise ValueError(f"at has {item}, which is outside the video: use 0% to 100%.")
        return math.floor(number / 100 * (length - 1) + 0.5)
    if unit == "s":
        if not 0 <= number * fps + 0.5 < length or number < 0:
            end = math.floor((length - 1) / fps * 1000) / 1000
            raise ValueError(
                f"at has {item}, which is outside a video of {length} frames at {fps:g} fps: use 0s to {end:.10g}s."
            )
        return math.floor(number * fps + 0.5)
    if not -length <= number < length:
        raise ValueError(
            f"at has {item}, which is outside a video of {length} frames: use 0 to {length - 1}, or -{length} to -1 to "
            "count from the end."
        )
    if number != math.floor(number):
        below = math.floor(number)
        raise ValueError(f"at has {item}, which lies between two frames: write {below} or {below + 1}.")
    return int(number) % length


def _check_apart(frames: tuple[int, ...], written: list[str], length: int) -> None:
    """Raises where two pictures share a frame."""
    for place, frame in enumerate(frames):
        other = frames.index(frame)
        if other < place:
            free = nearest_free(frame, frames, length)
            nearest = f": the nearest free frames are {' and '.join(map(str, free))}" if free else ""
            raise ValueError(
                f"at puts pictures {other + 1} and {place + 1} both on frame {frame} ({written[other]} and "
                f"{written[place]}){nearest}."
            )


def nearest_free(frame: int, taken: tuple[int, ...], length: int) -> list[int]:
    """The nearest frame below and the nearest above that hold no picture, as far as there are."""
    below = [n for n in range(frame - 1, -1, -1) if n not in taken][:1]
    return below + [n for n in range(frame + 1, length) if n not in taken][:1]


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
