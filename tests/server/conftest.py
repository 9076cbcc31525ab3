"""One real ComfyUI server on the CPU for all server tests, with stand-ins under the real models' names."""

import os

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/server" in str(item.path):
            item.add_marker(pytest.mark.server)


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory):
    """The folder of stand-ins: cached where ./dev says, else made for this run."""
    from pack.demo.stand_ins import cached_stand_ins, write_stand_ins

    if "INBETWEEN_CACHE" in os.environ:
        return cached_stand_ins()
    return write_stand_ins(tmp_path_factory.mktemp("stand_ins"))


@pytest.fixture(scope="session")
def server(stand_ins, tmp_path_factory):
    from pack.demo.base_folder import WORLD_MODELS, prepared_base
    from pack.demo.server import Server

    base = prepared_base(tmp_path_factory.mktemp("server"), stand_ins, WORLD_MODELS)
    with Server(base) as running:
        yield running


@pytest.fixture(scope="session")
def object_info(server):
    return server.get("/object_info")


@pytest.fixture
def small(object_info):
    """A shipped workflow as an API graph, in a size that a CPU does in a few seconds; more values may be given."""
    from pack.demo.graphs import api_graph, with_values, workflow

    def make(name: str, **values):
        graph = api_graph(workflow(name), object_info)
        size = {"InbetweenKeyframes.width": 96, "InbetweenKeyframes.height": 64, "InbetweenKeyframes.length": 33}
        size["BasicScheduler.steps"] = 4
        if name.startswith("afb"):
            size["InbetweenReverseCandidates.stop_step"] = 2
        if name.startswith("keyframes"):
            graph = with_values(graph, {"Add Keyframe (middle 1).frame": 12, "Add Keyframe (middle 2).frame": 20})
        if "2.2" in name:
            size["SplitSigmas.step"] = 2
        if "svd" in name:
            size["InbetweenKeyframes.length"] = 9
        if name.startswith("bridge"):
            size |= {"ImageScaleToTotalPixels.megapixels": 0.01, "RIFE, first pass.multiplier": 2}
        if name.startswith("gi"):
            size["InbetweenRecurrentSampler.repeats"] = 1
        if name.startswith("trf"):
            size |= {"InbetweenRecurrentSampler.until": 0.5, "InbetweenRecurrentSampler.jump_length": 1}
        return with_values(graph, size | values)

    return make


@pytest.fixture
def run(server):
    """Runs a graph to its end and returns outputs by node title."""

    def finish(graph, on_event=lambda kind, data: None):
        entry = server.run(graph, on_event)
        titles = {key: node["_meta"]["title"] for key, node in graph.items()}
        return {titles[key]: value for key, value in entry["outputs"].items()}

    return finish
