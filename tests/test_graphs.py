"""Workflow files as graphs for the API: subgraphs, above all."""

import pytest

from pack.demo.graphs import api_graph

INFO = {
    "Number": {"input": {"required": {"value": ["INT", {}]}}, "input_order": {"required": ["value"]}},
    "Add": {
        "input": {"required": {"a": ["INT", {}], "b": ["INT", {}]}, "optional": {"picture": ["IMAGE", {}]}},
        "input_order": {"required": ["a", "b"], "optional": ["picture"]},
    },
    "Show": {"input": {"required": {"value": ["*", {}]}}, "input_order": {"required": ["value"]}},
}
for _info in INFO.values():
    _info["display_name"] = None


def slot(name, link=None, widget=False):
    return {"name": name, "link": link, **({"widget": {"name": name}} if widget else {})}


def node(number, kind, inputs=(), values=()):
    return {"id": number, "type": kind, "inputs": list(inputs), "widgets_values": list(values)}


def link(number, origin, target, from_slot=0, to_slot=0):
    return {
        "id": number,
        "origin_id": origin,
        "origin_slot": from_slot,
        "target_id": target,
        "target_slot": to_slot,
        "type": "*",
    }


# Adds a (a widget) to b (a widget that is linked in some uses) twice: (a + b) + b; picture is not linked anywhere
TWICE = {
    "id": "twice",
    "inputs": [{"name": "a"}, {"name": "b"}, {"name": "picture"}],
    "outputs": [{"name": "sum", "linkIds": [5]}, {"name": "half", "linkIds": [6]}],
    "nodes": [
        node(1, "Add", [slot("a", 1, True), slot("b", 2, True), slot("picture", 7)], [10, 20]),
        node(2, "Add", [slot("a", 3, True), slot("b", 4, True)], [30, 40]),
    ],
    "links": [
        link(1, -10, 1),
        link(2, -10, 1, 1, 1),
        link(3, 1, 2),
        link(4, -10, 2, 1, 1),
        link(5, 2, -20),
        link(6, 1, -20, 0, 1),
        link(7, -10, 1, 2, 2),
    ],
}


def used(number, values, b=None):
    return node(number, "twice", [slot("a", None, True), slot("b", b, True), slot("picture")], values)


def workflow(nodes, links, *subgraphs):
    return {"nodes": nodes, "links": links, "definitions": {"subgraphs": list(subgraphs)}}


def parts(graph):
    return {key: (node["class_type"], node["inputs"]) for key, node in graph.items()}


def test_a_subgraph_becomes_its_nodes_with_the_values_of_each_use():
    flow = workflow([used(5, [1, 2]), used(6, [3, 4])], [], TWICE)
    assert parts(api_graph(flow, INFO)) == {
        "5:1": ("Add", {"a": 1, "b": 2}),
        "5:2": ("Add", {"a": ["5:1", 0], "b": 2}),
        "6:1": ("Add", {"a": 3, "b": 4}),
        "6:2": ("Add", {"a": ["6:1", 0], "b": 4}),
    }


def test_links_go_through_a_subgraph_in_and_out():
    nodes = [
        node(4, "Number", [slot("value", None, True)], [7]),
        used(5, [1, 2], b=1),
        node(8, "Show", [slot("value", 2)]),
        node(9, "Show", [slot("value", 3)]),
    ]
    links = [[1, 4, 0, 5, 1, "INT"], [2, 5, 0, 8, 0, "INT"], [3, 5, 1, 9, 0, "INT"]]
    assert parts(api_graph(workflow(nodes, links, TWICE), INFO)) == {
        "4": ("Number", {"value": 7}),
        "5:1": ("Add", {"a": 1, "b": ["4", 0]}),
        "5:2": ("Add", {"a": ["5:1", 0], "b": ["4", 0]}),
        "8": ("Show", {"value": ["5:2", 0]}),
        "9": ("Show", {"value": ["5:1", 0]}),
    }


def test_without_values_of_its_own_a_use_has_those_inside():
    assert parts(api_graph(workflow([used(5, [])], [], TWICE), INFO)) == {
        "5:1": ("Add", {"a": 10, "b": 20}),
        "5:2": ("Add", {"a": ["5:1", 0], "b": 40}),
    }


def test_a_subgraph_in_a_subgraph():
    outer = {
        "id": "outer",
        "inputs": [{"name": "b"}],
        "outputs": [{"name": "sum", "linkIds": [2]}],
        "nodes": [used(3, [1, 2], b=1)],
        "links": [link(1, -10, 3, 0, 1), link(2, 3, -20)],
    }
    nodes = [node(5, "outer", [slot("b", None, True)], [9]), node(6, "Show", [slot("value", 1)])]
    assert parts(api_graph(workflow(nodes, [[1, 5, 0, 6, 0, "INT"]], TWICE, outer), INFO)) == {
        "5:3:1": ("Add", {"a": 1, "b": 9}),
        "5:3:2": ("Add", {"a": ["5:3:1", 0], "b": 9}),
        "6": ("Show", {"value": ["5:3:2", 0]}),
    }


@pytest.mark.parametrize("mode", [2, 4])
def test_a_muted_or_bypassed_node_is_refused_inside_too(mode):
    inside = {**TWICE, "nodes": [{**TWICE["nodes"][0], "mode": mode}, TWICE["nodes"][1]]}
    with pytest.raises(ValueError, match=r"node 1 \(Add\) is unknown to this server, muted or bypassed"):
        api_graph(workflow([used(5, [1, 2])], [], inside), INFO)
    with pytest.raises(ValueError, match=r"node 5 \(twice\) is unknown"):
        api_graph(workflow([{**used(5, [1, 2]), "mode": mode}], [], TWICE), INFO)


def test_a_title_is_the_node_s_the_host_s_or_the_class():
    titled = {**node(1, "Number", values=[1]), "title": "Mine"}
    named = {**INFO["Number"], "display_name": "A number"}
    flow = workflow([titled, node(2, "Number", values=[1]), node(3, "Show")], [])
    graph = api_graph(flow, {**INFO, "Number": named})
    assert [graph[key]["_meta"]["title"] for key in "123"] == ["Mine", "A number", "Show"]


def test_a_reroute_is_a_bend_in_a_link_and_a_primitive_a_widget_outside_of_its_node():
    nodes = [
        node(1, "PrimitiveNode", [], [7, "fixed"]),
        node(2, "Add", [slot("a", 1, True), slot("b", None, True)], [1, 2]),
        node(3, "Reroute", [slot("", 2)]),
        node(4, "Reroute", [slot("", 3)]),
        node(5, "Show", [slot("value", 4)]),
        node(6, "Reroute", [slot("")]),
        node(7, "Show", [slot("value", 5)]),
    ]
    links = [
        [1, 1, 0, 2, 0, "INT"],
        [2, 2, 0, 3, 0, "*"],
        [3, 3, 0, 4, 0, "*"],
        [4, 4, 0, 5, 0, "*"],
        [5, 6, 0, 7, 0, "*"],
    ]
    assert parts(api_graph(workflow(nodes, links), INFO)) == {
        "2": ("Add", {"a": 7, "b": 2}),
        "5": ("Show", {"value": ["2", 0]}),
        "7": ("Show", {}),
    }


def test_a_widget_that_is_newer_than_the_file_has_its_default():
    newer = {
        "bits": ["INT", {"default": 8}],
        "codec": [["auto", "h264"], {}],
        "way": ["COMBO", {"options": ["x", "y"]}],
    }
    info = {"Add": {**INFO["Add"], "input": {"required": {"a": ["INT", {}], "b": ["INT", {}]}, "optional": newer}}}
    info["Add"]["input_order"] = {"required": ["a", "b"], "optional": list(newer)}
    flow = workflow([node(1, "Add", [], [1, 2])], [])
    assert parts(api_graph(flow, info))["1"][1] == {"a": 1, "b": 2, "bits": 8, "codec": "auto", "way": "x"}
    by_name = {**node(1, "Add"), "widgets_values": {"b": 2, "a": 1, "codec": "h264"}}
    saved = parts(api_graph(workflow([by_name], []), info))["1"][1]
    assert saved == {"a": 1, "b": 2, "bits": 8, "codec": "h264", "way": "x"}
    with pytest.raises(ValueError, match=r"node 1 \(Add\) has no value for b"):
        api_graph(workflow([node(1, "Add", [], [1])], []), info)
