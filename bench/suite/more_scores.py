"""Numbers by other libraries, of single videos and of sets, once the videos are made; what is known already is kept."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from .clip_frames import truth_frames
from .clips import ClipError, SuiteClip
from .measure_options import ChosenMeasures
from .plan import Plan
from .progress import SCORED, Progress
from .records import Record, add_scores, key_of, made_key
from .results import SetScore
from .scoring import FramesGoneError, scored_video
from .set_measures import Features, MeasureError, SetMeasure
from .video_files import Frames, write_bytes

Video = tuple[SuiteClip, str, Record]  # of which workflow


def measured_of(plan: Plan, record: Record, name: str, files: str, caption: str = "") -> str:
    """The key of all that another library's numbers of a video depend on. files: that the library was given, told."""
    return key_of([name, files, made_key(record), list(plan.size), plan.fps, caption])


def keep_more_scores(progress: Progress, measures: ChosenMeasures) -> list[str]:
    """Scores the videos that a measure has not scored yet; a sentence for each measure or clip that failed."""
    plan, notes = progress.plan, dict[str, None]()
    for measure in (*measures.clips, *measures.batches):
        name = measure.name
        files, at_once = measures.files.get(name, ""), getattr(measure, "videos_at_once", 1)
        keys = {one.key for one in measure.measures}

        def is_open(video: Video, name: str = name, files: str = files, keys: set[str] = keys) -> bool:
            kept = video[2]["scores"].get(name, {})
            return kept.get("of") != _of(plan, video, name, files) or not keys <= kept["numbers"].keys()

        waiting = filter(is_open, _videos(progress))
        with tqdm(desc=name, unit="clip", total=progress.count(SCORED), leave=False) as bar:
            try:
                while part := list(islice(waiting, at_once)):
                    there = [video for video in part if plan.files(video[1], video[0]).exact.exists()]
                    for clip, workflow, _ in (video for video in part if video not in there):
                        gone = plan.files(workflow, clip).exact
                        notes.setdefault(f"{name} lacks a clip whose frames are gone: {gone}")
                    found, stopped = _numbers(measure, plan, there)
                    notes |= dict.fromkeys(stopped)
                    for video, numbers in zip(there, found, strict=True):
                        add_scores(plan.files(video[1], video[0]).record, name, _of(plan, video, name, files), numbers)
                    bar.update(len(part))
            except MeasureError as error:
                notes.setdefault(str(error))
            except FramesGoneError as error:
                notes.setdefault(f"{name} stopped at frames that are damaged: {error}")
    return list(notes)


def _of(plan: Plan, video: Video, name: str, files: str) -> str:
    clip, _, record = video
    return measured_of(plan, record, name, files, clip.caption)


def _numbers(measure: Any, plan: Plan, videos: Sequence[Video]) -> tuple[list[dict[str, float | None]], list[str]]:
    """Of some videos, in their order, and sentences on what stopped."""
    if hasattr(measure, "videos_at_once"):
        return measure.scores((_scored(plan, video) for video in videos), plan.fps)
    found, notes = [], dict[str, None]()
    for video in videos:
        try:
            found.append(measure.scores(_scored(plan, video), video[0].caption, plan.fps))
        except MeasureError as error:
            notes.setdefault(str(error))
            found.append(dict.fromkeys((one.key for one in measure.measures), None))
    return found, list(notes)


def _videos(progress: Progress) -> Iterator[Video]:
    return ((clip, workflow, record) for clip, records in progress.scored() for workflow, record in records.items())


def _scored(plan: Plan, video: Video) -> Frames:
    clip, workflow, record = video
    return scored_video(plan.files(workflow, clip), record, clip.length, plan.size)


def set_scores(progress: Progress, measures: ChosenMeasures) -> tuple[list[SetScore], list[str]]:
    """Every distance for every workflow, length and kind, and sentences about videos that a measure cannot see.

    Sets hold the clips that all workflows have, so that every method is compared over the same ones.
    Cost: one pass of the measure's network over every video and its truth, once; then one read of the features per set.
    """
    found: list[SetScore] = []
    notes = dict[str, None]()
    for measure in measures.sets:
        files = measures.files.get(measure.measure.title, "")
        by_length: dict[int, list[SuiteClip]] = {}
        for clip, records in tqdm(progress.scored(), desc=measure.measure.title, unit="clip", leave=False):
            if len(records) < len(progress.plan.names):
                continue
            try:
                for workflow, record in (*records.items(), (None, next(iter(records.values())))):
                    _keep_features(progress.plan, measure, files, (clip, workflow, record))
                by_length.setdefault(clip.length, []).append(clip)
            except (MeasureError, ClipError) as error:
                notes.setdefault(str(error))
            except FramesGoneError as error:
                notes.setdefault(f"{measure.measure.title} lacks a clip whose frames are gone or damaged: {error}")
        for length in progress.plan.lengths:
            found += _of_length(progress.plan, measure, length, by_length.get(length, []))
    return found, list(notes)


def _of_length(plan: Plan, measure: SetMeasure, length: int, clips: Sequence[SuiteClip]) -> Iterator[SetScore]:
    kinds = sorted({clip.kind for clip in clips})
    for workflow in plan.names:
        for kind in [None, *(kinds if len(kinds) > 1 else [])]:
            chosen = [clip for clip in clips if kind is None or clip.kind == kind]
            made, truth = (
                (_kept(plan.features(measure.measure.key, whose, clip)) for clip in chosen)
                for whose in (workflow, None)
            )
            yield SetScore(workflow, length, kind, measure.measure.key, measure.distance(made, truth), len(chosen))


def _keep_features(plan: Plan, measure: SetMeasure, files: str, video: tuple[SuiteClip, str | None, Record]) -> None:
    """Computes what a measure knows of a video, or of the truth, where that is not kept already."""
    clip, workflow, record = video
    path, name = plan.features(measure.measure.key, workflow, clip), measure.measure.title
    if workflow is None:
        key = key_of([name, files, record["source"]["digest"], list(plan.size)])
        frames: Callable[[], Frames] = lambda: truth_frames(clip, *plan.size)  # noqa: E731
    else:
        key, frames = measured_of(plan, record, name, files), lambda: _scored(plan, (clip, workflow, record))
    if not path.exists() or str(np.load(path)["key"]) != key:
        file = io.BytesIO()
        np.savez(file, key=key, features=measure.features(frames()))
        write_bytes(path, file.getbuffer())


def _kept(path: Path) -> Features:
    return np.load(path)["features"]
