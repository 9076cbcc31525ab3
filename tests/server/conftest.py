"""Graphs of the shipped workflows in a small size, and what runs them to their end."""

import io

import pytest
from PIL import Image


@pytest.fixture
def small(object_info):
    """A shipped workflow as an API graph, in a size that a CPU does in a few seconds; more values may be given."""
    from pack.demo.graphs import api_graph, with_values, workflow
    from pack.tests.small_sizes import small_sizes

    def make(name: str, **values):
        graph = api_graph(workflow(name), object_info)
        return with_values(graph, small_sizes(graph) | values)

    return make


@pytest.fixture
def run(server):
    """Runs a graph to its end and returns outputs by node title."""

    def finish(graph, on_event=lambda kind, data: None):
        entry = server.run(graph, on_event)
        titles = {key: node["_meta"]["title"] for key, node in graph.items()}
        return {titles[key]: value for key, value in entry["outputs"].items()}

    return finish


@pytest.fixture
def decoded(server, run):
    """Runs a graph and returns the bytes of every frame before the encoder, whose output differs from run to run."""

    def frames(graph):
        kept = {key: node for key, node in graph.items() if node["class_type"] not in ("CreateVideo", "SaveVideo")}
        for key, node in graph.items():
            if node["class_type"] == "VAEDecode":
                title = f"frames of {node['_meta']['title']}"
                kept[f"{key}_frames"] = {
                    "class_type": "PreviewImage",
                    "inputs": {"images": [key, 0]},
                    "_meta": {"title": title},
                }
        shown = {title: value["images"] for title, value in run(kept).items() if title.startswith("frames of ")}
        # by title: which of two videos the server makes first is chance
        return [[pixels(server.image(image)) for image in shown[title]] for title in sorted(shown)]

    return frames


def pixels(file):
    return Image.open(io.BytesIO(file)).tobytes()
