"""What a shipped workflow leaves when it ran in its small size: videos and reports."""

from __future__ import annotations

import io
import re

import av
from PIL import Image

LARGE = ("afb_finish_upscale", "multi_keyframe_join")  # take a CPU too long for the page


def is_svd(name):
    return name.endswith("svd_xt")


def rate_of(name):
    """Frames per second of the model."""
    return 7 if is_svd(name) else 24 if "hunyuan" in name else 16


def small_videos(name):
    """Width, height, frames and rate of each video that a small run saves."""
    chained = {"afb_finish_upscale": [(64, 32, 33, 16), (128, 64, 65, 32)], "multi_keyframe_join": [(96, 64, 129, 16)]}
    plain = (96, 64, 9 if is_svd(name) else 33, rate_of(name))
    return chained.get(name, [plain] * (2 if name == "kab_retro_wan2.1_flf2v" else 1))


def measured(file):
    with av.open(str(file)) as video:
        stream = video.streams.video[0]
        return stream.width, stream.height, sum(1 for _ in video.decode(stream)), stream.average_rate


def check_results(name, outputs, server):
    """outputs: of the server, by node title."""
    saved = [value["images"][0] for title, value in outputs.items() if title.startswith(("Save Video", "SaveVideo"))]
    found = sorted(measured(server.output / file["subfolder"] / file["filename"]) for file in saved)
    assert found == small_videos(name)
    if is_svd(name):
        return  # Keyframes to SVD moves no picture and has no report
    if name == "multi_keyframe_join":
        seams = outputs["Report: seams"]["text"][0].splitlines()
        assert seams[0].startswith("4 segments, overlap 1, blend 0: 129 frames of 96x64, 16 fps")
        places = [f"segment_{number} to segment_{number + 1} at frame {32 * number + 1}:" for number in (1, 2, 3)]
        assert [line.split(" jump")[0] for line in seams if line.startswith("segment_")] == places
        return
    if name == "best_of_four":
        told = outputs["Report: takes"]["text"][0]
        ranked = re.findall(r"^\d\. (take_\d):", told, re.M)
        assert sorted(ranked) == ["take_1", "take_2", "take_3", "take_4"]
        assert told.startswith(f"Best: {ranked[0]} of 4 takes")
    report = outputs["Report: keyframes"]["text"][0]
    width, height, length, rate = found[0]
    assert f"{length} frames, {width}x{height}, {rate} fps" in report
    if name.startswith("afb"):
        shown = outputs["Select Anchors (AFB)"]["images"]
        plot, anchor = (Image.open(io.BytesIO(server.image(picture))) for picture in shown)
        assert plot.size == (1200, 600)
        assert anchor.size == (width, height)
        assert "anchor 1: frame" in outputs["Report: anchor"]["text"][0]
        assert (": anchor (whole latent" if "hunyuan" in name else ": anchor (latent") in report
    else:
        assert ("frame 12: added image" in report) == name.startswith("keyframes")
        assert "clip_vision reads first_image and last_image." in report
