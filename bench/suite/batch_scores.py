"""Scores of videos by what is only worth its start for many of them, kept so that a later run need not repeat it."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from .set_measures import MeasureError
from .spread import Plan
from .store import Store
from .vbench_measures import BatchMeasure


def keep_batch_scores(plan: Plan, store: Store, measures: Sequence[BatchMeasure]) -> list[str]:
    """Scores what a measure has not scored yet; gives a sentence for each measure or dimension that failed."""
    notes = []
    for measure in measures:
        keys = [one.key for one in measure.measures]
        open_jobs = [
            job.without_scores()
            for job in store.scored(plan.names, plan.lengths)
            if any(key not in job.scores for key in keys)
        ]
        with tqdm(total=len(open_jobs), desc="VBench", unit="clip", disable=not open_jobs) as bar:
            try:
                for start in range(0, len(open_jobs), measure.videos_at_once):
                    jobs = open_jobs[start : start + measure.videos_at_once]
                    found, stopped = measure.scores((plan.scored_video(job) for job in jobs), plan.fps)
                    notes += [sentence for sentence in stopped if sentence not in notes]
                    for job, scores in zip(jobs, found, strict=True):
                        store.add_scores(job, scores)
                    bar.update(len(jobs))
            except MeasureError as error:
                notes.append(str(error))
    return notes
