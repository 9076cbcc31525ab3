"""The workflows that ./dev bench suite --demo compares: shipped ones, on the models of the demo world.

Their titles are those of the shipped files, so the suite fills them as it fills a user's. Temporal RoPE has the
paper's settings; Keyframe Attention biases the share of the depth that the paper does, since the world's model is
shallower than Wan 14B.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...demo.base_folder import DISC_SEED
from ...demo.graphs import Graph, needed_for, node_by_title, with_values
from ...demo.world import clip
from ...demo.world_graphs import (
    FRAMES,
    MODELS_AND_SAMPLING,
    bridged_graph,
    plain_graph,
    with_frames,
    world_graph,
)

FILES = {
    "first-last only": "first-last.json",
    "AFB": "afb.json",
    "KAB + ReTRo": "kab_retro.json",
    "AFB, KAB + ReTRo": "afb_kab_retro.json",
}
BLOCKS = {"InbetweenKeyframeAttention.blocks": ""}
PAIR = ("world_disc_first.png", "world_disc_last.png")  # in a demo server's input folder, of DISC_SEED


def demo_workflows(object_info: Mapping[str, Any]) -> dict[str, Graph]:
    """The four graphs by their names in tables; each ends at the node titled Frames.

    object_info: a demo server's answer to /object_info.
    """
    caption = clip(DISC_SEED, 2).caption
    bridged = bridged_graph(object_info, *PAIR, caption, DISC_SEED)
    both = bridged_graph(object_info, *PAIR, caption, DISC_SEED, "afb_kab_retro_wan2.1")
    values = {**MODELS_AND_SAMPLING, **BLOCKS, "Prompt.text": caption}
    steadied = world_graph("kab_retro_wan2.1_flf2v", object_info, *PAIR, DISC_SEED, values)
    steadied = with_frames(steadied, node_by_title(steadied, "VAE Decode (KAB + ReTRo)"))
    graphs = (plain_graph(bridged), bridged, steadied, with_values(both, BLOCKS))
    return {name: needed_for(graph, FRAMES) for name, graph in zip(FILES, graphs, strict=True)}


def write_demo_workflows(object_info: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes them in the API's format, one file each, and returns the files in the order of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, graph in demo_workflows(object_info).items():
        paths.append(folder / FILES[name])
        paths[-1].write_text(json.dumps(graph, indent=2) + "\n", encoding="utf-8")
    return paths
