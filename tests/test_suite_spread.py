"""The queue over servers that fail in ways of their own, and what comes of lost frames; objects play the servers."""

import asyncio
import json

import numpy as np
import pytest
from tqdm import tqdm

from pack.bench.suite import spread
from pack.bench.suite.batch_scores import keep_batch_scores
from pack.bench.suite.clips import SuiteClip
from pack.bench.suite.results import Measure
from pack.bench.suite.server import ServerGoneError
from pack.bench.suite.set_scores import set_scores
from pack.bench.suite.spread import Plan, Spread
from pack.bench.suite.store import Store
from pack.bench.suite.video_files import encoded_picture
from pack.bench.suite.workflow_file import read_workflow
from pack.tests.stub_comfy import NODES, workflow

LENGTH, SIZE = 5, (32, 32)


class PlayedServer:
    """Makes noise. frames and upload may be replaced by what fails."""

    def __init__(self, url="played", seconds=0.0):
        self.url, self.seconds, self.asked = url, seconds, 0

    async def version(self):
        return "0"

    async def upload(self, picture):
        self.asked += 1
        return "first.png"

    async def frames(self, graph, told):
        await asyncio.sleep(self.seconds)
        video = np.random.default_rng(0).integers(0, 256, (LENGTH, *SIZE, 3), dtype=np.uint8)
        return [encoded_picture(frame) for frame in video]


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "noise.json").write_text(json.dumps(workflow()))
    noise = read_workflow(tmp_path / "noise.json", NODES)
    return Plan(tmp_path / "out", {"noise": noise}, [LENGTH], {"noise": SIZE}, SIZE, 0, 16.0)


@pytest.fixture
def spread_over(plan, tmp_path):
    """Runs the queue of some clips over servers; returns how many jobs are in which state."""
    source = tmp_path / "pictures"
    source.mkdir()
    for number in range(LENGTH):
        (source / f"{number}.png").write_bytes(encoded_picture(np.full((*SIZE, 3), 20 * number, np.uint8)))

    def call(servers, count=6):
        store = Store(plan.folder)
        store.add(plan.names, (SuiteClip(f"clip {n}", "", LENGTH, "grey", "", source) for n in range(count)))
        try:
            asyncio.run(asyncio.wait_for(Spread(plan, store, tqdm(disable=True)).run(servers), 60))
            return store.counts(plan.names, plan.lengths)
        finally:
            store.close()

    return call


def test_a_server_that_goes_away_over_a_long_clip_is_asked_again(spread_over, monkeypatch):
    monkeypatch.setattr(spread, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(spread, "ASK_AGAIN_SECONDS", (0.01,))
    server, make = PlayedServer(), PlayedServer().frames

    async def lost_once(graph, told):
        server.frames = make
        await asyncio.sleep(1.0)
        raise ServerGoneError("it was started anew")

    server.frames = lost_once
    assert spread_over([server], count=2) == {"scored": 2}


def test_a_server_that_fails_at_once_spends_no_clip_while_another_works(spread_over, monkeypatch):
    monkeypatch.setattr(spread, "ASK_AGAIN_SECONDS", (0.01, 0.02, 5))
    bad, good = PlayedServer("bad"), PlayedServer("good", seconds=0.1)

    async def refused(picture):
        bad.asked += 1
        raise ServerGoneError("its disk is full")

    bad.upload = refused
    assert spread_over([bad, good]) == {"scored": 6}
    assert bad.asked >= 2


def test_a_server_that_never_takes_anything_ends_the_run(spread_over, monkeypatch):
    monkeypatch.setattr(spread, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(spread, "ASK_AGAIN_SECONDS", (0.3,))
    bad = PlayedServer()

    async def refused(picture):
        raise ServerGoneError("its disk is full")

    bad.upload = refused
    assert spread_over([bad], count=100) == {"waiting": 100}


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_of_one_worker_ends_the_run_at_once(workers, spread_over, monkeypatch):
    def full(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(spread, "write_exactly", full)
    with pytest.raises(OSError, match="the disk is full"):
        spread_over([PlayedServer(str(number)) for number in range(workers)])


def test_an_error_of_the_scoring_ends_the_run_at_once(spread_over, monkeypatch):
    def full(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(spread, "write_for_the_eye", full)
    with pytest.raises(OSError, match="the disk is full"):
        spread_over([PlayedServer(seconds=0.05), PlayedServer("slow", seconds=30)])


def test_a_broken_picture_of_a_server_leaves_out_its_clip(spread_over):
    server, make = PlayedServer(), PlayedServer().frames

    async def broken_once(graph, told):
        server.frames = make
        return [b"<html>"] * LENGTH

    server.frames = broken_once
    assert spread_over([server]) == {"scored": 5, "left_out": 1}


class PlayedMeasure:
    """Of sets and of many videos: their mean."""

    measure, videos_at_once = Measure("mean", "Mean", "", "higher", ".2f"), 4
    measures = (measure,)

    def features(self, video):
        return video.mean(axis=(1, 2))

    def distance(self, made, truth):
        made, truth = list(made), list(truth)
        return float(np.mean(made) - np.mean(truth)) if made else None

    def scores(self, videos, fps):
        return [{"mean": float(video.mean())} for video in videos], []


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_frames_that_are_gone_leave_a_later_measure_its_other_clips(how, plan, spread_over):
    spread_over([PlayedServer()])
    store = Store(plan.folder)
    lost = plan.exact_file(next(store.scored(plan.names, plan.lengths)))
    lost.write_bytes(b"") if how == "damaged" else lost.unlink()
    (found,), (note,) = set_scores(plan, store, [PlayedMeasure()])
    assert found.clips == 5 and str(lost) in note
    (note,) = keep_batch_scores(plan, store, [PlayedMeasure()])
    assert str(lost) in note
    if how == "gone":
        assert sum("mean" in job.scores for job in store.scored(plan.names, plan.lengths)) == 5
    assert store.counts(plan.names, plan.lengths) == {"scored": 6}
    store.close()


def test_a_clip_whose_truth_is_gone_leaves_a_later_measure_the_rest(plan, spread_over, tmp_path):
    spread_over([PlayedServer()])
    (tmp_path / "pictures" / "0.png").unlink()
    store = Store(plan.folder)
    (found,), (note,) = set_scores(plan, store, [PlayedMeasure()])
    assert (found.clips, found.value) == (0, None) and "pictures has 4 frames" in note
    store.close()
