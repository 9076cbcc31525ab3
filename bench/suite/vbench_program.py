"""Runs VBench in the environment where that is installed; knows nothing of this repository. See vbench_measures.py.

python vbench_program.py check ANSWER                            {dimension: "" or why it cannot be had}
python vbench_program.py score ANSWER FOLDER DEVICE DIMENSION... {dimension: {file name: number} or why it stopped}
"""

import importlib
import json
import os
import sys
import tempfile

# what VBench would otherwise download, below VBENCH_CACHE_DIR
FILES = {
    "subject_consistency": [
        "dino_model/facebookresearch_dino_main/hubconf.py",
        "dino_model/dino_vitbase16_pretrain.pth",
    ],
    "background_consistency": ["clip_model/ViT-B-32.pt"],
    "temporal_flickering": [],
    "motion_smoothness": ["amt_model/amt-s.pth"],
    "dynamic_degree": ["raft_model/models/raft-things.pth"],
    "aesthetic_quality": ["clip_model/ViT-L-14.pt", "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth"],
    "imaging_quality": ["pyiqa_model/musiq_spaq_ckpt-358bb6af.pth"],
}


def main(arguments):
    command, answer, rest = arguments[0], arguments[1], arguments[2:]
    if command == "check":
        found = {name: lacking(name) for name in FILES}
    else:
        found = {name: scores(rest[0], rest[1], name) for name in rest[2:]}
    with open(answer, "w", encoding="utf-8") as file:
        json.dump(found, file)


def lacking(dimension):
    """Why a dimension cannot be had; "" where it can."""
    try:
        importlib.import_module("vbench." + dimension)
    except Exception as error:
        return first_line(error)
    missing = [path for path in needed(dimension) if not os.path.exists(path)]
    return "there is no " + ", no ".join(missing) if missing else ""


def needed(dimension):
    """The files of a dimension's networks."""
    import torch
    from vbench.utils import CACHE_DIR

    paths = [os.path.join(CACHE_DIR, name) for name in FILES[dimension]]
    if dimension == "subject_consistency":  # DINO's own code loads this one, whatever VBench tells it
        paths.append(os.path.join(torch.hub.get_dir(), "checkpoints", "dino_vitbase16_pretrain.pth"))
    return paths


def scores(folder, device, dimension):
    """Of every .mp4 of a folder, by VBench's own entry for videos that are not of its prompts; or why it stopped."""
    import torch
    from vbench import VBench

    with tempfile.TemporaryDirectory() as output:
        try:
            VBench(torch.device(device), "", output).evaluate(
                videos_path=folder, name="clips", dimension_list=[dimension], local=True, mode="custom_input"
            )
        except Exception as error:
            return first_line(error)
        with open(os.path.join(output, "clips_eval_results.json"), encoding="utf-8") as file:
            _, of_each = json.load(file)[dimension]
    return {os.path.basename(one["video_path"]): float(one["video_results"]) for one in of_each}


def first_line(error):
    lines = str(error).strip().splitlines()
    return "{}: {}".format(type(error).__name__, lines[0] if lines else "")


if __name__ == "__main__":
    main(sys.argv[1:])
