"""./dev bench suite on the real ComfyUI: it hands over the frames that the graph made, and takes its work back."""

import asyncio
import io
import json
import threading
import time

import aiohttp
import numpy as np
import pytest
from PIL import Image

from pack.bench.suite import run
from pack.bench.suite.clip_frames import truth_frames
from pack.bench.suite.demo_workflows import demo_workflows
from pack.bench.suite.server import ComfyServer, PromptFailedError
from pack.bench.suite.spread import clip_seed
from pack.bench.suite.store import Store
from pack.bench.suite.video_files import encoded_picture, read_video
from pack.bench.suite.workflow_file import OUTPUT, read_workflow
from pack.demo.base_folder import WORLD_MODELS, prepared_base
from pack.demo.graphs import with_values
from pack.demo.server import Server
from pack.demo.tgi_bench import write_tgi_bench
from pack.tests.suite_servers import score_rows

pytestmark = pytest.mark.workshop

NAMES = {"first-last only": "plain", "AFB": "afb"}


@pytest.fixture(scope="module")
def judged(server, object_info, tmp_path_factory):
    """The folder of a run of two workflows of few steps on one clip of each kind."""
    folder = tmp_path_factory.mktemp("suite")
    graphs = demo_workflows(object_info)
    for title, name in NAMES.items():
        few = {"BasicScheduler.steps": 4, **({"InbetweenReverseCandidates.stop_step": 2} if name == "afb" else {})}
        (folder / f"{name}.json").write_text(json.dumps(with_values(graphs[title], few)))
    write_tgi_bench(folder / "data", 1, (33,))
    assert run.main([*options(folder, "out"), "--server", server.address]) == run.DONE
    return folder


def options(folder, out):
    files = [str(folder / f"{name}.json") for name in NAMES.values()]
    return ["--data", str(folder / "data"), "--workflows", *files, "--out", str(folder / out), "--size", "64x64"]


def test_every_clip_is_scored_by_both_workflows(judged):
    rows = score_rows(judged / "out")
    assert [row["workflow"] for row in rows] == ["afb", "plain"] * 4
    assert all(12 < float(row["psnr"]) < 40 and float(row["keyframe_distance"]) < 0.2 for row in rows)
    assert {(row["made_frames"], row["made_width"], row["made_height"]) for row in rows} == {("33", "64", "64")}


@pytest.fixture
def second_server(tmp_path):
    with Server(prepared_base(tmp_path, WORLD_MODELS)) as running:
        yield running


def test_a_second_server_that_is_killed_changes_no_number(judged, server, second_server, capfd):
    def kill_when_it_works():
        while not second_server.get("/queue")["queue_running"]:
            time.sleep(0.05)
        time.sleep(0.5)
        second_server.kill()

    thread = threading.Thread(target=kill_when_it_works, daemon=True)
    thread.start()
    assert run.main([*options(judged, "two"), "--server", server.address, second_server.address]) == run.DONE
    thread.join()
    assert f"{second_server.address} " in capfd.readouterr().out
    assert score_rows(judged / "two") == score_rows(judged / "out")


def test_the_server_forgets_what_it_handed_over(judged, server):
    assert not any(OUTPUT in entry["outputs"] for entry in server.get("/history").values() if entry["outputs"])


def test_the_frames_are_those_of_the_graph_bit_for_bit(judged, server, object_info):
    store = Store(judged / "out")
    job = next(job for job in store.scored(["plain"], [33]))
    store.close()
    truth = truth_frames(job.clip, 64, 64)
    base = server.base / "input"
    for name, frame in (("suite_a.png", truth[0]), ("suite_b.png", truth[-1])):
        (base / name).write_bytes(encoded_picture(frame))
    workflow = read_workflow(judged / "plain.json", object_info)
    graph = workflow.filled(job.clip, ("suite_a.png", "suite_b.png"), (64, 64), 33, clip_seed(0, job.clip))
    shown = server.run(graph, lambda kind, data: None)["outputs"][OUTPUT]["images"]
    direct = np.stack([np.asarray(Image.open(io.BytesIO(server.image(one))).convert("RGB")) for one in shown])
    (kept,) = (judged / "out" / "frames" / "plain").rglob(f"{job.clip.name}.mkv")
    assert np.array_equal(read_video(kept), direct)


def on_server(server, work):
    async def connected():
        async with aiohttp.ClientSession() as session:
            return await work(ComfyServer(server.address, session))

    return asyncio.run(connected())


def long_graph(judged, object_info, name="world_disc"):
    workflow = read_workflow(judged / "plain.json", object_info)
    graph = {key: {**node, "inputs": dict(node["inputs"])} for key, node in workflow.graph.items()}
    for node in graph.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = f"{name}_{node['_meta']['title'].split()[0].lower()}.png"
        if node["class_type"] == "BasicScheduler":
            node["inputs"]["steps"] = 1000
    return graph


def test_a_stopped_run_takes_its_clip_off_the_server(judged, server, object_info):
    graph, shares = long_graph(judged, object_info), []

    async def stopped(comfy):
        task = asyncio.create_task(comfy.frames(graph, shares.append))
        while not any(0 < share < 0.1 for share in shares):
            await asyncio.sleep(0.05)
            assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    on_server(server, stopped)
    for _ in range(6000):
        queue = server.get("/queue")
        if not queue["queue_running"] + queue["queue_pending"]:
            return
        time.sleep(0.1)
    raise AssertionError("the server still works on the clip")


def test_what_a_node_says_is_passed_on(judged, server, object_info):
    graph = long_graph(judged, object_info)
    for node in graph.values():
        if node["class_type"] == "InbetweenKeyframes":
            node["inputs"]["length"] = 34

    with pytest.raises(PromptFailedError, match="34"):
        on_server(server, lambda comfy: comfy.frames(graph, lambda share: None))


def test_a_refused_graph_is_told_with_the_nodes_title(judged, server, object_info):
    graph = long_graph(judged, object_info, "missing")
    with pytest.raises(PromptFailedError, match="picture: .*missing_"):
        on_server(server, lambda comfy: comfy.frames(graph, lambda share: None))
