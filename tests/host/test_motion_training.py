"""./dev train-motion on a folder of videos: from a checkpoint to a backward-motion file that its model takes."""

from types import SimpleNamespace

import av
import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.workshop

FRAMES, WIDTH, HEIGHT = 4, 64, 48


def write_video(path, count, seed):
    """A picture that moves one pixel to the right in every frame."""
    picture = torch.rand(HEIGHT // 8, WIDTH // 8, 3, generator=torch.Generator().manual_seed(seed))
    picture = (picture.repeat_interleave(8, 0).repeat_interleave(8, 1) * 255).byte()
    with av.open(str(path), "w") as video:
        stream = video.add_stream("libx264", rate=8, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture.roll(number, 1).numpy(), format="rgb24")
            video.mux(stream.encode(frame))
        video.mux(stream.encode())


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for seed, name in enumerate(("a.mp4", "b.mkv", "c.mp4")):
        write_video(folder / name, 6, seed)
    (folder / "notes.txt").write_text("no video")
    return folder


@pytest.fixture(scope="module")
def checkpoint(host, tmp_path_factory):
    from pack.demo.small_svd import register_small_svd
    from pack.demo.tiny_models import write_svd

    register_small_svd()
    return write_svd(tmp_path_factory.mktemp("checkpoints") / "svd.safetensors")


@pytest.fixture
def quick_vision(host, monkeypatch):
    """CLIP vision H takes seconds for a picture; its place is taken by the picture's mean colour."""
    import comfy.clip_vision

    def encode(self, image, crop=True):
        return SimpleNamespace(image_embeds=image.mean(dim=(1, 2)).repeat(1, 342)[:, :1024])

    monkeypatch.setattr(comfy.clip_vision.ClipVisionModel, "encode_image", encode)


def test_three_steps_make_a_file_that_the_model_takes(quick_vision, checkpoint, videos, tmp_path):
    from pack.patches.temporal_maps_host import check_motion_fits
    from pack.training.backward_motion import main

    size = ["--frames", str(FRAMES), "--width", str(WIDTH), "--height", str(HEIGHT)]
    steps = ["--steps", "3", "--every", "3", "--rate", "1e-2", "--batch", "2", "--held-out", "1"]
    with torch.inference_mode(False):
        main(["--checkpoint", str(checkpoint), "--videos", str(videos), "--output", str(tmp_path), *size, *steps])
    deltas = load_file(tmp_path / "models" / "backward_motion" / "svd_backward_motion.safetensors")
    assert len(deltas) == 32
    assert all(value.any() and torch.isfinite(value).all() for value in deltas.values())
    import comfy.sd

    model = comfy.sd.load_checkpoint_guess_config(str(checkpoint), output_vae=False, output_clip=False)[0]
    check_motion_fits(model, deltas)


def test_a_folder_without_enough_videos_is_refused(host, checkpoint, videos):
    from pack.training.backward_motion import VideoFolder

    with pytest.raises(ValueError, match="has 3 videos; 3 are held out, so more are needed to train on"):
        VideoFolder(checkpoint, videos, FRAMES, WIDTH, HEIGHT, 1, 3)


def test_frames_of_a_video_begin_where_they_are_asked_for(host, videos):
    from pack.training.backward_motion import video_frames

    first, middle, last = (video_frames(videos / "a.mp4", FRAMES, place, WIDTH, HEIGHT) for place in (0.0, 0.5, 1.0))
    assert first.shape == (FRAMES, HEIGHT, WIDTH, 3)
    torch.testing.assert_close(middle[:-1], first[1:])
    torch.testing.assert_close(last[:-1], middle[1:])
    with pytest.raises(ValueError, match="a.mp4 has 6 frames, 7 are needed"):
        video_frames(videos / "a.mp4", 7, 0.0, WIDTH, HEIGHT)
