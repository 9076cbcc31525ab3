"""./dev bench suite on the real ComfyUI: it hands over the frames that the graph made, and takes its work back."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pack.bench.suite import run
from pack.bench.suite.clip_frames import truth_frames
from pack.bench.suite.dataset import open_dataset
from pack.bench.suite.demo_workflows import demo_workflows
from pack.bench.suite.plan import clip_seed
from pack.bench.suite.records import made_key, read_record
from pack.bench.suite.servers import ComfyWorker
from pack.bench.suite.video_files import encoded_picture, read_video
from pack.bench.suite.workflow_file import OUTPUT, WorkflowError, read_workflow
from pack.demo.base_folder import ROOT, WORLD_MODELS, prepared_base
from pack.demo.client import ComfyClient, PromptError
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
    clip = next(open_dataset(judged / "data", [33], None).clips())
    truth = truth_frames(clip, 64, 64)
    base = server.base / "input"
    for name, frame in (("suite_a.png", truth[0]), ("suite_b.png", truth[-1])):
        (base / name).write_bytes(encoded_picture(frame))
    workflow = read_workflow(judged / "plain.json", object_info)
    graph = workflow.filled(clip, ("suite_a.png", "suite_b.png"), (64, 64), 33, clip_seed(0, clip))
    shown = server.run(graph, lambda kind, data: None)["outputs"][OUTPUT]["images"]
    direct = np.stack([np.asarray(Image.open(io.BytesIO(server.image(one))).convert("RGB")) for one in shown])
    (kept,) = (judged / "out" / "frames" / "plain").rglob(f"{clip.name}.mkv")
    record = read_record(judged / "out" / "scores" / "plain" / "33" / f"{clip.name}.json")
    assert np.array_equal(read_video(kept, made_key(record)), direct)


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
    graph, worker, prompt_id = long_graph(judged, object_info), ComfyWorker(server.address), str(uuid.uuid4())
    told = []

    def run_it():
        with pytest.raises(PromptError):
            worker._shown(graph, prompt_id)
        told.append("ended")

    thread = threading.Thread(target=run_it)
    thread.start()
    while not 0 < worker.share() < 0.1:
        time.sleep(0.05)
        assert not told
    ComfyClient(server.address).cancel(prompt_id)
    thread.join(600)
    queue = server.get("/queue")
    assert told and not queue["queue_running"] + queue["queue_pending"]


def test_what_a_node_says_is_passed_on(judged, server, object_info):
    graph = long_graph(judged, object_info)
    for node in graph.values():
        if node["class_type"] == "InbetweenKeyframes":
            node["inputs"]["length"] = 34

    with pytest.raises(PromptError, match="34"):
        ComfyWorker(server.address)._shown(graph, str(uuid.uuid4()))


def test_a_refused_graph_is_told_with_the_nodes_title(judged, server, object_info):
    graph = long_graph(judged, object_info, "missing")
    with pytest.raises(PromptError, match="picture: .*missing_"):
        ComfyWorker(server.address)._shown(graph, str(uuid.uuid4()))


TEMPLATES = (
    "03_video_wan2_2_14B_i2v_subgraphed",
    "image_to_video_wan",
    "ltxv_image_to_video",
    "video_ltx2_3_i2v",  # with a Reroute
    "video_wan2_2_14B_i2v",
    "video_wan2_2_5B_fun_inpaint",
    "video_wan_vace_flf2v",
    "wan2.1_flf2v_720_f16",
    "wan2.1_fun_inp",
)


@pytest.mark.parametrize("name", TEMPLATES)
def test_an_official_template_lacks_nothing_but_the_suites_titles(name, object_info):
    templates = pytest.importorskip("comfyui_workflow_templates_json", reason="comes with ComfyUI")
    with pytest.raises(WorkflowError) as error:
        read_workflow(Path(templates.__file__).parent / "templates" / f"{name}.json", object_info)
    lines = str(error.value).splitlines()
    assert lines and all("no node is called" in line or "comes from another node" in line for line in lines)


ON_A_CLUSTER = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import launch
launch.import_pack()
from pack.bench.suite import demo_run, run
sys.exit(run.judged(run.parsed(sys.argv[1:]), demo_run.demo_server))
"""


@pytest.fixture
def two_nodes(tmp_path):
    """The address of two nodes of Ray on this machine, with a core and, as they say, a GPU each; and what they need."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--node-ip-address", "127.0.0.1"]
    start += ["--num-cpus", "1", "--num-gpus", "1", "--object-store-memory", str(100 * 2**20)]
    short = tempfile.mkdtemp(prefix="ray-")  # a socket's path has 107 letters at most
    head = ["--head", "--port", address.partition(":")[2], "--include-dashboard", "false", "--temp-dir", short]
    nodes = []
    for more in (head, ["--address", address]):
        with open(tmp_path / "nodes.log", "a") as log:
            nodes.append(subprocess.Popen([*start, *more], env=environment, stdout=log, stderr=log))
        while socket.socket().connect_ex(("127.0.0.1", int(address.partition(":")[2]))):
            assert nodes[0].poll() is None, (tmp_path / "nodes.log").read_text()
            time.sleep(0.2)
    while "This command will now block" not in (tmp_path / "nodes.log").read_text().partition("will now block")[2]:
        assert nodes[1].poll() is None, (tmp_path / "nodes.log").read_text()
        time.sleep(0.5)
    yield address, environment
    for node in reversed(nodes):
        node.terminate()
        node.wait()
    shutil.rmtree(short, ignore_errors=True)


def test_two_nodes_of_a_cluster_share_a_run_and_change_no_number(judged, two_nodes):
    address, environment = two_nodes
    command = [sys.executable, "-c", ON_A_CLUSTER, str(ROOT / "demo"), *options(judged, "cluster"), "--ray", address]
    assert subprocess.run(command, env=environment).returncode == run.DONE
    assert score_rows(judged / "cluster") == score_rows(judged / "out")
    records = map(read_record, (judged / "cluster" / "scores").rglob("*.json"))
    assert len({record["made"]["server"] for record in records}) == 2
