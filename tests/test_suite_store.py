"""The suite's memory: what waits, what is done, and that it takes no more memory for more clips."""

import gc
import weakref
from pathlib import Path

import pytest

from pack.bench.suite.clips import SuiteClip
from pack.bench.suite.store import ATTEMPTS, ROWS_AT_ONCE, Store, StoreError

NAMES, LENGTHS = ["a", "b"], [9, 13]


def clips(count=3, lengths=LENGTHS, **changes):
    for length in lengths:
        for number in range(count):
            told = {"kind": "still", "caption": f"clip {number}", "reverse_caption": "", "source": Path(f"/d/{number}")}
            yield SuiteClip(name=f"clip {number}", length=length, **{**told, **changes})


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path)
    yield found
    found.close()


def take(store, before=""):
    return store.next_to_make(NAMES, LENGTHS, before)


def finish(store, job, **scores):
    store.keep_made(job, (job.clip.length, 64, 64), 1.5)
    store.keep_scores(job, scores or {"psnr": 20.0}, {"psnr": [20.0, None]})


def test_every_clip_is_taken_once_and_comes_back_as_it_was_added(store):
    store.add(NAMES, clips())
    taken = []
    while job := take(store):
        taken.append(job)
        finish(store, job)
    assert len(taken) == len({(job.workflow, job.clip.length, job.clip.name) for job in taken}) == 12
    assert {job.clip for job in taken} == set(clips())
    found = list(store.scored(NAMES, LENGTHS))
    assert [(job.clip.length, job.clip.name, job.workflow) for job in found] == sorted(
        (job.clip.length, job.clip.name, job.workflow) for job in taken
    )
    assert found[0].made == (9, 64, 64) and found[0].scores == {"psnr": 20.0}
    assert found[0].per_frame == {"psnr": [20.0, None]} and found[0].seconds == 1.5


def test_the_workflow_whose_models_are_loaded_goes_on(store):
    store.add(NAMES, clips())
    assert take(store, before="b").workflow == "b"
    assert take(store, before="").workflow == "a"
    for _ in range(5):
        assert take(store, before="b").workflow == "b"
    assert take(store, before="b").workflow == "a"  # none of b is left


def test_adding_again_keeps_what_is_done_and_takes_new_places(store):
    store.add(NAMES, clips(1, [9]))
    finish(store, take(store))
    store.add(NAMES, clips(2, [9], source=Path("/moved"), caption="new words"))
    assert store.counts(NAMES, LENGTHS) == {"scored": 1, "waiting": 3}
    (done,) = store.scored(NAMES, LENGTHS)
    assert (done.clip.source, done.clip.caption) == (Path("/moved"), "clip 0")
    assert take(store).clip.caption == "new words"


def test_what_was_running_or_left_out_is_taken_up_again(store):
    store.add(["a"], clips(4, [9]))
    jobs = [take(store) for _ in range(3)]
    store.leave_out(jobs[0], "broken")
    finish(store, jobs[1])
    store.resume(["psnr"])
    assert store.counts(NAMES, LENGTHS) == {"scored": 1, "waiting": 3}
    assert list(store.reasons(NAMES, LENGTHS)) == []


def test_what_lacks_a_score_is_scored_again_and_not_made_again(store):
    store.add(["a"], clips(2, [9]))
    finish(store, take(store), psnr=20.0, lpips=None)
    finish(store, take(store), psnr=20.0)
    store.resume(["psnr", "lpips"])
    assert store.counts(NAMES, LENGTHS) == {"scored": 1, "made": 1}
    assert store.next_to_score(NAMES, LENGTHS).clip.name == "clip 1"


def test_more_scores_join_the_others_and_may_be_missing_numbers(store):
    store.add(["a"], clips(1, [9]))
    finish(store, take(store))
    (job,) = store.scored(NAMES, LENGTHS)
    store.add_scores(job.without_scores(), {"flicker": 0.5, "none": None})
    assert next(store.scored(NAMES, LENGTHS)).scores == {"psnr": 20.0, "flicker": 0.5, "none": None}


def test_a_clip_that_loses_its_servers_too_often_is_known(store):
    store.add(["a"], clips(1, [9]))
    for attempt in range(1, ATTEMPTS + 1):
        assert store.put_back(take(store), lost=True) == (attempt < ATTEMPTS)
    assert store.put_back(take(store), lost=False) is False


def test_a_clip_that_lost_its_server_comes_after_those_that_did_not(store):
    store.add(NAMES, clips(2, [9]))
    lost = take(store, before="a")
    store.put_back(lost, lost=True)
    taken = [take(store, before="a").id for _ in range(4)]
    assert taken[-1] == lost.id


def test_only_the_asked_workflows_and_lengths_count(store):
    store.add(NAMES, clips())
    assert store.counts(["a"], [9]) == {"waiting": 3}
    assert store.next_to_make(["c"], [9], "") is None


def test_other_settings_are_refused(store):
    store.settle({"--seed": "1"})
    store.settle({"--seed": "1", "--size": "64x64"})
    with pytest.raises(StoreError, match="made with --seed 1, now it is 2: go back to it, or give another --out"):
        store.settle({"--seed": "2"})
    assert store.setting("--seed") == "1"


def test_a_second_run_in_the_folder_is_refused(store, tmp_path):
    with pytest.raises(StoreError, match="is in use by another run"):
        Store(tmp_path)


def test_a_damaged_file_is_told(tmp_path):
    (tmp_path / "suite.sqlite").write_bytes(b"not a database at all, but long enough to be one" * 100)
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path)


def test_ten_thousand_clips_are_never_in_memory_together(store):
    alive, most = weakref.WeakSet(), 0

    def counted():
        nonlocal most
        for clip in clips(10_000, [9]):
            alive.add(clip)
            most = max(most, len(alive))
            yield clip

    store.add(["a"], counted())
    assert store.counts(["a"], [9]) == {"waiting": 10_000}
    gc.collect()
    assert most <= 2 * ROWS_AT_ONCE + 1
