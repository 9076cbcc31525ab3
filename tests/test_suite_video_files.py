"""Frames on disk: exactly, in the right number, or not at all."""

import numpy as np
import pytest
from PIL import Image

from pack.bench.suite.video_files import (
    decoded_pictures,
    encoded_picture,
    file_name,
    nearest_frames,
    read_video,
    resampled,
    resized,
    write_exactly,
    write_for_the_eye,
)


def frames(count, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(5, 64, 64), (3, 48, 50), (2, 17, 33), (1, 16, 16)])
def test_every_frame_comes_back_bit_for_bit(shape, tmp_path):
    video = frames(*shape)
    write_exactly(tmp_path / "a" / "v.mkv", video, 16.0)
    assert np.array_equal(read_video(tmp_path / "a" / "v.mkv"), video)


def test_equal_frames_are_all_kept(tmp_path):
    video = np.repeat(frames(1, 32, 32), 7, axis=0)
    write_exactly(tmp_path / "v.mkv", video, 7.0)
    assert np.array_equal(read_video(tmp_path / "v.mkv"), video)


def test_the_file_for_the_eye_is_close_and_has_every_frame(tmp_path):
    video = np.linspace(0, 255, 9)[:, None, None, None].repeat(64, 1).repeat(64, 2).repeat(3, 3).astype(np.uint8)
    write_for_the_eye(tmp_path / "v.mp4", video, 16.0)
    seen = read_video(tmp_path / "v.mp4")
    assert seen.shape == video.shape
    assert abs(seen.astype(int) - video).max() <= 4


def test_pictures_of_a_server_become_frames():
    video = frames(3, 8, 10)
    assert np.array_equal(decoded_pictures([encoded_picture(frame) for frame in video]), video)
    with pytest.raises(ValueError, match="the workflow gave no frames"):
        decoded_pictures([])
    with pytest.raises(ValueError, match="several sizes"):
        decoded_pictures([encoded_picture(frames(1, 8, size)[0]) for size in (8, 10)])


def test_another_length_is_made_of_the_nearest_frames():
    assert nearest_frames(25, 25) == list(range(25))
    assert nearest_frames(3, 5) == [0, 1, 1, 2, 2]
    assert nearest_frames(9, 3) == [0, 4, 8]
    for there, length in ((25, 33), (33, 25), (81, 65), (14, 81)):
        found = nearest_frames(there, length)
        exact = [n * (there - 1) / (length - 1) for n in range(length)]
        assert (found[0], found[-1], len(found)) == (0, there - 1, length)
        assert max(abs(a - b) for a, b in zip(found, exact, strict=True)) <= 0.5
    video = frames(4, 8, 8)
    assert np.array_equal(resampled(video, 7), video[nearest_frames(4, 7)])
    assert resampled(video, 4) is video


def test_another_size_is_pillows():
    video = frames(2, 32, 48)
    wanted = [np.asarray(Image.fromarray(one).resize((24, 16), Image.Resampling.LANCZOS)) for one in video]
    assert np.array_equal(resized(video, 24, 16), np.stack(wanted))
    assert resized(video, 48, 32) is video


def test_a_broken_picture_of_a_server_is_told():
    whole = encoded_picture(frames(1, 64, 64)[0])
    for broken in (b"<html>", whole[: len(whole) // 2]):
        with pytest.raises(ValueError, match="frame 1 that the server handed over is broken"):
            decoded_pictures([whole, broken])


def test_names_of_files_are_safe_and_stay_different():
    assert file_name("bear_01") == "bear_01"
    names = ["a/b", "a_b", "a b", "../a", "ä", "", ".", "CON?", "x" * 200, "x" * 201]
    found = [file_name(name) for name in names]
    assert len(set(found)) == len(names)
    assert all("/" not in name and not name.startswith(".") and 0 < len(name) < 100 for name in found)


def test_a_file_that_cannot_be_written_is_told_and_leaves_nothing(tmp_path):
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(OSError, match="cannot be written"):
        write_exactly(tmp_path / "folder" / "v.mkv", frames(1, 16, 16), 16.0)
