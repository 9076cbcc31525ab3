"""The demo world on a real server: its pictures, its nodes, and the shipped workflow made over to it."""

import io

import pytest
from PIL import Image

from pack.demo.base_folder import held_out_pairs, pair_name
from pack.demo.world_graphs import FRAMES, bridged_graph, plain_graph

pytestmark = pytest.mark.workshop


@pytest.fixture(scope="module")
def pair():
    return held_out_pairs()[0]


@pytest.fixture(scope="module")
def graph(pair, object_info):
    ends = [f"{pair_name(pair)}_{end}.png" for end in ("first", "last")]
    return bridged_graph(object_info, *ends, pair.caption, pair.seed)


def test_the_demo_s_nodes_are_a_folder_of_their_own(object_info):
    modules = {
        name: info["python_module"] for name, info in object_info.items() if name.startswith(("Demo", "Inbetween"))
    }
    assert modules["DemoWorldWords"] == modules["DemoWorldPictures"] == "custom_nodes.inbetween-demo-world"
    assert not [name for name, module in modules.items() if name.startswith("Demo") and "comfyui-inbetween" in module]


@pytest.mark.parametrize("kind", ["plain", "bridged"])
def test_a_video_of_the_world_lands_near_its_last_picture(kind, graph, pair, server):
    made = server.run(plain_graph(graph) if kind == "plain" else graph, lambda kind, data: None)
    found = made["outputs"][FRAMES]["images"]
    assert len(found) == 33
    for place, frame in ((0, pair.frames[0]), (-1, pair.frames[-1])):
        picture = Image.open(io.BytesIO(server.image(found[place]))).convert("RGB")
        apart = [
            abs(a - b) / 255
            for a, b in zip(picture.tobytes(), (frame * 255).round().byte().numpy().tobytes(), strict=True)
        ]
        assert sum(apart) / len(apart) < 0.06, place


def test_a_word_of_another_world_is_named(graph, server):
    from pack.demo.graphs import with_values
    from pack.demo.server import PromptError

    with pytest.raises(PromptError, match="has the word 'dancer', which the demo world does not know"):
        server.run(with_values(graph, {"Forward prompt.text": "a dancer moves right"}), lambda kind, data: None)
