"""The making, spread over all servers, and the scoring on all cores: each takes the next clip when it is free.

A server that goes away loses only the clip it worked on, which another one makes; it is asked again until it is back or
nothing is left to do. Processes that end, and what they worked on, are Ray's to start again.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray
from tqdm import tqdm

from ...demo.client import PromptError, ServerGoneError
from .clips import ClipError
from .plan import clip_seed
from .progress import MADE, OPEN, SCORED, Job, Progress
from .scoring import FramesGoneError, Scoring, score
from .servers import Fleet, Making
from .workflow_file import FIRST, LAST

PATIENCE_SECONDS = 60.0  # without any server at work
ASK_AGAIN_SECONDS = (1, 2, 5, 10)  # between questions to a server that went away; the last one again and again
ATTEMPTS = 3  # lost servers for one clip, after which it is left out: the clip may be what ends them
HOPELESS = 5  # clips of a workflow and length that failed before one was made; the rest is left out
SCORED_AT_ONCE = 2  # videos for each core; more would only wait in memory
MOST_UNSCORED = 1000  # videos that are made and wait, after which no more are made: memory holds a few words of each


@dataclass(frozen=True)
class _Running:
    """A call that goes on. server: its name, "" for a scoring. job: None while a server is waited for."""

    server: str
    job: Job | None
    prompt_id: str = ""


class Spread:
    """One run over all that is open."""

    def __init__(self, progress: Progress, fleet: Fleet, bar: tqdm) -> None:
        """bar: moves by one for every video that is scored or left out."""
        self._progress, self._plan, self._fleet, self._bar = progress, progress.plan, fleet, bar
        self._running: dict[Any, _Running] = {}
        self._idle, self._losses = deque(fleet.workers), Counter[str]()
        self._to_make, self._again = progress.jobs(OPEN), deque[Job]()
        self._to_score, self._made = progress.jobs(MADE), deque[Job]()
        self._attempts = Counter[tuple[str, int]]()  # of a workflow's clip
        self._failures = Counter[tuple[str, int]]()  # of a workflow and length before its first video
        self._hopeless: dict[tuple[str, int], str] = {}
        self._most_scored = SCORED_AT_ONCE * max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._alive_at = time.monotonic()

    def run(self) -> None:
        """Makes and scores what is open; returns when nothing is left or no server answers any more.

        Raises:
            OSError: the results cannot be written. KeyboardInterrupt: what ran is taken off the servers.
        """
        try:
            while self._hand_out() and self._is_hopeful():
                done, _ = ray.wait(list(self._running), timeout=1.0)
                for call in done:
                    self._finish(self._running.pop(call), call)
                if not done:
                    self._show_shares()
        finally:
            self._stop()

    def _hand_out(self) -> bool:
        """Gives everyone who is free something to do; false where nothing goes on."""
        while self._count("") < self._most_scored and (job := self._next(self._made, self._to_score)):
            work = Scoring(job.clip, self._plan.files(job.workflow, job.clip), self._plan.scoring)
            self._running[score.remote(work)] = _Running("", job)
        while self._idle and len(self._made) < MOST_UNSCORED and (job := self._next_to_make()):
            server = self._idle.popleft()
            work = self._making(job)
            self._running[self._fleet.workers[server].make.remote(work)] = _Running(server, job, work.prompt_id)
        return bool(self._running)

    def _next_to_make(self) -> Job | None:
        while job := self._next(self._to_make, self._again):
            if not (reason := self._hopeless.get((job.workflow, job.clip.length))):
                return job
            told = f"not tried, the first {HOPELESS} clips failed, the last so: {reason}"
            self._progress.leave_out(job, told)
            self._bar.update()
        return None

    @staticmethod
    def _next(first: Iterator[Job] | deque[Job], then: Iterator[Job] | deque[Job]) -> Job | None:
        for source in (first, then):
            job = next(source, None) if isinstance(source, Iterator) else source.popleft() if source else None
            if job is not None:
                return job
        return None

    def _making(self, job: Job) -> Making:
        plan, clip = self._plan, job.clip
        workflow, size = plan.workflows[job.workflow], plan.sizes[job.workflow]
        length, seed = workflow.grid.legal_length(clip.length), clip_seed(plan.seed, clip)
        graph = workflow.filled(clip, (FIRST, LAST), size, length, seed)
        of = plan.made_of(job.workflow, clip, "")
        return Making(clip, plan.files(job.workflow, clip), graph, of, plan.fps, str(uuid.uuid4()))

    def _finish(self, call: _Running, answer: Any) -> None:
        """Takes the end of a call in."""
        failure = _failure(answer)
        lost = isinstance(failure, ServerGoneError | ray.exceptions.RayActorError)
        if call.server and lost:
            self._losses[call.server] += 1
            self._fleet.workers[call.server].cancel.remote(call.prompt_id)  # where the worker alone was lost
            waits = ASK_AGAIN_SECONDS[min(self._losses[call.server], len(ASK_AGAIN_SECONDS)) - 1 :]
            self._running[self._fleet.workers[call.server].back.remote(waits)] = _Running(call.server, None)
        elif call.server:
            self._idle.append(call.server)
        if call.job and call.server and not lost:
            self._losses[call.server], self._alive_at = 0, time.monotonic()
        if call.job:
            self._take(call.job, "make" if call.server else "score", failure)

    def _take(self, job: Job, what: str, failure: BaseException | None) -> None:
        """What became of a job."""
        kind = (job.workflow, job.clip.length)
        if failure is None:
            if what == "make":
                self._failures[kind] = -sys.maxsize  # it can be made, so others are worth a try
                self._made.append(job)
            else:
                self._progress.enter(job, SCORED)
                self._bar.update()
        elif isinstance(failure, ServerGoneError | FramesGoneError | ray.exceptions.RayError):
            self._put_back(job, failure)
        elif isinstance(failure, PromptError | ClipError | ValueError):
            self._leave_out(job, str(failure))
            self._failures[kind] += isinstance(failure, PromptError)
            if self._failures[kind] == HOPELESS:
                self._hopeless[kind] = str(failure)
                tqdm.write(f"Left out: all other clips of {kind[1]} frames, {kind[0]}: the first ones failed.")
        else:
            raise failure

    def _put_back(self, job: Job, failure: BaseException) -> None:
        """After all others, so that one server that fails at once does not spend the attempts of a clip."""
        self._attempts[job.workflow, job.number] += 1
        said = str(failure).strip().splitlines()[-1]
        if self._attempts[job.workflow, job.number] < ATTEMPTS:
            self._again.append(job)
            tqdm.write(f"{said} {job.clip.name} ({job.workflow}) goes back into the queue.")
        elif isinstance(failure, FramesGoneError):
            self._leave_out(job, f"{ATTEMPTS} times its frames were gone or damaged ({said}).")
        else:
            self._leave_out(job, f"{ATTEMPTS} times a server went away while it was made; the last one said: {said}")

    def _leave_out(self, job: Job, reason: str) -> None:
        self._progress.leave_out(job, reason)
        tqdm.write(f"Left out: {job.clip.name}, {job.clip.length} frames, {job.workflow}: {reason}")
        self._bar.update()

    def _is_hopeful(self) -> bool:
        """Whether something is done, or a server worked not long ago and something is left to do."""
        if any(call.job for call in self._running.values()):
            return True
        left = self._again or self._made or self._progress.count(OPEN)
        return bool(left) and time.monotonic() - self._alive_at < PATIENCE_SECONDS

    def _count(self, server: str) -> int:
        return sum(call.server == server for call in self._running.values())

    def _show_shares(self) -> None:
        """How far every server is with its clip."""
        busy = [self._fleet.workers[call.server] for call in self._running.values() if call.server and call.job]
        asked = [worker.share.remote() for worker in busy]
        told, _ = ray.wait(asked, num_returns=len(asked), timeout=0.5) if asked else ([], [])
        shares = (f"{ray.get(one):4.0%}" for one in told if _failure(one) is None)
        self._bar.set_postfix_str(" ".join(shares), refresh=True)

    def _stop(self) -> None:
        """Takes what still runs off the servers; a scoring that runs may end, its files are whole."""
        making = [call for call in self._running.values() if call.server and call.job]
        cancelled = [self._fleet.workers[call.server].cancel.remote(call.prompt_id) for call in making]
        if cancelled:
            ray.wait(cancelled, num_returns=len(cancelled), timeout=15)


def _failure(answer: Any) -> BaseException | None:
    """What a call that has ended raised: the error itself, or Ray's where its process ended."""
    try:
        ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        return error.cause
    except ray.exceptions.RayError as error:
        return error
    return None
