"""The work over servers that fail in ways of their own, and what comes of lost frames; actors play the servers."""

import contextlib
import gc
import json
import threading
import time
import weakref

import numpy as np
import psutil
import pytest
import ray
from tqdm import tqdm

from pack.bench.suite import run, spread
from pack.bench.suite.clips import SuiteClip
from pack.bench.suite.measure_options import ChosenMeasures
from pack.bench.suite.more_scores import keep_more_scores, set_scores
from pack.bench.suite.plan import Plan
from pack.bench.suite.progress import LEFT_OUT, OPEN, SCORED, TAKEN, Progress
from pack.bench.suite.records import read_record
from pack.bench.suite.results import Measure
from pack.bench.suite.servers import Fleet
from pack.bench.suite.spread import Spread
from pack.bench.suite.video_files import encoded_picture
from pack.bench.suite.workflow_file import read_workflow
from pack.tests.stub_comfy import NODES, workflow
from pack.tests.suite_servers import PlayedWorker

LENGTH, SIZE = 5, (32, 32)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with run._session(None):
        yield


class Clips:
    """A data set of so many clips of the same pictures. alive: those that are in memory. most: at once."""

    def __init__(self, source, count):
        self.source, self.count, self.lengths = source, count, (LENGTH,)
        self.alive, self.most = weakref.WeakSet(), 0

    def clips(self):
        for number in range(self.count):
            clip = SuiteClip(f"clip {number}", "", LENGTH, "grey", "", self.source)
            self.alive.add(clip)
            self.most = max(self.most, len(self.alive))
            yield clip


@pytest.fixture
def progress_of(tmp_path):
    (tmp_path / "noise.json").write_text(json.dumps(workflow()))
    noise = read_workflow(tmp_path / "noise.json", NODES)
    plan = Plan(tmp_path / "out", {"noise": noise}, [LENGTH], {"noise": SIZE}, SIZE, 0, 16.0, "0.30.0")
    source = tmp_path / "pictures"
    source.mkdir()
    for number in range(LENGTH):
        (source / f"{number}.png").write_bytes(encoded_picture(np.full((*SIZE, 3), 20 * number, np.uint8)))

    def surveyed(count):
        found = Progress(plan, Clips(source, count))
        found.survey()
        return found

    return surveyed


@pytest.fixture
def spread_over(progress_of, tmp_path):
    """Makes some clips on servers that behave so: (how, seconds a clip) by name; gives how far each is."""

    def call(servers, count=6):
        actor = ray.remote(PlayedWorker).options(num_cpus=0, max_restarts=-1, max_concurrency=2)
        workers = {name: actor.remote(*how, tmp_path / f"{name} once") for name, how in servers.items()}
        progress = progress_of(count)
        try:
            Spread(progress, Fleet("0", workers), tqdm(disable=True)).run()
        finally:
            Fleet("0", workers).close()
        return progress

    return call


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(spread, "ASK_AGAIN_SECONDS", (0.01, 0.02, 5))


@pytest.mark.parametrize("how", ["lost once", "ends once"])
def test_a_server_or_its_process_that_goes_away_over_a_clip_is_asked_again(how, spread_over, tmp_path):
    assert spread_over({"a": (how, 0.0)}, count=2).count(SCORED) == 2
    assert (tmp_path / "a once").exists()


def test_a_server_that_fails_at_once_spends_no_clip_while_another_works(spread_over):
    assert spread_over({"bad": ("refused", 0.0), "good": ("", 0.1)}).count(SCORED) == 6


def test_a_server_that_never_takes_anything_ends_the_run(spread_over, monkeypatch):
    monkeypatch.setattr(spread, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(spread, "ASK_AGAIN_SECONDS", (0.3,))
    assert spread_over({"bad": ("refused", 0.0)}, count=100).count(OPEN, TAKEN) >= 99


@pytest.mark.parametrize("folder", ["frames", "videos"])
def test_a_disk_that_takes_nothing_ends_the_run_at_once(folder, spread_over, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / folder).write_text("in the way")
    began = time.monotonic()
    with pytest.raises(OSError, match="cannot be written: Not a directory"):
        spread_over({"a": ("", 0.0), "slow": ("", 120.0)})
    assert time.monotonic() - began < 100


def test_a_broken_picture_of_a_server_leaves_out_its_clip(spread_over):
    progress = spread_over({"a": ("broken once", 0.0)})
    assert (progress.count(SCORED), progress.count(LEFT_OUT)) == (5, 1)
    assert "frame 0 that the server handed over is broken" in progress.reasons[0]


def test_a_scoring_process_that_is_killed_is_started_again(spread_over):
    killed = []

    def kill():
        while not killed:
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if process.cmdline()[:1] == ["ray::score"]:
                        process.kill()
                        killed.append(process.pid)
                        return
            time.sleep(0.001)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    assert spread_over({"a": ("", 0.0)}, count=12).count(SCORED) == 12
    assert killed
    thread.join()


class PlayedMeasure:
    """Of sets and of many videos: their mean."""

    name, measure, videos_at_once = "Mean", Measure("mean", "Mean", "", "higher", ".2f"), 4
    measures = (measure,)

    def features(self, video):
        return video.mean(axis=(1, 2))

    def distance(self, made, truth):
        made, truth = list(made), list(truth)
        return float(np.mean(made) - np.mean(truth)) if made else None

    def scores(self, videos, fps):
        return [{"mean": float(video.mean())} for video in videos], []


MEASURES = ChosenMeasures(sets=[PlayedMeasure()], batches=[PlayedMeasure()])


def means(progress):
    numbers = (
        record["scores"].get("Mean", {}).get("numbers", {}) for _, by in progress.scored() for record in by.values()
    )
    return ["mean" in one for one in numbers]


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_frames_that_are_gone_leave_a_later_measure_its_other_clips(how, spread_over):
    progress = spread_over({"a": ("", 0.0)})
    lost = progress.plan.files("noise", next(progress.scored())[0]).exact
    lost.write_bytes(b"") if how == "damaged" else lost.unlink()
    (found,), (note,) = set_scores(progress, MEASURES)
    assert found.clips == 5 and str(lost) in note
    (note,) = keep_more_scores(progress, MEASURES)
    assert str(lost) in note
    if how == "gone":
        assert means(progress) == [False, *[True] * 5]
    assert progress.count(SCORED) == 6


def test_what_another_library_said_is_kept_until_what_it_was_given_changes(spread_over, monkeypatch):
    progress, asked = spread_over({"a": ("", 0.0)}, count=3), []
    scores, features = PlayedMeasure.scores, PlayedMeasure.features
    monkeypatch.setattr(PlayedMeasure, "scores", lambda *given: asked.append("scores") or scores(*given))
    monkeypatch.setattr(PlayedMeasure, "features", lambda *given: asked.append("features") or features(*given))
    for given, expected in (("a file", 4 + 1 + 2), ("a file", 0), ("another", 4 + 1 + 2)):
        measures = ChosenMeasures(MEASURES.sets, [], MEASURES.batches, {"Mean": given})
        asked.clear()
        keep_more_scores(progress, measures), set_scores(progress, measures)
        assert len(asked) in (expected, expected - 2)  # the truth is the same three times


def test_a_clip_whose_truth_is_gone_leaves_a_later_measure_the_rest(spread_over, tmp_path):
    progress = spread_over({"a": ("", 0.0)})
    (tmp_path / "pictures" / "0.png").unlink()
    (found,), (note,) = set_scores(progress, MEASURES)
    assert (found.clips, found.value) == (0, None) and "pictures has 4 frames" in note


def test_frames_that_are_gone_are_made_again_by_the_same_command(spread_over):
    progress = spread_over({"a": ("", 0.0)})
    files = [progress.plan.files("noise", clip) for clip, _ in progress.scored()]
    record = read_record(files[0].record)
    files[0].record.write_text(json.dumps({**record, "scores": {}}))
    files[0].exact.write_bytes(b"damaged")
    files[1].record.write_text("{")
    files[2].record.unlink()
    assert spread_over({"a": ("", 0.0)}).count(SCORED) == 6


def test_ten_thousand_clips_are_never_in_memory_together(progress_of):
    progress = progress_of(10_000)
    assert progress.count(OPEN) == sum(1 for _ in progress.jobs(OPEN)) == 10_000
    assert list(progress.scored()) == []
    gc.collect()
    assert progress._dataset.most <= 3
