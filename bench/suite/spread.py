"""The queue, spread over all servers: each takes the next clip when it is free, and scoring goes on beside.

A server that goes away loses only the clip it worked on, which another one makes; it is asked again until it is back or
nothing is left to do.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import torch
from tqdm import tqdm

from .clip_frames import truth_frames
from .clip_measures import ClipMeasure
from .clip_scores import clip_scores
from .clips import ClipError, SuiteClip
from .server import ComfyServer, PromptFailedError, ServerGoneError
from .set_measures import MeasureError
from .store import ATTEMPTS, Job, Store
from .video_files import (
    Frames,
    decoded_pictures,
    encoded_picture,
    file_name,
    read_video,
    resampled,
    resized,
    write_exactly,
    write_for_the_eye,
)
from .workflow_file import Workflow

PATIENCE_SECONDS = 60.0  # without any server at work
ASK_AGAIN_SECONDS = (1, 2, 5, 10)  # between questions to a server that went away; the last one again and again
SHORTEST = 3  # frames that can be judged
HOPELESS = 5  # clips of a workflow and length that failed before one was made; the rest is left out


class FramesGoneError(Exception):
    """The frames of a video that was made are gone or damaged; the text names the file."""


@dataclass(frozen=True)
class Plan:
    """What a run is about.

    Attributes:
        folder: of the results.
        workflows: by name. lengths: in frames.
        sizes: width and height that each workflow makes. size: at which all are scored.
        seed: of the run; every clip has its own, the same for all workflows.
        fps: of the files for the eye.
        metric: LPIPS, None without it. more: further measures of single videos.
    """

    folder: Path
    workflows: Mapping[str, Workflow]
    lengths: Sequence[int]
    sizes: Mapping[str, tuple[int, int]]
    size: tuple[int, int]
    seed: int
    fps: float
    metric: Any = None
    more: Sequence[ClipMeasure] = ()

    @property
    def names(self) -> list[str]:
        return list(self.workflows)

    def exact_file(self, job: Job) -> Path:
        """Where the frames of a video are kept bit for bit."""
        return self.folder / "frames" / self._file(job.workflow, job.clip, ".mkv")

    def video_file(self, job: Job) -> Path:
        """A video for the eye."""
        return self.folder / "videos" / self._file(job.workflow, job.clip, ".mp4")

    def truth_file(self, clip: SuiteClip) -> Path:
        """The truth for the eye."""
        return self.folder / "videos" / self._file("truth", clip, ".mp4", own="=")

    def features_file(self, job: Job, measure: str) -> Path:
        """What a measure of sets keeps of a video."""
        return self.folder / "features" / measure / self._file(job.workflow, job.clip, ".npy")

    def truth_features_file(self, clip: SuiteClip, measure: str) -> Path:
        """The same of the truth."""
        return self.folder / "features" / measure / self._file("truth", clip, ".npy", own="=")

    def scored_video(self, job: Job) -> Frames:
        """A video at the length and size at which all are scored. Raises FramesGoneError."""
        try:
            frames = read_video(self.exact_file(job))
        except (FileNotFoundError, av.error.FFmpegError) as error:
            raise FramesGoneError(str(error)) from None
        return resized(resampled(frames, job.clip.length), *self.size)

    def scored_truth(self, clip: SuiteClip) -> Frames:
        """The truth of a clip at that size."""
        return truth_frames(clip, *self.size)

    def _file(self, workflow: str, clip: SuiteClip, ending: str, own: str = "") -> Path:
        return Path(own + file_name(workflow)) / str(clip.length) / (file_name(clip.name) + ending)


class Spread:
    """One run of the queue."""

    def __init__(self, plan: Plan, store: Store, bar: tqdm) -> None:
        """bar: moves by one for every job that is scored or left out."""
        self._plan, self._store, self._bar = plan, store, bar
        self._busy = 0  # servers at work on a clip
        self._making = True
        self._changed = asyncio.Event()
        self._alive_at = time.monotonic()
        self._shares: dict[str, str] = {}
        self._failures: Counter[tuple[str, int]] = Counter()  # of a workflow and length before its first video
        self.notes: dict[str, None] = {}  # sentences for under the table, each once

    async def run(self, servers: Sequence[ComfyServer]) -> None:
        """Makes and scores what waits; returns when nothing is left or no server answers any more.

        Raises:
            OSError: the results cannot be written. Cancelled: what ran is put back.
        """
        scoring = asyncio.create_task(self._score_all())
        workers = [asyncio.create_task(self._work(server)) for server in servers]
        tasks = [scoring, *workers]
        try:
            await _all_or_first_error(workers, scoring)
            self._making = False
            self._changed.set()
            await scoring
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, server: ComfyServer) -> None:
        before, losses = "", 0  # losses: one after another
        while True:
            job = self._store.next_to_make(self._plan.names, self._plan.lengths, before)
            if job is None:
                if not self._busy:
                    return
                await self._wait_for_change()
                continue
            before = job.workflow
            self._busy += 1
            try:
                gone = await self._made_or_gone(server, job)
            finally:
                self._busy -= 1
                self._shares.pop(server.url, None)
                self._changed.set()
            losses = losses + 1 if gone else 0
            if gone and not await self._is_back(server, losses):
                return

    async def _made_or_gone(self, server: ComfyServer, job: Job) -> bool:
        """Makes a job; true if the server went away over it."""
        try:
            await self._make(server, job)
        except ServerGoneError as error:
            if self._store.put_back(job, lost=True):
                tqdm.write(f"{error} {job.clip.name} ({job.workflow}) goes back into the queue.")
            else:
                self._leave_out(
                    job, f"{ATTEMPTS} times a server went away while it was made; the last one said: {error}"
                )
            return True
        except PromptFailedError as error:
            self._leave_out(job, str(error))
            self._give_up_if_hopeless(job, str(error))
        except (ClipError, ValueError) as error:
            self._leave_out(job, str(error))
        except BaseException:
            self._store.put_back(job, lost=False)
            raise
        return False

    async def _make(self, server: ComfyServer, job: Job) -> None:
        plan, clip = self._plan, job.clip
        workflow, size = plan.workflows[job.workflow], plan.sizes[job.workflow]
        truth = await asyncio.to_thread(truth_frames, clip, *size)  # all, so that a broken one costs no server's time
        pictures = [await server.upload(encoded_picture(truth[at])) for at in (0, -1)]
        length = workflow.grid.legal_length(clip.length)
        graph = workflow.filled(clip, (pictures[0], pictures[1]), size, length, clip_seed(plan.seed, clip))
        began = time.monotonic()
        try:
            shown = await server.frames(graph, lambda share: self._show(server, share))
        finally:
            self._alive_at = time.monotonic()
        seconds = time.monotonic() - began
        self._failures[job.workflow, clip.length] = -sys.maxsize  # it can be made, so others are worth a try
        frames = await asyncio.to_thread(decoded_pictures, shown)
        if len(frames) < SHORTEST:
            raise ValueError(f"the workflow gave {len(frames)} frames, at least {SHORTEST} can be judged.")
        await asyncio.to_thread(write_exactly, plan.exact_file(job), frames, plan.fps)
        self._store.keep_made(job, (len(frames), frames.shape[2], frames.shape[1]), seconds)

    async def _is_back(self, server: ComfyServer, losses: int) -> bool:
        """Asks a server that went away until it answers; false when there is nothing left to do or no hope.

        losses: clips that it lost one after another; the more, the longer it is left alone first.
        """
        for turn in itertools.count(losses - 1):
            await self._rest(ASK_AGAIN_SECONDS[min(turn, len(ASK_AGAIN_SECONDS) - 1)])
            if not self._is_hopeful():
                return False
            try:
                await server.version()
                return True
            except ServerGoneError:
                continue

    async def _rest(self, seconds: float) -> None:
        """Waits, though no longer than there is hope."""
        end = time.monotonic() + seconds
        while self._is_hopeful() and (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.5))

    def _is_hopeful(self) -> bool:
        """Whether something is left to do and a server worked not long ago."""
        return bool(self._busy or (self._waiting() and time.monotonic() - self._alive_at < PATIENCE_SECONDS))

    def _waiting(self) -> int:
        return self._store.counts(self._plan.names, self._plan.lengths).get("waiting", 0)

    async def _score_all(self) -> None:
        while True:
            job = self._store.next_to_score(self._plan.names, self._plan.lengths)
            if job is not None:
                await self._score(job)
            elif self._making:
                await self._wait_for_change()
            else:
                return

    async def _score(self, job: Job) -> None:
        try:
            scores, per_frame = await asyncio.to_thread(self._scores, job)
        except FramesGoneError as error:
            self._store.remake(job)
            self._leave_out(job, f"its frames are gone or damaged ({error}); run again to make them anew.")
        except (ClipError, ValueError, av.error.FFmpegError) as error:
            self._leave_out(job, str(error))
        else:
            self._store.keep_scores(job, scores, per_frame)
            self._bar.update()

    @torch.no_grad()
    def _scores(self, job: Job) -> tuple[dict[str, float | None], dict[str, list[float | None]]]:
        """Of a video whose frames are on disk; writes its file for the eye, and the truth's if it is not there yet."""
        plan = self._plan
        video, truth = plan.scored_video(job), plan.scored_truth(job.clip)
        scores, per_frame = clip_scores(video, truth, plan.metric)
        for measure in plan.more:
            scores.update(self._more_scores(measure, video, job.clip))
        write_for_the_eye(plan.video_file(job), video, plan.fps)
        if not plan.truth_file(job.clip).exists():
            write_for_the_eye(plan.truth_file(job.clip), truth, plan.fps)
        return scores, per_frame

    def _more_scores(self, measure: ClipMeasure, video: Frames, clip: SuiteClip) -> Mapping[str, float | None]:
        try:
            return measure.scores(video, clip.caption, self._plan.fps)
        except MeasureError as error:
            self.notes.setdefault(str(error))
            return dict.fromkeys((one.key for one in measure.measures), None)

    def _leave_out(self, job: Job, reason: str) -> None:
        self._store.leave_out(job, reason)
        tqdm.write(f"Left out: {job.clip.name}, {job.clip.length} frames, {job.workflow}: {reason}")
        self._bar.update()

    def _give_up_if_hopeless(self, job: Job, reason: str) -> None:
        """Leaves out what waits of a workflow and length that failed on its first clips, say for want of memory."""
        key = (job.workflow, job.clip.length)
        self._failures[key] += 1
        if self._failures[key] < HOPELESS:
            return
        count = self._store.leave_out_waiting(
            *key, f"not tried, the first {HOPELESS} clips failed, the last so: {reason}"
        )
        tqdm.write(f"Left out: {count} more clips of {job.clip.length} frames, {job.workflow}: the first ones failed.")
        self._bar.update(count)

    def _show(self, server: ComfyServer, share: float) -> None:
        self._shares[server.url] = f"{share:4.0%}"
        self._bar.set_postfix_str(" ".join(self._shares.values()), refresh=False)

    async def _wait_for_change(self) -> None:
        """Not by asyncio.wait_for: before Python 3.12 it loses a cancellation that meets the change."""
        self._changed.clear()
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait({change}, timeout=1.0)
        finally:
            change.cancel()


def clip_seed(seed: int, clip: SuiteClip) -> int:
    """The seed of a clip's noise, 0 to 2^48 - 1: the same for all workflows and servers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{clip.length}/{clip.name}".encode()).digest()[:6], "big")


async def _all_or_first_error(workers: Sequence[asyncio.Task], scoring: asyncio.Task) -> None:
    """Waits for all workers; an error of one of them, or of the scoring, is raised at once."""
    waiting = {*workers, scoring}
    while not all(worker.done() for worker in workers):
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
