"""Distances of sets of videos, per length and kind, from features that are computed once and kept."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .clips import ClipError
from .results import SetScore
from .set_measures import Features, MeasureError, SetMeasure
from .spread import FramesGoneError, Plan
from .store import Job, Store
from .video_files import write_bytes


def set_scores(plan: Plan, store: Store, measures: Sequence[SetMeasure]) -> tuple[list[SetScore], list[str]]:
    """Every measure for every workflow, length and kind, and sentences about videos that a measure cannot see.

    Sets hold the clips that all workflows have, so that every method is compared over the same ones.
    Cost: one pass of the measure's network over every video and its truth, once; then one read of the features per set.
    """
    found, notes = [], {}
    for measure in measures:
        for length in plan.lengths:
            clips = _shared_clips(plan, store, length)
            usable = []
            for jobs in tqdm(clips, desc=f"{measure.measure.title}, {length} frames", disable=not clips):
                try:
                    for job in jobs:
                        _features(plan, measure, job)
                    _truth_features(plan, measure, jobs[0])
                    usable.append(jobs)
                except (MeasureError, ClipError) as error:
                    notes.setdefault(str(error))
                except FramesGoneError as error:
                    notes.setdefault(f"{measure.measure.title} lacks a clip whose frames are gone or damaged: {error}")
            found += _of_length(plan, measure, length, usable)
    return found, list(notes)


def _of_length(plan: Plan, measure: SetMeasure, length: int, clips: Sequence[Sequence[Job]]) -> Iterator[SetScore]:
    kinds = sorted({jobs[0].clip.kind for jobs in clips})
    for at, workflow in enumerate(plan.names):
        for kind in [None, *(kinds if len(kinds) > 1 else [])]:
            chosen = [jobs for jobs in clips if kind is None or jobs[0].clip.kind == kind]
            made = (_features(plan, measure, jobs[at]) for jobs in chosen)
            truth = (_truth_features(plan, measure, jobs[at]) for jobs in chosen)
            value = measure.distance(made, truth)
            yield SetScore(workflow, length, kind, measure.measure.key, value, len(chosen))


def _shared_clips(plan: Plan, store: Store, length: int) -> list[list[Job]]:
    """The jobs of each clip that every workflow has, in the order of the workflows."""
    by_clip: dict[str, dict[str, Job]] = {}
    for job in store.scored(plan.names, [length]):
        by_clip.setdefault(job.clip.name, {})[job.workflow] = job.without_scores()
    return [[jobs[name] for name in plan.names] for jobs in by_clip.values() if len(jobs) == len(plan.names)]


def _features(plan: Plan, measure: SetMeasure, job: Job) -> Features:
    path = plan.features_file(job, measure.measure.key)
    return _kept(path) if path.exists() else _keep(path, measure.features(plan.scored_video(job)))


def _truth_features(plan: Plan, measure: SetMeasure, job: Job) -> Features:
    path = plan.truth_features_file(job.clip, measure.measure.key)
    return _kept(path) if path.exists() else _keep(path, measure.features(plan.scored_truth(job.clip)))


def _kept(path: Path) -> Features:
    return np.load(path, allow_pickle=False)


def _keep(path: Path, features: Features) -> Features:
    file = io.BytesIO()
    np.save(file, features, allow_pickle=False)
    write_bytes(path, file.getbuffer())
    return features
