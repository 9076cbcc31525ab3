"""Values that come over links: every input of every node refuses what it does not take, in one sentence."""

import inspect
import math
from types import SimpleNamespace

import pytest
import torch

from pack.frames.keyframe_track import KeyframeTrack
from pack.tests.contract import CONTRACT
from pack.tests.plain_words import is_plain


def thing(*parts):
    return SimpleNamespace(**dict.fromkeys(parts, lambda *_: None))


GOOD = {
    "IMAGE": torch.rand(1, 8, 8, 3),
    "LATENT": {"samples": torch.rand(1, 16, 3, 4, 4)},
    "CONDITIONING": [[torch.rand(1, 2, 4), {}]],
    "SIGMAS": torch.tensor([1.0, 0.5, 0.0]),
    "MODEL": thing("model", "model_options"),
    "VAE": thing("first_stage_model"),
    "CLIP_VISION": thing("encode_image"),
    "GUIDER": thing("model_patcher"),
    "SAMPLER": thing("sample"),
    "NOISE": thing("generate_noise", "seed"),
    "INBETWEEN_METRIC": thing("adjacent", "between"),
    "INBETWEEN_KEYFRAMES": KeyframeTrack(64, 64, 9),
    "INBETWEEN_BACKWARD_MOTION": {"a": torch.ones(1)},
}
# socket: values that it does not take, and a word of the sentence
BAD = {
    "IMAGE": [(5, "5"), ("a.png", "'a.png'"), ([1, 2], "a list of 2"), (torch.rand(8, 8, 3), "8x8x3"),
              (torch.rand(0, 8, 8, 3), "0 frames"), (torch.rand(1, 0, 8, 3), "8x0"),
              (torch.rand(1, 8, 8, 2), "2 channels"),
              (torch.full((1, 8, 8, 3), math.nan), "NaN"), (torch.full((2, 8, 8, 3), math.inf), "infinite"),
              (torch.ones(1, 8, 8, 3, dtype=torch.uint8), "whole numbers"), ({"samples": torch.ones(1)}, "a latent")],
    "LATENT": [(5, "5"), (torch.rand(1, 4, 8, 8), "1x4x8x8"), ({}, "a set of values"),
               ({"samples": torch.rand(0, 16, 3, 4, 4)}, "empty (0x16x3x4x4)"), ({"samples": torch.rand(3, 4)}, "3x4"),
               ({"samples": torch.full((1, 16, 3, 4, 4), math.nan)}, "NaN")],
    "CONDITIONING": [([], "empty"), (5, "5"), ("a dog", "'a dog'"), ([5], "a list of 1"), ([[5, {}]], "5 in entry 0"),
                     ([[torch.full((1, 2, 4), math.inf), {}]], "infinite")],
    "SIGMAS": [(5, "5"), (torch.ones(2, 2), "2x2"), (torch.tensor([1.0, math.nan]), "NaN"),
               (torch.tensor([math.inf, 0.0]), "infinite")],
    "VAE": [(SimpleNamespace(first_stage_model=None), "empty"), (5, "5")],
    "INBETWEEN_BACKWARD_MOTION": [({"a": 5}, "a set of values"), (5, "5")],
    **{kind: [(5, "5"), ([], "a list of 0"), ({"samples": torch.ones(1)}, "a latent")]
       for kind in ("MODEL", "CLIP_VISION", "GUIDER", "SAMPLER", "NOISE", "INBETWEEN_METRIC", "INBETWEEN_KEYFRAMES")},
}  # fmt: skip
SWITCHES = [("yes", "'yes'"), (2, "2"), (0.5, "0.5"), (None, "empty")]
TEXTS = [(5, "5"), (None, "empty"), ([], "a list of 0")]


def bad_numbers(item, whole):
    """(value, what the sentence says of it)."""
    legal = f"use a {'whole ' if whole else ''}number from"
    yield from ((math.nan, f"NaN, which is no number: {legal}"), (math.inf, f"infinite: {legal}"))
    yield from ((-math.inf, f"minus infinite: {legal}"), (10**30, f"10^30: {legal}"), (1e30, f"1e+30: {legal}"))
    yield from ((10**5000, "10^5000"), (item.min - 1, legal), (item.max + 1, "the nearest is "), (None, "empty"))
    yield from (("5", "'5', which is no number"), (True, "a switch (on)"), ([1], "a list of 1"))
    if whole:
        yield (item.min + 0.5, "the nearest is ")


def cases(node):
    for item in node.define_schema().inputs:
        kind = item.get_io_type()
        if kind in ("INT", "FLOAT"):
            found = bad_numbers(item, kind == "INT")
        elif kind == "COMBO":
            unknown = ("no such", "'no such', which it does not know: use")
            found = TEXTS if type(item).__name__ == "FileInput" else [*TEXTS, unknown]
        else:
            found = {"BOOLEAN": SWITCHES, "STRING": TEXTS, "COMFY_AUTOGROW_V3": []}.get(kind) or BAD.get(kind, [])
        for value, word in found:
            yield item.id, value, word
        if kind in GOOD and not item.optional:
            yield item.id, None, "empty"


@pytest.fixture(scope="module")
def node_of(host):
    from pack.nodes import NODES

    return {node.GET_SCHEMA().node_id: node for node in NODES}


def good_values(node):
    """Something for every input that has no default; a Combo without one takes the name of a file."""
    kinds = {item.id: item.get_io_type() for item in node.define_schema().inputs}
    parameters = inspect.signature(node.execute).parameters.values()
    needed = [one.name for one in parameters if one.default is inspect.Parameter.empty]
    return {name: {**GOOD, "COMBO": "a file", "COMFY_AUTOGROW_V3": {}}[kinds[name]] for name in needed}


@pytest.mark.parametrize("node_id", CONTRACT)
def test_what_an_input_does_not_take_is_named(node_of, node_id):
    node = node_of[node_id]
    wrong, takes_lists = [], node.GET_SCHEMA().is_input_list
    for name, value, word in cases(node):
        if takes_lists and isinstance(value, list):
            continue
        try:
            node.execute(**{**good_values(node), name: value})
            wrong.append(f"{name}: what should say {word!r} ran")
        except ValueError as error:
            said = str(error)
            if not (said.startswith(f"{name} ") and word in said and is_plain(said)):
                wrong.append(f"should say {word!r}: {said}")
    assert wrong == []


def test_every_number_has_a_range_and_every_kind_of_input_is_looked_at(node_of):
    kinds = {"INT", "FLOAT", "BOOLEAN", "STRING", "COMBO", "COMFY_AUTOGROW_V3", *GOOD}
    for node in node_of.values():
        for item in node.define_schema().inputs:
            assert item.get_io_type() in kinds
            if item.get_io_type() in ("INT", "FLOAT"):
                assert math.isfinite(item.min) and math.isfinite(item.max)


@pytest.mark.parametrize("value", [5, None, torch.rand(8, 8, 3)])
def test_a_slot_that_grew_is_named_by_its_own_name(node_of, value):
    with pytest.raises(ValueError, match="^segment_2 is "):
        node_of["InbetweenJoinSegments"].execute({"segment_1": GOOD["IMAGE"], "segment_2": value})


def test_equal_numbers_of_other_kinds_are_taken(node_of):
    """A whole float for a whole number, an int for a float."""
    track, fps, frames = node_of["InbetweenKeyframes"].execute(width=64.0, height=64, length=9.0, fps=16).args
    assert (track.width, frames, fps) == (64, 9, 16.0)
    assert isinstance(track.width, int) and isinstance(frames, int) and isinstance(fps, float)


def test_the_host_s_copy_of_a_class_checks_too(node_of):
    node = node_of["InbetweenKeyframes"]
    copy = node.PREPARE_CLASS_CLONE(None)
    with pytest.raises(ValueError, match="^width is -64: use a whole number from 16 to 16384; the nearest is 16"):
        copy.EXECUTE_NORMALIZED(width=-64)
    assert copy.EXECUTE_NORMALIZED(width=64).args[0].width == 64


def test_what_does_not_fit_into_memory_is_told(node_of, monkeypatch):
    """The device's memory is the host's affair."""
    import pack.nodes.keyframes as keyframes

    def fail(error):
        def make(*_):
            raise error

        return make

    node = node_of["InbetweenKeyframes"]
    for error in (MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")):
        monkeypatch.setattr(keyframes, "KeyframeTrack", fail(error))
        with pytest.raises(ValueError, match="this does not fit into the computer's memory: use a smaller width"):
            node.execute()
    for error in (torch.cuda.OutOfMemoryError("out of memory"), RuntimeError("another")):
        monkeypatch.setattr(keyframes, "KeyframeTrack", fail(error))
        with pytest.raises(type(error), match=str(error)):
            node.execute()
