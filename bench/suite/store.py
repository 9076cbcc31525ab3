"""What is done and what is left, in one SQLite file beside the results: ctrl-C and power cuts lose nothing finished.

A job is one clip at one length for one workflow. waiting -> running -> made -> scored, or left_out with a sentence.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from .clips import SuiteClip

FILE, LOCK = "suite.sqlite", "suite.lock"
ROWS_AT_ONCE = 1000
ATTEMPTS = 3  # lost servers for one clip, after which it is left out: the clip may be what ends them
_COLUMNS = "id, workflow, clip, length, kind, caption, reverse_caption, source, made, scores, per_frame, seconds"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS job (
    id INTEGER PRIMARY KEY, workflow TEXT NOT NULL, clip TEXT NOT NULL, length INTEGER NOT NULL,
    kind TEXT NOT NULL, caption TEXT NOT NULL, reverse_caption TEXT NOT NULL, source TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting', attempts INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT '',
    made TEXT, scores TEXT, per_frame TEXT, seconds REAL,
    UNIQUE (workflow, clip, length));
CREATE INDEX IF NOT EXISTS by_turn ON job (state, attempts, workflow, length, id);
CREATE INDEX IF NOT EXISTS by_clip ON job (length, clip, workflow);
"""


class StoreError(Exception):
    """The results' folder cannot be used; the text is a sentence."""


@dataclass(frozen=True)
class Job:
    """One clip for one workflow, with what is known of it so far.

    made: (frames, width, height) as the model made it. scores, per_frame: see `results.ClipScore`.
    """

    id: int
    workflow: str
    clip: SuiteClip
    made: tuple[int, int, int] | None
    scores: dict[str, float | None]
    per_frame: dict[str, list[float | None]]
    seconds: float

    def without_scores(self) -> Job:
        """The same, light enough to keep thousands of."""
        return replace(self, scores={}, per_frame={})


class Store:
    """One run at a time has it. All methods are called from one thread, and each is one transaction."""

    def __init__(self, folder: Path) -> None:
        """folder: of the results; made if it is not there. Raises StoreError."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(folder / LOCK, "w")
        except OSError as error:
            raise StoreError(f"--out {folder} cannot be written: {error.strerror}.") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(
                f"--out {folder} is in use by another run; wait for it or choose another folder."
            ) from None
        try:
            self._file = sqlite3.connect(folder / FILE, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = FULL")
            self._file.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(f"{folder / FILE} cannot be used ({error}); move it away to begin anew.") from None

    def close(self) -> None:
        self._file.close()
        self._lock.close()

    def settle(self, settings: Mapping[str, str]) -> None:
        """Keeps what the results depend on, and refuses to go on under others.

        Raises:
            StoreError: a setting was another one when the results here were made.
        """
        before = dict(self._file.execute("SELECT name, value FROM settings"))
        for name, value in settings.items():
            if before.get(name, value) != value:
                raise StoreError(
                    f"the results here were made with {name} {before[name]}, now it is {value}: go back to it, or give "
                    f"another --out."
                )
        with self._file:
            self._file.executemany("INSERT OR IGNORE INTO settings VALUES (?, ?)", settings.items())

    def setting(self, name: str) -> str | None:
        found = self._file.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None

    def add(self, workflows: Sequence[str], clips: Iterable[SuiteClip]) -> None:
        """Adds what is not there yet. Reads the clips in parts, so that any number of them takes the same memory."""
        clips = iter(clips)
        kept = "CASE WHEN state IN ('made', 'scored') THEN {0} ELSE excluded.{0} END"
        prompts = ", ".join(f"{name} = {kept.format(name)}" for name in ("caption", "reverse_caption"))
        insert = (
            "INSERT INTO job (workflow, clip, length, kind, caption, reverse_caption, source) VALUES (?,?,?,?,?,?,?) "
            f"ON CONFLICT DO UPDATE SET kind = excluded.kind, source = excluded.source, {prompts}"
        )
        while part := list(islice(clips, ROWS_AT_ONCE)):
            told = [(c.name, c.length, c.kind, c.caption, c.reverse_caption, str(c.source)) for c in part]
            self._many(insert, [(name, *row) for row in told for name in workflows])

    def resume(self, measures: Sequence[str]) -> None:
        """Puts back what an earlier run left unfinished or left out, and what lacks one of these scores."""
        lacks = " OR ".join(f"json_type(scores, '$.{key}') IS NULL" for key in measures) or "0"
        self._do(f"UPDATE job SET state = 'made' WHERE state = 'scored' AND ({lacks})")
        self._do("UPDATE job SET state = 'made', reason = '' WHERE state = 'left_out' AND made IS NOT NULL")
        self._do("UPDATE job SET state = 'waiting', attempts = 0, reason = '' WHERE state IN ('running', 'left_out')")

    def next_to_make(self, workflows: Sequence[str], lengths: Sequence[int], before: str) -> Job | None:
        """Takes a waiting job; of the workflow `before` if there is one, since its models are still loaded.

        Jobs that lost a server come after all others, so that one server that fails at once does not spend all the
        attempts of a clip while others work.
        """
        chosen, values = _chosen(workflows, lengths)
        for only in ("AND workflow = ? AND attempts = 0", ""):
            found = self._file.execute(
                f"UPDATE job SET state = 'running' WHERE id = (SELECT id FROM job WHERE state = 'waiting' AND {chosen} "
                f"{only} ORDER BY attempts, workflow, length, id LIMIT 1) RETURNING {_COLUMNS}",
                [*values, *([before] if only else [])],
            ).fetchone()
            if found:
                return _job(found)
        return None

    def put_back(self, job: Job, lost: bool) -> bool:
        """A job that was not made. lost: its server went away. False where it was lost too often."""
        self._do("UPDATE job SET state = 'waiting', attempts = attempts + ? WHERE id = ?", (int(lost), job.id))
        (attempts,) = self._file.execute("SELECT attempts FROM job WHERE id = ?", (job.id,)).fetchone()
        return attempts < ATTEMPTS

    def keep_made(self, job: Job, made: tuple[int, int, int], seconds: float) -> None:
        """Its frames are on disk."""
        self._do(
            "UPDATE job SET state = 'made', made = ?, seconds = ? WHERE id = ?", (json.dumps(made), seconds, job.id)
        )

    def next_to_score(self, workflows: Sequence[str], lengths: Sequence[int]) -> Job | None:
        """A job whose frames are there and whose scores are not."""
        chosen, values = _chosen(workflows, lengths)
        found = self._file.execute(
            f"SELECT {_COLUMNS} FROM job WHERE state = 'made' AND {chosen} ORDER BY id LIMIT 1", values
        ).fetchone()
        return _job(found) if found else None

    def keep_scores(
        self, job: Job, scores: Mapping[str, float | None], per_frame: Mapping[str, Sequence[float | None]]
    ) -> None:
        self._do(
            "UPDATE job SET state = 'scored', scores = ?, per_frame = ? WHERE id = ?",
            (json.dumps(dict(scores)), json.dumps(dict(per_frame)), job.id),
        )

    def remake(self, job: Job) -> None:
        """Its frames are gone or damaged."""
        self._do("UPDATE job SET state = 'waiting', made = NULL WHERE id = ?", (job.id,))

    def leave_out(self, job: Job, reason: str) -> None:
        """A job that cannot be done, with the sentence for the end."""
        self._do("UPDATE job SET state = 'left_out', reason = ? WHERE id = ?", (reason, job.id))

    def leave_out_waiting(self, workflow: str, length: int, reason: str) -> int:
        """Leaves out all jobs of a workflow and length that wait; how many."""
        condition = "state = 'waiting' AND workflow = ? AND length = ?"
        values = (reason, workflow, length)
        return self._file.execute(f"UPDATE job SET state = 'left_out', reason = ? WHERE {condition}", values).rowcount

    def counts(self, workflows: Sequence[str], lengths: Sequence[int]) -> dict[str, int]:
        """State -> jobs."""
        chosen, values = _chosen(workflows, lengths)
        return dict(self._file.execute(f"SELECT state, COUNT(*) FROM job WHERE {chosen} GROUP BY state", values))

    def scored(self, workflows: Sequence[str], lengths: Sequence[int]) -> Iterator[Job]:
        """All scored jobs by length, clip and workflow, one after another."""
        chosen, values = _chosen(workflows, lengths)
        rows = self._file.execute(
            f"SELECT {_COLUMNS} FROM job WHERE state = 'scored' AND {chosen} ORDER BY length, clip, workflow", values
        )
        return (_job(row) for row in rows)

    def reasons(self, workflows: Sequence[str], lengths: Sequence[int]) -> Iterator[tuple[str, str, int, str]]:
        """(workflow, clip, length, sentence) of what was left out."""
        chosen, values = _chosen(workflows, lengths)
        yield from self._file.execute(
            f"SELECT workflow, clip, length, reason FROM job WHERE state = 'left_out' AND {chosen} "
            f"ORDER BY length, clip, workflow",
            values,
        )

    def caption(self, clip: str, length: int) -> str:
        """Of a clip."""
        found = self._file.execute("SELECT caption FROM job WHERE clip = ? AND length = ?", (clip, length)).fetchone()
        return found[0] if found else ""

    def add_scores(self, job: Job, scores: Mapping[str, float | None]) -> None:
        """More scores of a job that is scored."""
        (before,) = self._file.execute("SELECT scores FROM job WHERE id = ?", (job.id,)).fetchone()
        self._do("UPDATE job SET scores = ? WHERE id = ?", (json.dumps({**json.loads(before), **scores}), job.id))

    def made_sizes(
        self, workflows: Sequence[str], lengths: Sequence[int]
    ) -> list[tuple[str, int, tuple[int, int, int]]]:
        """(workflow, length, (frames, width, height) as made), each once."""
        chosen, values = _chosen(workflows, lengths)
        rows = self._file.execute(
            f"SELECT DISTINCT workflow, length, made FROM job WHERE made IS NOT NULL AND {chosen} ORDER BY 1, 2", values
        )
        return [(workflow, length, tuple(json.loads(made))) for workflow, length, made in rows]

    def without_reverse(self, workflows: Sequence[str], lengths: Sequence[int]) -> int:
        """How many made clips have no reverse caption of their own."""
        chosen, values = _chosen(workflows, lengths)
        condition = f"made IS NOT NULL AND reverse_caption = '' AND {chosen}"
        return self._file.execute(f"SELECT COUNT(*) FROM job WHERE {condition}", values).fetchone()[0]

    def _do(self, statement: str, values: Sequence[Any] = ()) -> None:
        self._file.execute(statement, values)

    def _many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        self._file.execute("BEGIN")
        try:
            self._file.executemany(statement, rows)
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")


def _chosen(workflows: Sequence[str], lengths: Sequence[int]) -> tuple[str, list[Any]]:
    """The condition that keeps to the workflows and lengths of this command."""
    marks = (",".join("?" * len(item)) for item in (workflows, lengths))
    return "workflow IN ({}) AND length IN ({})".format(*marks), [*workflows, *lengths]


def _job(row: Sequence[Any]) -> Job:
    number, workflow, name, length, kind, caption, reverse, source, made, scores, per_frame, seconds = row
    clip = SuiteClip(name, kind, length, caption, reverse, Path(source))
    parts = (json.loads(item) if item else {} for item in (scores, per_frame))
    return Job(number, workflow, clip, tuple(json.loads(made)) if made else None, *parts, seconds or 0.0)
