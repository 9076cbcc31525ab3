"""Several hundred bad inputs at the live server: each ends in one plain sentence, and good graphs between are the same.

The cases are in odd_inputs.py.
"""

import pytest

from pack.tests.plain_words import is_plain
from pack.tests.server.odd_inputs import ALONE, REAL, WAN, generated, graph_with, odd_link

EVERY = 9  # of the generated cases, one in so many runs in an ordinary run of the tests
GOOD_AFTER = 100  # bad graphs


@pytest.fixture
def said(server, run):
    """What the server says of a graph: the node's own sentence."""
    from pack.demo.server import PromptError

    def sentence(graph) -> str:
        try:
            run(graph)
        except PromptError as error:
            return str(error).partition(": ")[2]
        return "(it ran)"

    yield sentence
    server.post("/history", {"clear": True})  # the host writes NaN into it, which no page can read


@pytest.fixture
def fault(said, object_info):
    """What is wrong with the server's answer to a case of the table, empty if nothing."""

    def find(node, name, value, words) -> str:
        sentence = said(graph_with(node, {name: {"odd": value}}, object_info))
        right = sentence.startswith(f"{name.rpartition('.')[2]} ") and words in sentence and is_plain(sentence)
        return "" if right else f"{node}.{name} = {value}: {sentence!r} instead of {words!r}"

    return find


@pytest.fixture
def good_frames(small, decoded):
    """The frames of a good graph."""
    return lambda: decoded(small(WAN))


def run_cases(cases, fault, good_frames):
    expected, wrong = good_frames(), []
    for number, case in enumerate(cases, start=1):
        wrong += filter(None, [fault(*case)])
        if number % GOOD_AFTER == 0 or number == len(cases):
            assert good_frames() == expected, f"another video after case {number}: {case}"
    assert not wrong, "\n".join(wrong)


def test_some_of_the_table(object_info, fault, good_frames):
    cases = generated(object_info)[::EVERY]
    assert len(cases) >= 50
    run_cases(cases, fault, good_frames)


@pytest.mark.slow
def test_the_rest_of_the_table(object_info, fault, good_frames):
    cases = generated(object_info)
    assert len(cases) >= 300
    run_cases([case for number, case in enumerate(cases) if number % EVERY], fault, good_frames)


@pytest.mark.parametrize(("node", "values", "words"), ALONE)
def test_a_node_alone(said, object_info, node, values, words):
    sentence = said(graph_with(node, values, object_info))
    assert words in sentence
    assert is_plain(sentence)


@pytest.mark.parametrize(("name", "values", "words"), REAL)
def test_in_a_workflow(small, said, name, values, words):
    from pack.demo.graphs import with_values

    graph = small(name)
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    graph = with_values(graph, plain)
    for key, value in values.items():
        if isinstance(value, dict):
            kind, _, name = key.rpartition(".")
            for node in [node for node in graph.values() if node["class_type"] == kind]:
                node["inputs"][name] = odd_link(graph, value["odd"])
    sentence = said(graph)
    assert words in sentence
    assert is_plain(sentence)
