"""Keyframe Attention and Temporal RoPE on the host's Wan against the official code (golden/kab_retro)."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

CONFIG = {"num_heads": "heads", "text_dim": "text_dim", "freq_dim": "freq_dim"}
ATTENTION = {"beta_end": "beta_end", "beta_mid": "beta_mid", "eps": "epsilon"}
ROPE = {"w_edge": "edge_frames", "s_edge": "edge_scale", "s_mid": "mid_scale", "smooth": "smooth_radius"}
KINDS = "stock iso kab kab_text kab_image kab_params kab_step0 kab_step20 kab_step21 retro full neg neg_noretro".split()
CASES = [f"wide/{grid}/{kind}" for grid in ("N25", "N81") for kind in [*KINDS, "retro_stock", "retro_params"]]
CASES += [f"deep/N25/{kind}" for kind in [*KINDS, "retro_stock"]] + ["wide/N25/batch2_full"]
CASES += [f"deep/N81/{kind}" for kind in ("stock", "iso", "kab", "retro", "full", "neg", "neg_noretro", "retro_stock")]
CASES += [f"noclip/N81/{kind}" for kind in ("stock", "kab", "full")]


@pytest.fixture(scope="module")
def data(golden):
    folder = golden("kab_retro/manifest.json").parent
    files = {name: load_file(folder / f"{name}.safetensors") for name in ("inputs", "outputs", "trajectory")}
    return {"folder": folder, "manifest": json.loads((folder / "manifest.json").read_text()), **files}


@pytest.fixture(scope="module")
def official(host, models_folder, data):
    """The host's own loader on the golden weights, by name."""
    loaded = {}

    def load(name):
        if name not in loaded:
            state = {}
            for part in [name] if name == "noclip" else ["shared", name]:
                weights = load_file(data["folder"] / f"weights_{part}.safetensors")
                state |= {key: value.float() for key, value in weights.items()}
            config = {ours: data["manifest"]["models"][name][theirs] for ours, theirs in CONFIG.items()}
            path = models_folder / "diffusion_models" / f"golden_{name}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(state, path, {"config": json.dumps({"transformer": config})})
            loaded[name] = host.NODE_CLASS_MAPPINGS["UNETLoader"]().load_unet(path.name, "default")[0]
        return loaded[name]

    return load


def settings(case):
    """Both nodes' settings for a case; None where a node is left out."""
    rope = {ours: case[theirs] for theirs, ours in ROPE.items() if theirs in case} if case["retro"] else None
    if not (case["isolation"] or case["kab"]):
        return None, rope
    attention = {ours: case[theirs] for theirs, ours in ATTENTION.items() if theirs in case}
    if case["step"] == 30:  # stands for "no bias": the noise level is that of a step inside the window
        attention["end_percent"] = 0.0
    attention["branches"] = {"text": "text", "image1+image2": "image"}.get(case.get("branches"), "all")
    return attention, rope


def test_the_cases_are_those_of_the_manifest(data):
    assert sorted(CASES) == sorted(case["id"] for case in data["manifest"]["cases"])


@pytest.mark.parametrize("name", CASES)
def test_a_call_gives_what_the_official_code_gives(name, data, official, with_attention, model_call):
    case = next(item for item in data["manifest"]["cases"] if item["id"] == name)
    model = with_attention(official(case["model"]), *settings(case))
    inputs, twice = data["inputs"], name.endswith("batch2_full")
    x = torch.cat([inputs[f"x/{case['grid']}"], inputs["x2"]]) if twice else inputs[case["x"]]
    contexts = ["context_pos", "context_pos2"] if twice else [case["context"]]
    clip_fea = None if case["clip"] is None else inputs["clip_fea"].float().expand(len(x), -1, -1)
    schedule = torch.cat([inputs["sigmas_50_shift16"], torch.zeros(1)])
    sigma = inputs[case["timestep"]] / 1000
    clean = model_call(
        model,
        x,
        sigma.repeat(len(x)),
        torch.cat([inputs[key] for key in contexts]),
        inputs[f"y/{case['grid']}"].expand(len(x), -1, -1, -1, -1),
        clip_fea,
        order=[1 if case["context"] == "context_neg" else 0],
        schedule=schedule,
    )
    velocity = (x - clean) / sigma
    torch.testing.assert_close(velocity, data["outputs"][name], atol=2e-4, rtol=0)
