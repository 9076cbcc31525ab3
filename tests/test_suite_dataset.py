"""Clips to judge on: what is read of TGI-Bench's layout and of plain folders, and one sentence for what is not."""

import json
import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pack.bench.suite import clip_frames
from pack.bench.suite.clip_frames import truth_frames
from pack.bench.suite.clips import ClipError, SuiteClip
from pack.bench.suite.dataset import open_dataset


def noise(count, width=16, height=12, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def write_pictures(folder, frames, name="{:05d}.png", **options):
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / name.format(number), **options)
    return folder


def write_video(path, frames, codec="ffv1", form="bgr0"):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(16))
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], form
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def captions(folder, length, entries):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{length}_dataset_caption.json").write_text(entries if isinstance(entries, str) else json.dumps(entries))


def entry(folder, **others):
    return {
        "folder": folder,
        "first_image_desc": "a",
        "last_image_desc": "b",
        "challenge": "Large motion",
        "caption": f"what happens in {folder}",
        **others,
    }


def clip_of(source, length):
    return SuiteClip("a clip", "", length, "", "", source)


def read_all(folder, lengths=None, caption=None):
    dataset = open_dataset(folder, lengths, caption)
    return list(dataset.clips()), dataset.left_out


# TGI-Bench


def test_a_folder_as_tgi_bench_s_readme_shows_it(tmp_path):
    captions(tmp_path, 33, [entry("aerobatics", reverse_caption="backwards")])
    captions(tmp_path, 25, [entry("air_conditioner", challenge="Occlusion"), entry("aerobatics")])
    frames = noise(3)
    write_pictures(tmp_path / "aerobatics", frames)
    dataset = open_dataset(tmp_path, None, None)
    assert (dataset.name, dataset.lengths) == (tmp_path.name, (25, 33))
    assert list(dataset.clips()) == [
        SuiteClip(
            "air_conditioner", "Occlusion", 25, "what happens in air_conditioner", "", tmp_path / "air_conditioner"
        ),
        SuiteClip("aerobatics", "Large motion", 25, "what happens in aerobatics", "", tmp_path / "aerobatics"),
        SuiteClip("aerobatics", "Large motion", 33, "what happens in aerobatics", "backwards", tmp_path / "aerobatics"),
    ]
    assert dataset.left_out == []


@pytest.mark.parametrize("given", ["", "one folder up"])
@pytest.mark.parametrize("place", [".", "25", "25_frames", "frames"])
@pytest.mark.parametrize("folder", ["cat", "./cat/", "sub/cat", "sub\\cat"])
def test_a_clip_s_folder_is_found_where_it_may_lie(tmp_path, place, folder, given):
    captions(tmp_path / "TGI-Dataset", 25, [entry(folder)])
    name = folder.replace("\\", "/").strip("./")
    source = tmp_path / "TGI-Dataset" / place / name
    source.mkdir(parents=True)
    (clip,), left_out = read_all(tmp_path if given else tmp_path / "TGI-Dataset")
    assert (clip.source, clip.name, left_out) == (source, name, [])


def test_the_folder_of_the_length_is_nearer_than_one_for_all(tmp_path):
    captions(tmp_path, 25, [entry("cat")])
    captions(tmp_path, 33, [entry("cat")])
    (tmp_path / "cat").mkdir()
    (tmp_path / "25" / "cat").mkdir(parents=True)
    assert [clip.source for clip in read_all(tmp_path)[0]] == [tmp_path / "25" / "cat", tmp_path / "cat"]


@pytest.mark.parametrize("folder", ["25/cat", "25_frames/cat", "frames/25/cat"])
def test_a_parent_that_only_says_the_length_is_not_in_the_name(tmp_path, folder):
    captions(tmp_path, 25, [entry(folder)])
    (tmp_path / folder).mkdir(parents=True)
    (clip,), _ = read_all(tmp_path)
    assert (clip.name, clip.source) == ("cat", tmp_path / folder)


def test_frames_beside_the_folder_of_the_captions(tmp_path):
    captions(tmp_path / "annotations", 25, [entry("cat")])
    (tmp_path / "frames" / "cat").mkdir(parents=True)
    (clip,), _ = read_all(tmp_path)
    assert clip.source == tmp_path / "frames" / "cat"


def test_an_entry_for_each_folder_in_place_of_a_list(tmp_path):
    captions(tmp_path, 25, {"cat": {"caption": "a cat"}, "7": {"folder": 7, "caption": "seven"}})
    clips, left_out = read_all(tmp_path)
    assert [(clip.name, clip.kind, clip.caption) for clip in clips] == [("cat", "", "a cat"), ("7", "", "seven")]
    assert left_out == []


@pytest.mark.parametrize("folder", ["/etc", "../cat", "cat/../../dog", "C:\\cat", "\\\\server\\cat", "..\\cat"])
def test_no_entry_leads_out_of_the_data_folder(tmp_path, folder):
    captions(tmp_path, 25, [entry(folder), entry("dog")])
    clips, left_out = read_all(tmp_path)
    assert [clip.name for clip in clips] == ["dog"]
    assert len(left_out) == 1
    assert "25_dataset_caption.json: entry 1 has the folder" in left_out[0]
    assert "leads out of the data folder" in left_out[0]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("cat", "is not of the form"),
        ({"caption": "x"}, "has no folder"),
        (entry(""), "has no folder"),
        (entry("."), "has no folder"),
        (entry("a\0b"), "has no folder"),
        (entry(True), "has no folder"),
        (entry("cat", caption=""), "(cat) has no caption"),
        (entry("cat", caption=None), "(cat) has no caption"),
        (entry("cat", caption=["x"]), "has a caption that is not text"),
        (entry("cat", challenge=3), "has a challenge that is not text"),
    ],
)
def test_an_entry_that_is_no_clip_is_a_sentence_and_the_others_are_read(tmp_path, wrong, sentence):
    captions(tmp_path, 25, [entry("a"), wrong, entry("b")])
    clips, left_out = read_all(tmp_path)
    assert [clip.name for clip in clips] == ["a", "b"]
    assert len(left_out) == 1
    assert "25_dataset_caption.json: entry 2" in left_out[0]
    assert sentence in left_out[0]


def test_a_caption_for_all_helps_entries_without_one(tmp_path):
    captions(tmp_path, 25, [entry("a", caption=" "), entry("b")])
    clips, left_out = read_all(tmp_path, caption="something")
    assert [clip.caption for clip in clips] == ["something", "what happens in b"]
    assert left_out == []


def test_a_name_is_taken_once_in_a_length_and_again_in_the_next(tmp_path):
    captions(tmp_path, 25, [entry("a"), entry("b"), entry("./a")])
    captions(tmp_path, 33, [entry("a")])
    clips, left_out = read_all(tmp_path)
    assert [(clip.name, clip.length) for clip in clips] == [("a", 25), ("b", 25), ("a", 33)]
    assert left_out == [f"{tmp_path / 'a'} is left out: another clip is called 'a' too."]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[\n {"folder": "a",\n}]', r"25_dataset_caption\.json, line 3: no JSON"),
        ("", r"25_dataset_caption\.json, line 1: no JSON"),
        ("3", "holds neither a list of entries nor"),
    ],
)
def test_a_broken_caption_file_leaves_out_its_length_alone(tmp_path, text, sentence):
    captions(tmp_path, 25, text)
    captions(tmp_path, 33, [entry("a")])
    dataset = open_dataset(tmp_path, None, None)
    for _ in range(2):  # told once however often it is read
        assert [clip.length for clip in dataset.clips()] == [33]
        assert len(dataset.left_out) == 1
        with pytest.raises(ClipError, match=sentence):
            raise ClipError(dataset.left_out[0])


def test_a_caption_file_in_another_encoding_is_a_sentence(tmp_path):
    (tmp_path / "25_dataset_caption.json").write_bytes('[{"folder": "é"}]'.encode("latin-1"))
    clips, left_out = read_all(tmp_path)
    assert clips == []
    assert "is not UTF-8 text" in left_out[0]


def test_lengths_that_are_not_there_are_named_and_the_others_read(tmp_path):
    captions(tmp_path, 25, [entry("a")])
    captions(tmp_path, 65, [entry("a")])
    dataset = open_dataset(tmp_path, [81, 65, 65], None)
    assert dataset.lengths == (65,)
    assert dataset.left_out == [
        f"{tmp_path} has no 81_dataset_caption.json, so length 81 is left out; there are those of 25, 65."
    ]
    assert [clip.length for clip in dataset.clips()] == [65]
    assert len(dataset.left_out) == 1
    with pytest.raises(ClipError, match=r"has no captions for length 33, 81; there are those of 25, 65\."):
        open_dataset(tmp_path, [33, 81], None)


def test_two_folders_with_captions_for_one_length_are_not_chosen_between(tmp_path):
    for name in ("one", "two"):
        captions(tmp_path / name, 25, [entry("a")])
    with pytest.raises(ClipError, match=r"two/25_.* and .*one/25_.* are for the same length"):
        open_dataset(tmp_path, None, None)


def test_ten_thousand_clips_are_read_from_their_captions_alone(tmp_path, monkeypatch):
    captions(tmp_path, 25, [entry(f"clip_{number}") for number in range(10_000)])
    write_pictures(tmp_path / "clip_0", noise(1))
    dataset = open_dataset(tmp_path, None, None)
    listed, real = [], os.scandir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path))
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or real(path))
    monkeypatch.setattr(Image, "open", lambda path: listed.append(path))
    assert sum(1 for _ in dataset.clips()) == 10_000
    assert listed == []


# plain folders


def test_videos_and_folders_of_pictures_are_clips(tmp_path):
    write_video(tmp_path / "clip_10.mkv", noise(2))
    (tmp_path / "clip_2.MP4").touch()
    write_pictures(tmp_path / "clip_3", noise(2))
    for name in ("README.md", ".hidden.mp4", "poster.jpg"):
        (tmp_path / name).touch()
    dataset = open_dataset(tmp_path, [5, 9], "it moves")
    clips = list(dataset.clips())
    assert [(clip.name, clip.length) for clip in clips] == [
        (name, length) for length in (5, 9) for name in ("clip_2", "clip_3", "clip_10")
    ]
    assert {(clip.kind, clip.caption, clip.reverse_caption) for clip in clips} == {("", "it moves", "")}
    assert dataset.left_out == []


def test_a_folder_of_videos_is_their_kind(tmp_path):
    for kind in ("cats", "dogs"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "one.mp4").touch()
        (tmp_path / kind / "one.jpg").touch()  # a thumbnail
    clips, left_out = read_all(tmp_path, [5], "it moves")
    assert [(clip.name, clip.kind, clip.source) for clip in clips] == [
        ("cats/one", "cats", tmp_path / "cats" / "one.mp4"),
        ("dogs/one", "dogs", tmp_path / "dogs" / "one.mp4"),
    ]
    assert left_out == []


def test_a_caption_is_beside_the_clip_or_in_the_list_or_the_one_for_all(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.mp4", "d.mp4", "e.v2.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "f.mp4").touch()
    write_pictures(tmp_path / "g.h", noise(1))
    (tmp_path / "a.txt").write_text(" beside\n")
    (tmp_path / "e.v2.txt").write_text("dotted")
    (tmp_path / "g.h.txt").write_text("pictures")
    (tmp_path / "d.txt").write_text("\n")  # says nothing
    (tmp_path / "captions.json").write_text(json.dumps({"a": "listed", "b": "listed", "c.mp4": "c", "cats/f": "f"}))
    clips, left_out = read_all(tmp_path, [5], "for all")
    assert {clip.name: clip.caption for clip in clips} == {
        "a": "beside",
        "b": "listed",
        "c": "c",
        "cats/f": "f",
        "d": "for all",
        "e.v2": "dotted",
        "g.h": "pictures",
    }
    assert left_out == []
    clips, left_out = read_all(tmp_path, [5, 9])
    assert "d" not in {clip.name for clip in clips}
    assert left_out == [
        f"{tmp_path / 'd.mp4'} has no caption; write one into d.txt beside it, or give --caption."  # once for 5 and 9
    ]


def test_captions_that_cannot_be_read_are_sentences(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "captions.json").write_text('{"a": 3,\n "b": "b"}')
    clips, left_out = read_all(tmp_path, [5], "for all")
    assert [clip.name for clip in clips] == ["b"]
    assert left_out == ["captions.json: the caption of 'a' is not text; write it in quotes."]
    (tmp_path / "captions.json").write_text('{"a": "a",\n}')
    clips, left_out = read_all(tmp_path, [5], "for all")
    assert [clip.caption for clip in clips] == ["for all", "for all"]
    assert len(left_out) == 1
    assert "captions.json, line 2: no JSON" in left_out[0]
    (tmp_path / "captions.json").write_text("[]")
    assert "is not of the form" in read_all(tmp_path, [5], "for all")[1][0]


def test_what_is_no_clip_is_a_sentence(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "a.mov").touch()
    (tmp_path / "empty").mkdir()
    clips, left_out = read_all(tmp_path, [5], "it moves")
    assert [clip.source.name for clip in clips] == ["a.mov"]
    assert left_out == [
        f"{tmp_path / 'a.mp4'} is left out: another clip is called 'a' too.",
        f"{tmp_path / 'empty'} holds neither pictures nor videos; clips lie at most one folder down.",
    ]


def test_a_folder_that_may_not_be_read_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").touch()
    shut, real = tmp_path / "shut", Path.iterdir
    shut.mkdir()

    def iterdir(path):
        if path == shut:
            raise PermissionError(13, "Permission denied")
        return real(path)

    dataset = open_dataset(tmp_path, [5], "it moves")
    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert [clip.name for clip in dataset.clips()] == ["a"]
    assert dataset.left_out == [f"{shut} cannot be read (Permission denied); check it and its permissions."]
    with pytest.raises(ClipError, match=r"shut cannot be read \(Permission denied\)"):
        truth_frames(clip_of(shut, 2), 16, 12)


def test_a_folder_that_holds_no_clips_is_refused_with_what_to_give(tmp_path):
    with pytest.raises(ClipError, match=r"needs \.mp4, .* files, or folders of pictures"):
        open_dataset(tmp_path, [5], None)
    write_pictures(tmp_path, noise(1))
    with pytest.raises(ClipError, match="holds pictures itself: give the folder above it"):
        open_dataset(tmp_path, [5], None)
    with pytest.raises(ClipError, match="is not a folder"):
        open_dataset(tmp_path / "00000.png", [5], None)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ClipError, match="give --lengths"):
        open_dataset(tmp_path, None, None)
    with pytest.raises(ClipError, match="A length of 1 frames makes no video"):
        open_dataset(tmp_path, [5, 1], None)


# frames


@pytest.mark.parametrize("name", ["frame_{}.png", "{}.PNG", "{:05d}.png", "a12_{}.webp"])
def test_the_first_frames_in_the_order_of_their_numbers_as_they_are(tmp_path, name):
    frames = noise(12)
    folder = write_pictures(tmp_path / "a", frames, name, **({"lossless": True} if "webp" in name else {}))
    for other in ("Thumbs.db", "._frame_0.png", "notes.txt"):
        (folder / other).touch()
    for length in (11, 12):
        made = truth_frames(clip_of(folder, length), 16, 12)
        assert made.dtype == np.uint8
        assert np.array_equal(made, frames[:length])


def test_frames_are_cropped_about_the_centre_and_scaled(tmp_path):
    frames = noise(2, 40, 12)
    folder = write_pictures(tmp_path / "a", frames)
    middle = (8, 0, 32, 12)  # 2 to 1
    expected = [Image.fromarray(frame).resize((12, 6), Image.Resampling.LANCZOS, middle) for frame in frames]
    assert np.array_equal(truth_frames(clip_of(folder, 2), 12, 6), np.stack([np.asarray(one) for one in expected]))


def test_a_picture_is_turned_as_its_camera_says(tmp_path):
    frames = noise(2)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera's top is at the right
    folder = write_pictures(tmp_path / "a", frames, exif=exif)
    assert np.array_equal(truth_frames(clip_of(folder, 2), 12, 16), np.rot90(frames, -1, axes=(1, 2)))


def test_pictures_of_other_kinds_become_rgb_and_what_is_transparent_black(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    Image.new("L", (2, 2), 90).save(folder / "0.png")
    Image.new("RGBA", (2, 2), (200, 100, 50, 0)).save(folder / "1.png")
    Image.new("RGBA", (2, 2), (200, 100, 50, 51)).save(folder / "2.png")
    Image.new("P", (2, 2), 1).save(folder / "3.png", transparency=1)
    Image.new("CMYK", (2, 2), (0, 0, 0, 255)).save(folder / "4.jpg")
    made = truth_frames(clip_of(folder, 5), 2, 2)
    assert made[:, 0, 0].tolist() == [[90] * 3, [0] * 3, [40, 20, 10], [0] * 3, [0] * 3]
    Image.new("I;16", (2, 2), 40_000).save(folder / "5.png")
    with pytest.raises(ClipError, match=r"5\.png has more than 8 bits"):
        truth_frames(clip_of(folder, 6), 2, 2)


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("share", [0, 0.02, 0.6])
def test_a_broken_picture_is_named(tmp_path, ending, share):
    folder = write_pictures(tmp_path / "a", noise(3, 64, 64), "{}." + ending)
    broken = folder / f"1.{ending}"
    content = broken.read_bytes()
    broken.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ClipError, match=rf"a/1\.{ending} is broken \(.*\); fetch it again\."):
        truth_frames(clip_of(folder, 3), 64, 64)
    assert len(truth_frames(clip_of(folder, 1), 64, 64)) == 1  # those before it are whole


def test_a_clip_that_is_missing_or_shorter_than_asked_is_named(tmp_path):
    with pytest.raises(ClipError, match=r"gone, the frames of a clip, is missing"):
        truth_frames(clip_of(tmp_path / "gone", 2), 16, 12)
    folder = write_pictures(tmp_path / "a", noise(3))
    video = write_video(tmp_path / "b.mkv", noise(3))
    for source in (folder, video):
        with pytest.raises(ClipError, match=r"has 3 frames, and 4 are asked for: the clip is shorter than asked"):
            truth_frames(clip_of(source, 4), 16, 12)
    (folder / "00000.png").write_bytes(b"")
    with pytest.raises(ClipError, match="shorter than asked"):  # seen before a picture is opened
        truth_frames(clip_of(folder, 4), 16, 12)


def test_frames_of_two_sizes_are_named(tmp_path):
    folder = write_pictures(tmp_path / "a", noise(3))
    Image.new("RGB", (16, 13)).save(folder / "00002.png")
    with pytest.raises(ClipError, match=r"00002\.png has 16x13 pixels, most frames 16x12"):
        truth_frames(clip_of(folder, 3), 16, 12)
    assert len(truth_frames(clip_of(folder, 2), 16, 12)) == 2


@pytest.mark.parametrize("size", [(16, 12), (9, 7)])
@pytest.mark.parametrize("name", ["cover.jpg", "00000_small.png", "a_0001.png"])
def test_a_picture_that_is_none_of_the_frames_is_named(tmp_path, name, size):
    folder = write_pictures(tmp_path / "a", noise(4), "frame_{}.png")
    Image.new("RGB", size).save(folder / name)
    with pytest.raises(
        ClipError, match=rf"a/{name} stands before the end .* unlike frame_0\.png to frame_3\.png; take"
    ):
        truth_frames(clip_of(folder, 4), 16, 12)


def test_a_picture_behind_the_frames_that_are_asked_for_is_left_alone(tmp_path):
    frames = noise(4)
    folder = write_pictures(tmp_path / "a", frames, "{:03d}.png")
    Image.new("RGB", (9, 7)).save(folder / "thumbnail.png")
    assert np.array_equal(truth_frames(clip_of(folder, 4), 16, 12), frames)


def test_two_pictures_of_one_number_are_named(tmp_path):
    folder = write_pictures(tmp_path / "a", noise(4), "{:03d}.png")
    Image.new("RGB", (16, 12)).save(folder / "2.png")
    with pytest.raises(ClipError, match=r"002\.png and 2\.png are both frame 2 of a clip|2\.png and 002\.png are both"):
        truth_frames(clip_of(folder, 4), 16, 12)


def test_the_first_frame_is_named_where_it_alone_has_another_size(tmp_path):
    folder = write_pictures(tmp_path / "a", noise(4), "{}.png")
    Image.new("RGB", (20, 12)).save(folder / "0.png")
    with pytest.raises(ClipError, match=r"a/0\.png has 20x12 pixels, most frames 16x12"):
        truth_frames(clip_of(folder, 4), 16, 12)


@pytest.mark.parametrize(("ending", "codec", "form"), [("mkv", "ffv1", "bgr0"), ("avi", "png", "rgb24")])
def test_a_lossless_video_gives_its_first_frames_exactly(tmp_path, ending, codec, form):
    frames = noise(6)
    video = write_video(tmp_path / f"a.{ending}", frames, codec, form)
    for length in (5, 6):
        assert np.array_equal(truth_frames(clip_of(video, length), 16, 12), frames[:length])


def test_an_animation_with_clear_parts_lies_over_black(tmp_path):
    pictures = [Image.new("RGBA", (8, 8), (250, 0, 0, 255)) for _ in range(3)]
    for number, one in enumerate(pictures):
        one.paste((0, 0, 0, 0), (number, 0, number + 4, 8))
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], disposal=2)
    made = truth_frames(clip_of(tmp_path / "a.gif", 3), 8, 8)
    for number, frame in enumerate(made):
        assert frame[:, number : number + 4].max() == 0
        assert (frame[0].sum(axis=-1) > 0).sum() == 4


TURNED = {  # a, b, c, d of the display matrix: (x, y) is shown at (a x + c y, b x + d y)
    (1, 0, 0, 1): lambda shown: shown,
    (0, 1, -1, 0): lambda shown: np.rot90(shown, -1),
    (-1, 0, 0, -1): lambda shown: np.rot90(shown, 2),
    (0, -1, 1, 0): lambda shown: np.rot90(shown),
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda shown: shown.swapaxes(0, 1),
    (0, -1, -1, 0): lambda shown: np.rot90(shown, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", TURNED)
def test_a_video_is_turned_and_mirrored_as_its_phone_says(tmp_path, matrix):
    frames = noise(2, 16, 16)
    frames[:, :8] //= 8  # dark above
    frames[:, :, :8] //= 2  # and at the left
    video = write_video(tmp_path / "a.mp4", frames, "libx264", "yuv420p")
    (plain,) = truth_frames(clip_of(video, 1), 16, 16)
    content = bytearray(video.read_bytes())
    found = content.index(struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30), content.index(b"tkhd"))
    a, b, c, d = (part << 16 for part in matrix)
    content[found : found + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    video.write_bytes(content)
    (frame,) = truth_frames(clip_of(video, 1), 16, 16)
    assert np.array_equal(frame, TURNED[matrix](plain))


def test_a_video_that_cannot_be_decoded_is_named(tmp_path):
    whole = write_video(tmp_path / "a.mp4", noise(9), "libx264", "yuv420p").read_bytes()
    for number, content in enumerate((b"", b"no video at all", whole[: len(whole) // 2])):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(content)
        with pytest.raises(ClipError, match=rf"{number}\.mp4 cannot be decoded"):
            truth_frames(clip_of(path, 2), 16, 12)


def test_a_sound_file_is_no_video(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(ClipError, match="has no video in it"):
        truth_frames(clip_of(path, 2), 16, 12)


def test_no_more_frames_are_opened_than_are_asked_for(tmp_path, monkeypatch):
    folder = write_pictures(tmp_path / "a", noise(9))
    opened, real = [], clip_frames._opened
    monkeypatch.setattr(clip_frames, "_opened", lambda path: opened.append(path.name) or real(path))
    truth_frames(clip_of(folder, 4), 16, 12)
    assert opened == [f"0000{number}.png" for number in range(4)]
