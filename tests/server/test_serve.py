"""What ./dev serve offers a person: a port of its own, and a template that makes a video with no editing."""

import json

import pytest

from pack.demo import world
from pack.demo.base_folder import DISC_SEED, WORLD_MODELS, WORLD_NODES
from pack.demo.graphs import api_graph
from pack.demo.server import PortTakenError, Server
from pack.demo.world_graphs import FRAMES, bridged_graph

pytestmark = pytest.mark.workshop

TEMPLATES, NAME = WORLD_NODES / "workflows", "afb_demo_world"
SHOWING = ("ImageScale", "CreateVideo", "SaveVideo")


def test_a_port_that_another_program_has_is_told(server, tmp_path):
    with pytest.raises(PortTakenError, match=f"port {server.port} is taken"):
        Server(tmp_path, port=server.port).start()
    assert server.running


def test_the_demo_world_s_templates_are_offered(server):
    offered = server.get("/workflow_templates")["inbetween-demo-world"]
    assert NAME in offered
    assert sorted(offered) == sorted(path.stem for path in TEMPLATES.glob("*.json"))


def test_the_template_is_the_graph_that_the_demo_runs(object_info, server):
    flow = json.loads((TEMPLATES / f"{NAME}.json").read_text())
    template, clip = api_graph(flow, object_info), world.clip(DISC_SEED)
    ends = [f"world_disc_{end}.png" for end in ("first", "last")]
    assert all((server.base / "input" / end).exists() for end in ends)
    run = bridged_graph(object_info, *ends, clip.caption.replace(" :", ":"), clip.seed)
    found = {key: (node["class_type"], node["inputs"]) for key, node in template.items()}
    expected = {key: (node["class_type"], node["inputs"]) for key, node in run.items()}
    frames = expected.pop(FRAMES)[1]["images"]
    ending = {found[key][0]: found.pop(key)[1] for key in list(found) if found[key][0] in SHOWING}
    assert found == expected
    assert ending.keys() == set(SHOWING)
    assert ending["ImageScale"]["image"] == frames


def test_the_trained_bridge_is_sampled_as_it_was_trained(object_info):
    flow = json.loads((TEMPLATES / "bridge_framebridge_demo.json").read_text())
    found = {node["class_type"]: node["inputs"] for node in api_graph(flow, object_info).values()}
    sampler = found["InbetweenBridgeSampler"]
    assert [sampler[key] for key in ("mode", "solver", "schedule")] == ["saf", "sde", "gmax"]
    assert sampler["prior_as_condition"] is True
    assert (found["InbetweenBridgePrior"]["kind"], found["ModelSamplingSD3"]["shift"]) == ("pixel", 3)
    assert [found["InbetweenKeyframes"][key] for key in ("width", "height", "length", "fps")] == [64, 64, 33, 16]
    assert found["CFGGuider"]["cfg"] == 1
    (note,) = (node["widgets_values"][0] for node in flow["nodes"] if node["type"] == "MarkdownNote")
    assert f"**{found['BasicScheduler']['steps']} model steps**" in note
    assert (WORLD_MODELS / "loras" / found["LoraLoaderModelOnly"]["lora_name"]).exists()
