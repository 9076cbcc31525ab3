"""Videos beside each other: every frame is there, in order, under its name."""

import pytest
import torch
from PIL import Image, ImageSequence

from pack.demo import side_by_side

COLOURS = {"red": (1.0, 0.0, 0.0), "blue": (0.0, 0.0, 1.0)}


@pytest.fixture
def videos():
    """Ten frames of a colour each, from dark to bright."""
    brightness = torch.linspace(0.3, 1, 10)[:, None, None, None]
    return {name: brightness * torch.tensor(value).expand(10, 16, 16, 3) for name, value in COLOURS.items()}


def test_the_animation_has_every_frame_and_rests_on_the_last(videos, tmp_path):
    path = side_by_side.write_animation(tmp_path / "a.webp", videos, 16.0)
    pages, durations = [], []
    with Image.open(path) as animation:
        for page in ImageSequence.Iterator(animation):
            pages.append(page.convert("RGB"))
            durations.append(page.info["duration"])
    assert len(pages) == 10
    assert durations[-1] == 1000 and set(durations[:-1]) == {62}
    middle = side_by_side.HEADER + 8 * side_by_side.ZOOM
    left, right = side_by_side.GAP + 32, 2 * side_by_side.GAP + 16 * side_by_side.ZOOM + 32
    for n, page in enumerate(pages):
        expected = 255 * (0.3 + 0.7 * n / 9)
        assert page.getpixel((left, middle))[0] == pytest.approx(expected, abs=6)
        assert page.getpixel((right, middle))[2] == pytest.approx(expected, abs=6)
        assert page.getpixel((left, middle))[2] < 12


def test_the_sheet_has_a_line_per_video_from_first_to_last(videos, tmp_path):
    with Image.open(side_by_side.write_sheet(tmp_path / "a.png", videos)) as sheet:
        last = sheet.width - side_by_side.GAP - 16
        first_line = side_by_side.HEADER + 16
        second_line = first_line + 32 + side_by_side.GAP
        assert sheet.getpixel((last, first_line)) == (255, 0, 0)
        assert sheet.getpixel((last, second_line)) == (0, 0, 255)
