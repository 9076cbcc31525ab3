"""The demo world in TGI-Bench's layout: what is written is what the world shows, and the suite reads it."""

import json
import re

import numpy as np
import pytest

from pack.bench.suite.clip_frames import truth_frames
from pack.bench.suite.dataset import open_dataset
from pack.demo import world
from pack.demo.tgi_bench import write_tgi_bench


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tgi_bench(tmp_path_factory.mktemp("tgi") / "made", 2, (9, 17))


def test_files_lie_as_the_data_set_s_readme_shows_them(folder):
    assert sorted(path.name for path in folder.glob("*.json")) == ["17_dataset_caption.json", "9_dataset_caption.json"]
    entries = json.loads((folder / "9_dataset_caption.json").read_text())
    assert [entry["challenge"] for entry in entries] == [
        "Large motion",
        "Linear motion",
        "Occlusion",
        "Near-static",
    ] * 2
    assert all(
        list(entry) == ["folder", "first_image_desc", "last_image_desc", "challenge", "caption", "reverse_caption"]
        for entry in entries
    )
    assert sorted(path.name for path in folder.glob("*_9")) == sorted(entry["folder"] for entry in entries)
    names = sorted(path.name for path in (folder / entries[0]["folder"]).iterdir())
    assert names == [f"{number:05d}.jpg" for number in range(9)]


def test_pictures_are_described_without_their_motion(folder):
    known = set(" ".join(world.clip(seed, 2).caption for seed in world.TRAIN[:400]).split())
    for length in (9, 17):
        for entry in json.loads((folder / f"{length}_dataset_caption.json").read_text()):
            still = {entry[key].partition(",")[0] for key in ("first_image_desc", "last_image_desc")}
            assert len(still) == 1
            words = still.pop().split()
            assert words[0] == "a" and words[-1] == "ground" and set(words) <= known
            assert not re.search("moves|turns|grows|shrinks|motion|:", " ".join(words))


def test_the_suite_reads_held_out_clips_of_each_length(folder):
    dataset = open_dataset(folder, None, None)
    clips = list(dataset.clips())
    assert dataset.left_out == []
    assert [clip.length for clip in clips] == [9] * 8 + [17] * 8
    for clip, seed in zip(clips, [*world.TEST[:8]] * 2, strict=True):
        true = world.clip(seed, clip.length)
        assert (clip.kind.lower(), clip.caption) == (true.kind, true.caption)
        assert clip.reverse_caption == world.reversed_caption(true.caption) != clip.caption
        apart = truth_frames(clip, world.SIZE, world.SIZE) / 255 - true.frames.numpy()
        assert 10 * np.log10(1 / np.square(apart).mean()) > 40  # jpg


def test_the_same_bytes_each_time(folder, tmp_path):
    again = write_tgi_bench(tmp_path, 2, (9, 17))
    assert contents(again) == contents(folder)


@pytest.mark.parametrize("count", [0, 65])
def test_no_more_clips_than_are_held_out(tmp_path, count):
    with pytest.raises(ValueError, match=f"clips_per_kind must be 1 to 64, got {count}"):
        write_tgi_bench(tmp_path, count)
    assert list(tmp_path.iterdir()) == []
