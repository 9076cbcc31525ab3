"""The table of bad input: one line a case. What is written here is in every test; the rest comes from the schemas.

A case is (node, input, value, what the sentence must hold). The value is what `odd_values.odd_value` makes of the text;
it comes over a link. In lines of REAL the node stands in a shipped workflow, with its models, and several inputs may be
set: a link to an odd value is written {"odd": "..."}, any other value is the widget's own.
"""

from __future__ import annotations

from typing import Any

# value: what the sentence says of it, whichever number it is given for
NUMBERS = {
    "nan": "NaN, which is no number: use a",
    "inf": "infinite: use a",
    "-inf": "minus infinite: use a",
    "1e30": "1e+30: use a",
    "10^30": "10^30: use a",
    "text": "'a dog', which is no number: use a",
    "none": "empty, which is no number: use a",
    "list": "a list of 2, which is no number",
}
WHOLE = {
    "0.5": "0.5: use a whole number",
    "true": "a switch (on), which is no number",
}
# socket: (value, what the sentence says)
THINGS = {
    "IMAGE": [("5", "is 5, not a picture"), ("text", "not a picture"), ("picture 0x8x8x3", "is empty (0 frames"),
              ("picture 1x0x8x3", "is empty"), ("picture 1x8x8x2", "has 2 channels"), ("mask 1x8x8", "not pictures"),
              ("picture nan 2x8x8x3", "pixels that are not numbers"), ("picture inf 1x8x8x3", "not numbers"),
              ("latent 1x16x3x4x4", "is a latent")],
    "LATENT": [("5", "is 5, not the latent"), ("picture 1x8x8x3", "not the latent"), ("latent 0x16x3x4x4", "is empty"),
               ("latent 16x4", "16x4"), ("latent nan 1x16x3x4x4", "NaN"), ("set", "a set of values")],
    "CONDITIONING": [("conditioning 0x1x4", "is empty, not a conditioning"), ("5", "is 5"), ("list", "a list of 2"),
                     ("conditioning nan 1x2x4", "NaN")],
    "SIGMAS": [("5", "is 5, not a schedule"), ("sigmas 2x2", "2x2"), ("sigmas nan 5", "NaN"),
               ("sigmas inf 5", "NaN or")],
    "INBETWEEN_BACKWARD_MOTION": [("set", "a set of values"), ("5", "is 5, not backward-motion")],
    "BOOLEAN": [("text", "'a dog': it is a switch"), ("0.5", "0.5: it is a switch")],
    "STRING": [("5", "is 5: it takes a text"), ("list", "a list of 2")],
    "COMBO": [("5", "is 5: "), ("none", "is empty: ")],
}  # fmt: skip
for kind in ("MODEL", "VAE", "CLIP_VISION", "GUIDER", "SAMPLER", "NOISE", "INBETWEEN_METRIC", "INBETWEEN_KEYFRAMES"):
    THINGS[kind] = [("5", "is 5, not "), ("list", "is a list of 2, not "), ("latent 1x4x8x8", "is a latent, not ")]

WAN = "keyframes_wan2.1_flf2v"
# workflow, inputs, what the sentence must hold
REAL: list[tuple[str, dict[str, Any], str]] = [
    (WAN, {"InbetweenKeyframes.first_image": {"odd": "picture 1x500x1x3"}}, "first_image is 1x500, so narrow that fit"),
    (
        WAN,
        {"InbetweenKeyframes.width": 32, "InbetweenKeyframes.last_image": {"odd": "picture 1x1x500x3"}},
        "last_image is 500x1, so narrow that fit 'crop' leaves nothing of it in a video of 32x64",
    ),
    (WAN, {"InbetweenKeyframes.first_image": {"odd": "picture 3x8x8x3"}}, "first_image is a batch of 3 images"),
    (WAN, {"InbetweenKeyframes.first_image": 5}, "first_image is 5, not a picture: connect an image"),
    (WAN, {"InbetweenKeyframes.length": 1}, "length is 1, and first_image is on its only frame"),
    (WAN, {"InbetweenKeyframes.fps": float("nan")}, "fps is NaN, which is no number: use a number from 1 to 120"),
    (WAN, {"InbetweenKeyframes.width": {"odd": "-64"}}, "width is -64: use a whole number from 16 to 16384; the near"),
    (WAN, {"InbetweenKeyframes.height": {"odd": "1000000"}}, "height is 1000000: use a whole number from 16 to 16384"),
    (WAN, {"InbetweenKeyframes.fit": {"odd": "text"}}, "fit is 'a dog', which it does not know: use crop, pad or str"),
    (WAN, {"InbetweenWanConditioning.clip_vision": {"odd": "clip 1024"}}, "clip_vision gives 1024 numbers per image"),
    (WAN, {"InbetweenWanConditioning.clip_vision": {"odd": "clip 768"}}, "clip_vision gives 768 numbers per image tok"),
    (WAN, {"InbetweenWanConditioning.batch_size": {"odd": "10^30"}}, "batch_size is 10^30: use a whole number from 1"),
    ("gi_svd_xt", {"InbetweenSVDConditioning.clip_vision": {"odd": "clip 768"}}, "768 numbers per picture, this model"),
    (
        "kab_retro_wan2.1_flf2v",
        {"InbetweenKeyframeAttention.blocks": "9" * 5000},
        "which is no block or range: write f",
    ),
    ("gi_svd_xt", {"InbetweenRecurrentSampler.repeats": {"odd": "1000000000"}}, "repeats is 1000000000: use a whole"),
]

LONG = "n" * 300
EXTRACT = "InbetweenExtractBackwardMotion"
# a node alone, its inputs, what the sentence must hold
ALONE: list[tuple[str, dict[str, Any], str]] = [
    (
        "InbetweenCompareVideos",
        {"images": {"odd": "picture 2x4x9x3"}, "reference": {"odd": "picture 2x4x9x3"}},
        "frames are 9x4 pixels, 1-SSIM needs at least 6x6",
    ),
    (
        "InbetweenCompareVideos",
        {"images": {"odd": "picture 2x8x8x3"}, "reference": {"odd": "picture 3x8x8x3"}},
        "images has 2 frames, reference has 3",
    ),
    ("InbetweenMatchKeyframes", {"images": {"odd": "picture 9x64x64x3"}}, "keyframes is empty"),
    ("InbetweenSelectAnchors", {"candidates": {"odd": "picture 8x64x64x3"}}, "candidates has 8 frames, keyframes has"),
    ("InbetweenAddKeyframe", {"frame": {"odd": "9"}}, "frame 9 is outside a video of 9 frames"),
    ("InbetweenLoadLPIPS", {"backbone": {"odd": "text"}}, "backbone 'a dog' is not in"),
    ("InbetweenLoadBackwardMotion", {"file": {"odd": "text"}}, "file 'a dog' is not in"),
    (EXTRACT, {"finetuned_unet": {"odd": "text"}}, "file 'a dog' is neither in models/diffusion_models nor in"),
    (EXTRACT, {"filename": LONG}, "filename has 300 letters, more than a file's name can have: use 200 at most"),
    (EXTRACT, {"filename": "a\0b"}, "filename is 'a\\x00b': give a plain name such as svd_backward_motion"),
    (EXTRACT, {"filename": "a\nb"}, "filename is 'a\\nb': give a plain name such as svd_backward_motion"),
    (EXTRACT, {"filename": "../a"}, "filename is '../a': give a plain name such as svd_backward_motion"),
]


def generated(object_info: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Cases from the schemas of the pack's nodes."""
    found = []
    for node, info in object_info.items():
        if not node.startswith("Inbetween"):
            continue
        for name, (kind, *options) in node_inputs(info):
            if kind in ("INT", "FLOAT"):
                least, most = options[0]["min"], options[0]["max"]
                bounds = {str(least - 1): "the nearest is", str(most * 2 + 1): "the nearest is"}
                cases = (NUMBERS | (WHOLE if kind == "INT" else {}) | bounds).items()
            elif kind == "COMFY_AUTOGROW_V3":
                name, cases = first_slot(name, options[0]), THINGS["IMAGE"]
            else:
                cases = THINGS.get(kind if isinstance(kind, str) else "COMBO", [])
            found += [(node, name, value, words) for value, words in cases]
    return found


def node_inputs(info: dict[str, Any]) -> list[tuple[str, Any]]:
    return [*info["input"].get("required", {}).items(), *info["input"].get("optional", {}).items()]


def first_slot(name: str, options: dict[str, Any]) -> str:
    """The first of the slots that an input grows."""
    return f"{name}.{options['template']['names'][0]}"


def graph_with(node: str, values: dict[str, Any], object_info: dict[str, Any]) -> dict[str, Any]:
    """The node with some values, as in REAL, and at its other inputs what they take or, of things, what seems so."""
    graph: dict[str, Any] = {"node": titled(node), "shown": titled("PreviewAny", source=["node", 0])}
    for other, (kind, *options) in node_inputs(object_info[node]):
        if kind == "COMFY_AUTOGROW_V3":
            other, kind = first_slot(other, options[0]), "IMAGE"
            graph["node"]["inputs"][other] = odd_link(graph, GOOD[kind])
        if other in values:
            value = values[other]
            graph["node"]["inputs"][other] = odd_link(graph, value["odd"]) if isinstance(value, dict) else value
        elif kind == "INBETWEEN_KEYFRAMES":
            graph["track"] = titled("InbetweenKeyframes", width=64, height=64, length=9, fps=16.0, fit="crop")
            graph["node"]["inputs"][other] = ["track", 0]
        elif other in object_info[node]["input"].get("required", {}):
            graph["node"]["inputs"][other] = odd_link(graph, GOOD[kind]) if kind in GOOD else default(options[0])
    return graph


def default(options: dict[str, Any]) -> Any:
    """What a widget shows at first."""
    return options.get("default", next(iter(options.get("options", [])), None))


GOOD = {
    "IMAGE": "picture 1x8x8x3",
    "LATENT": "latent 1x16x3x4x4",
    "CONDITIONING": "conditioning 1x2x4",
    "SIGMAS": "sigmas 5",
    **{kind: f"thing {kind}" for kind in ("MODEL", "VAE", "CLIP_VISION", "GUIDER", "SAMPLER", "NOISE")},
}


def titled(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def odd_link(graph: dict[str, Any], value: str) -> list[Any]:
    """A link to a node of the graph that gives an odd value; the node is added."""
    graph[f"odd {value}"] = titled("OddValue", words=value)
    return [f"odd {value}", 0]
