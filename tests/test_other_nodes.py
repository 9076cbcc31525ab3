"""Whose code runs in the place of the host's, by the module that it was written in."""

from functools import partial, wraps

import pytest
from torch import nn

from pack.patches.other_nodes import node_of, replacing_node


def written_in(module, name="forward"):
    def code(*args):
        return args

    code.__module__, code.__name__ = module, name
    return code


@pytest.mark.parametrize(
    ("module", "node"),
    [
        ("comfy.ldm.wan.model", None),
        ("comfy_extras.nodes_wan", None),
        ("torch._dynamo.eval_frame", None),
        ("builtins", None),
        (None, None),
        ("/home/me/ComfyUI/custom_nodes/ComfyUI-KJNodes.nodes.nag", "a node of ComfyUI-KJNodes"),
        ("C:\\ComfyUI\\custom_nodes\\a_x_b.nodes", "a node of a.b"),
        ("/data/custom_nodes/old/custom_nodes/single", "a node of single"),
        ("custom_nodes.pack.nodes", "a node of pack"),
        ("comfyui_pack", "another node"),
    ],
)
def test_code_tells_where_it_comes_from(module, node):
    code = written_in(module)
    assert node_of(code) == node
    assert node_of(partial(code, 1)) == node
    assert node_of(wraps(code)(lambda: None)) == node


@pytest.mark.parametrize("value", [None, 3, "text"])
def test_what_is_no_code_comes_from_no_node(value):
    assert node_of(value) is None


class Block(nn.Module):
    __module__ = "comfy.ldm.wan.model"

    def __init__(self):
        super().__init__()
        self.self_attn, self.cross_attn = nn.Identity(), nn.Identity()


class Network(nn.Module):
    __module__ = "comfy.ldm.wan.model"

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])


def part(network, name):
    return {"network": network, "block": network.blocks[1], "attention": network.blocks[1].cross_attn}[name]


def test_the_host_s_own_network_is_replaced_by_nobody():
    network = Network()
    assert replacing_node(network) is None
    network.forward = written_in("comfy.ldm.wan.model")  # as the host leaves it where a node's code was taken out again
    assert replacing_node(network) is None


@pytest.mark.parametrize("name", ["network", "block", "attention"])
@pytest.mark.parametrize("method", ["forward", "forward_orig", "_forward"])
def test_code_in_the_place_of_a_part_s_own_is_found(name, method):
    network = Network()
    setattr(part(network, name), method, written_in("/custom_nodes/Cache.nodes"))
    assert replacing_node(network) == "a node of Cache"


@pytest.mark.parametrize("name", ["network", "block", "attention"])
def test_another_class_in_the_place_of_a_part_s_own_is_found(name):
    network = Network()
    target = part(network, name)
    target.__class__ = type("Other", (type(target),), {"__module__": "/custom_nodes/Regions.wan"})
    assert replacing_node(network) == "a node of Regions"


def test_a_network_with_other_parts_is_looked_through():
    """HunyuanVideo's blocks have other names and no such attention."""
    network = Network()
    network.single_blocks = network.blocks
    del network.blocks, network.single_blocks[1].cross_attn
    assert replacing_node(network) is None
    network.single_blocks[1].forward = written_in("/custom_nodes/Cache.nodes")
    assert replacing_node(network) == "a node of Cache"
