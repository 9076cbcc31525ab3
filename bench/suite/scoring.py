"""The suite's own numbers of one video, and its file for the eye: a task of Ray, on one core of any machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import ray

from .clip_frames import truth_frames
from .clips import SuiteClip
from .records import OWN, Record, VideoFiles, add_scores, key_of, made_key, read_record
from .video_files import Frames, kept_key, read_video, resampled, resized, write_for_the_eye


class FramesGoneError(Exception):
    """The frames of a video that was made are gone, damaged or of something else; the text names the file."""


@dataclass(frozen=True)
class Settings:
    """How videos are scored. size: width and height. fps: of the files for the eye. lpips: told; lpips_file or None.

    pack: the version whose measures these are.
    """

    size: tuple[int, int]
    fps: float
    lpips: str
    lpips_file: Path | None
    pack: str

    def of(self, record: Record) -> str:
        """The key of all that the numbers of a video depend on."""
        told = [OWN, list(self.size), self.fps, self.lpips, self.pack]
        return key_of([made_key(record), record["source"]["digest"], *told])


@dataclass(frozen=True)
class Scoring:
    """A video that is to be scored."""

    clip: SuiteClip
    files: VideoFiles
    settings: Settings


def scored_video(files: VideoFiles, record: Record, length: int, size: tuple[int, int]) -> Frames:
    """A video at the length and size at which all are scored. Raises FramesGoneError."""
    try:
        frames = read_video(files.exact, made_key(record))
    except (FileNotFoundError, ValueError, av.error.FFmpegError) as error:
        raise FramesGoneError(str(error)) from None
    return resized(resampled(frames, length), *size)


@ray.remote
def score(work: Scoring) -> None:
    """Scores a video whose frames are there, and writes its file for the eye, and the truth's.

    Raises:
        FramesGoneError: they are not. ClipError: the truth is gone. OSError: the results cannot be written.
    """
    import torch

    from .clip_scores import clip_scores

    clip, files, settings = work.clip, work.files, work.settings
    record = read_record(files.record)
    if record is None:
        raise FramesGoneError(f"{files.record} is gone")
    video, truth = scored_video(files, record, clip.length, settings.size), truth_frames(clip, *settings.size)
    with torch.no_grad():
        numbers, per_frame = clip_scores(video, truth, loaded_lpips(settings.lpips_file))
    write_for_the_eye(files.shown, video, settings.fps)
    key = key_of([record["source"]["digest"], list(settings.size), settings.fps])
    if kept_key(files.truth) != key:
        write_for_the_eye(files.truth, truth, settings.fps, key)
    add_scores(files.record, OWN, settings.of(record), numbers, per_frame=per_frame)


def loaded_lpips(path: Path | None) -> Any:
    """LPIPS on the backbone of a file, on the CPU; None without one. Raises ValueError where it is none."""
    if path is None:
        return None
    from ...demo.launch import put_host_first

    put_host_first()
    from comfy.cli_args import args

    args.cpu = True
    import folder_paths

    from ...frames.lpips_host import FOLDER, load_lpips

    folder_paths.add_model_folder_path(FOLDER, str(path.resolve().parent))
    return load_lpips(path.name)
