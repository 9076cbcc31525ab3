"""How far every video of a run is: a byte each, in the order of the data, whatever the number of clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .clip_frames import source_digest, source_state
from .clips import ClipError, SuiteClip
from .dataset import Dataset
from .plan import Plan
from .records import OWN, Record, VideoFiles, read_record, write_record
from .tables import counted

OPEN, MADE, TAKEN, SCORED, LEFT_OUT = range(5)  # TAKEN: somebody works on it or will


@dataclass(frozen=True)
class Job:
    """One clip for one workflow. number: of the clip in the data."""

    workflow: str
    clip: SuiteClip
    number: int


class Progress:
    """The states of all videos, and `reasons`: a sentence for each that is left out."""

    def __init__(self, plan: Plan, dataset: Dataset) -> None:
        self.plan, self.reasons = plan, list[str]()
        self._dataset = dataset
        self._states = {name: bytearray() for name in plan.names}
        self._changed: Counter[tuple[str, str, str]] = Counter()

    def survey(self) -> list[str]:
        """Looks at what is there; gives a sentence for all that is made anew, since what it depends on has changed.

        Cost: the files' times of every clip that has results; a clip whose times have changed is read.
        """
        for clip in self._dataset.clips():
            source = _Source(clip)
            for name in self.plan.names:
                self._states[name].append(self._state(name, clip, source))
        return [
            f"{how} anew: {counted(count, 'video')} of {name}, since this changed: {what}."
            for (how, name, what), count in sorted(self._changed.items())
        ]

    def _state(self, name: str, clip: SuiteClip, source: _Source) -> int:
        files = self.plan.files(name, clip)
        record = read_record(files.record)
        if record is None:
            return OPEN
        try:
            of = self.plan.made_of(name, clip, source.digest(record, files))
        except ClipError:
            return OPEN  # the making tells
        before = record["made"]["of"]
        if before != of:
            what = [part for part in {**before, **of} if before.get(part) != of.get(part)]
            self._changed["Made", name, ", ".join(what)] += 1
            return OPEN
        scored = record["scores"].get(OWN, {}).get("of")
        if scored == self.plan.scoring.of(record):
            return SCORED
        if not files.exact.exists():
            return OPEN
        self._changed.update([("Scored", name, "--size, --fps, --lpips or the pack")] * bool(scored))
        return MADE

    def jobs(self, state: int) -> Iterator[Job]:
        """Takes those that are in a state when their turn comes, workflow by workflow: its models are loaded then."""
        for name, states in self._states.items():
            for number, clip in enumerate(self._dataset.clips()):
                if states[number] == state:
                    states[number] = TAKEN
                    yield Job(name, clip, number)

    def enter(self, job: Job, state: int) -> None:
        self._states[job.workflow][job.number] = state

    def leave_out(self, job: Job, reason: str) -> None:
        self.enter(job, LEFT_OUT)
        self.reasons.append(f"{job.clip.name}, {job.clip.length} frames, {job.workflow}: {reason}")

    def count(self, *states: int) -> int:
        return sum(found.count(state) for found in self._states.values() for state in states)

    def scored(self) -> Iterator[tuple[SuiteClip, dict[str, Record]]]:
        """Every clip that has scores, in the data's order, with the records of its workflows."""
        for number, clip in enumerate(self._dataset.clips()):
            names = [name for name, states in self._states.items() if states[number] == SCORED]
            found = {name: read_record(self.plan.files(name, clip).record) for name in sorted(names)}
            if records := {name: record for name, record in found.items() if record}:
                yield clip, records


class _Source:
    """The files of a clip, looked at once for all workflows."""

    def __init__(self, clip: SuiteClip) -> None:
        self._clip, self._state, self._digest = clip, "", ""

    def digest(self, record: Record, files: VideoFiles) -> str:
        """Of the files as they are: the record's where they have not been touched since, else they are read."""
        self._state = self._state or source_state(self._clip)
        if record["source"]["state"] == self._state:
            return record["source"]["digest"]
        self._digest = self._digest or source_digest(self._clip)
        if self._digest == record["source"]["digest"]:  # touched, and the same: not to be read the next time
            write_record(files.record, {**record, "source": {"state": self._state, "digest": self._digest}})
        return self._digest
