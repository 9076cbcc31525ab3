"""./dev train from its first stage to its last, in small: 50 steps each; and what a run owes its next one."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from shutil import copytree

import pytest
import torch
import torch.nn.functional as F
from torch import nn

pytestmark = pytest.mark.workshop

ROOT = Path(__file__).resolve().parents[2]
BASES = ("video_model_flf2v", "video_model_i2v", "video_model_t2v")
STAGES = ("video_vae", "video_vae_decoder", *BASES, "picture_vae", "picture_model")
ADAPTERS = ("bridge_aligned", "bridge_unaligned", "bridge_diffusion", "neural_prior")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a whole small training, by the command that ./dev train runs."""
    folder = tmp_path_factory.mktemp("training")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--num_cpu_threads_per_process=1"]
    program = [str(ROOT / "demo" / "launch.py"), "training.demo_world"]
    options = ["--small", "--steps", "50", "--every", "25", "--runs", str(folder / "runs")]
    command = [*launcher, *program, *options, "--models", str(folder / "models")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def logged(trained, stage):
    """The rows of steps 25 and 50, after a check that they hold numbers."""
    rows = [json.loads(line) for line in (trained / "runs" / stage / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [25, 50]
    assert all(value == value for row in rows for value in row.values())  # not NaN
    return rows


@pytest.mark.parametrize("stage", STAGES)
def test_every_model_takes_its_50_steps_and_its_loss_falls(trained, stage):
    before, after = logged(trained, stage)
    assert after["loss"] < before["loss"]


def test_backward_motion_takes_its_50_steps_and_its_held_out_loss_falls_at_every_level(trained):
    """Its batches of one clip have losses that depend on the noise level drawn, so the held-out clips tell."""
    before, after = logged(trained, "backward_motion")
    for level in ("v_0.5", "v_2.0", "v_10.0"):
        assert after[level] < before[level]


def test_the_files_are_the_shipped_ones_in_kind(trained):
    """Names and metadata; sizes too, but for the VAE, which is trained narrower in small."""
    from safetensors import safe_open

    from pack.demo.base_folder import WORLD_MODELS

    def kinds(folder):
        found = {}
        for path in sorted(folder.rglob("*.safetensors")):
            with safe_open(path, "pt") as file:
                keys = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}
                found[path.relative_to(folder)] = (file.metadata(), keys)
        return found

    made, shipped = kinds(trained / "models"), kinds(WORLD_MODELS)
    assert set(shipped) <= set(made)
    for path, (metadata, shapes) in shipped.items():
        if path.name == "demo_world_wan_vae.safetensors":  # the value tells one encoder from another
            assert made[path][0].keys() == metadata.keys() == {"encoder"}
            assert set(shapes) == set(made[path][1])
        else:
            assert made[path] == (metadata, shapes), path


@pytest.mark.parametrize("stage", ADAPTERS)
def test_an_adapter_takes_its_50_steps_and_its_held_out_loss_falls(trained, stage):
    before, after = logged(trained, stage)
    numbers = ("error",) if stage == "neural_prior" else ("loss_0.1", "loss_0.5", "loss_0.9")
    assert sum(after[key] for key in numbers) < sum(before[key] for key in numbers)


def test_an_adapter_is_a_lora_that_the_host_loads(trained, host):
    """On the transformer of the same run; every layer of it is found."""
    import comfy.lora
    import comfy.sd
    import comfy.utils

    folder = trained / "models"
    model = comfy.sd.load_diffusion_model(str(folder / "diffusion_models" / "demo_world_wan_t2v.safetensors"))
    state = comfy.utils.load_torch_file(str(folder / "loras" / "demo_world_bridge_aligned.safetensors"))
    names = comfy.lora.model_lora_keys_unet(model.model, {})
    patches = comfy.lora.load_lora(state, names, log_missing=True)
    assert len(patches) == len(state) // 2 == 6 * 6 + 1


def test_latents_of_another_vae_are_refused_and_made_anew(trained, tmp_path):
    from pack.demo.base_folder import WORLD_MODELS
    from pack.training.video_latents import LatentStore, made_with, write_shards

    shards, vae = tmp_path / "latents", next((WORLD_MODELS / "vae").glob("*wan*"))
    copytree(trained / "runs" / "video_latents", shards)
    with pytest.raises(RuntimeError, match=r"00000.safetensors was made by another VAE: write them first"):
        LatentStore(shards, vae).drawn(Random(0), 1)
    old = made_with(shards / "00000.safetensors")
    with torch.inference_mode(False):
        write_shards(vae, shards, range(1), 2)
    assert made_with(shards / "00000.safetensors") != old


def test_latents_are_those_of_the_decoder_that_went_on_too(trained):
    from pack.training.video_latents import fingerprint, made_with

    files = [next((trained / folder).glob("*wan*")) for folder in ("runs/video_vae_decoder/models/vae", "models/vae")]
    shard = trained / "runs" / "video_latents" / "00000.safetensors"
    assert {fingerprint(file) for file in files} == {made_with(shard)}


class Line:
    """The smallest task: y = 3 x, by one weight matrix."""

    name, file = "line", "line.pt"

    def module(self):
        return LineLoss()

    def rate(self, step, steps):
        return 1.0

    def batch(self, index, step, steps):
        return {"x": torch.randn(8, 16, generator=torch.Generator().manual_seed(index))}

    def held_out(self, module, device):
        return {"weight": float(module.matrix.weight.sum())}

    def export(self, module, path):
        torch.save(module.state_dict(), path)

    def load(self, module, path):
        module.load_state_dict(torch.load(path, weights_only=True))


class LineLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.matrix = nn.Linear(16, 16)
        nn.init.eye_(self.matrix.weight)
        nn.init.zeros_(self.matrix.bias)

    def forward(self, batch):
        return F.mse_loss(self.matrix(batch["x"]).float(), 3 * batch["x"]), {}


@pytest.fixture
def run(tmp_path):
    from pack.training.loop import Settings, train

    def to(folder, steps, **options):
        with torch.inference_mode(False):
            train(Line(), tmp_path / folder, Settings(steps=steps, rate=1e-2, every=3), **options)
        return torch.load(tmp_path / folder / "state.pt", weights_only=True)

    return to


def test_a_run_that_was_stopped_ends_where_one_that_was_not_ends(run):
    whole = run("whole", 6)
    run("parts", 3)
    parts = run("parts", 6)
    assert whole["step"] == parts["step"] == 6
    for key in ("module", "average"):
        for name, value in whole[key].items():
            assert torch.equal(value, parts[key][name]), (key, name)


def test_a_finished_run_is_left_as_it_is(run):
    assert run("done", 3)["seconds"] == run("done", 3)["seconds"]


def test_a_new_run_can_start_from_files(run, tmp_path):
    run("first", 3)
    began = torch.load(tmp_path / "first" / "models" / "line.pt", weights_only=True)["matrix.weight"]
    after = run("second", 1, start_from=tmp_path / "first" / "models")["module"]["matrix.weight"]
    assert 0 < (after - began).abs().max() < 0.05
    assert (after - torch.eye(16)).abs().max() > (after - began).abs().max()


def test_the_loss_of_v_prediction_is_zero_for_what_the_host_calls_right(host):
    """An ideal UNet by the host's own sampling rule: its denoised picture is the true one."""
    from comfy.model_sampling import V_PREDICTION, ModelSamplingContinuousEDM

    from pack.training.picture_model import VPrediction

    class Sampling(ModelSamplingContinuousEDM, V_PREDICTION):
        pass

    generator = torch.Generator().manual_seed(0)
    target, noise = torch.randn(2, 2, 3, 4, 8, 8, generator=generator)
    sigma = torch.tensor([0.5, 20.0])
    rule = Sampling()
    seen = {}

    class Ideal(nn.Module):
        def forward(self, x, timesteps, context, y, **options):
            seen["input"], seen["timesteps"] = x[:, :4], timesteps
            # the v that the host turns into the target: denoised = rule(v); the rule is linear in v
            noisy = (target + sigma[:, None, None, None, None] * noise).flatten(0, 1)
            levels = sigma.repeat_interleave(3)
            nothing = rule.calculate_denoised(levels, torch.zeros_like(noisy), noisy)
            one = rule.calculate_denoised(levels, torch.ones_like(noisy), noisy) - nothing
            seen["expected"] = rule.calculate_input(levels, noisy)
            seen["expected_timesteps"] = rule.timestep(levels)
            return (target.flatten(0, 1) - nothing) / one

    batch = {"target": target, "noise": noise, "level": sigma, "shown": torch.ones(2)}
    batch |= {"vector": torch.zeros(2, 256), "settings": torch.zeros(2, 768)}
    loss, _ = VPrediction(Ideal())(batch)
    assert float(loss) < 1e-6
    torch.testing.assert_close(seen["input"], seen["expected"])
    torch.testing.assert_close(seen["timesteps"], seen["expected_timesteps"])


def test_the_flow_loss_is_zero_for_what_the_host_calls_right(host):
    from comfy.model_sampling import CONST, ModelSamplingDiscreteFlow

    from pack.training.video_model import FlowMatching

    class Sampling(ModelSamplingDiscreteFlow, CONST):
        pass

    rule, generator = Sampling(), torch.Generator().manual_seed(0)
    target, noise = torch.randn(2, 1, 16, 3, 4, 4, generator=generator)
    level = torch.tensor([0.7])

    class Ideal(nn.Module):
        def forward(self, x, timestep, words, clip_fea, transformer_options):
            noisy = rule.noise_scaling(level[0], noise, target)
            torch.testing.assert_close(x[:, :16], noisy)
            assert timestep == pytest.approx(float(rule.timestep(level)))
            return (noisy - target) / level  # denoised = noisy - level v

    batch = {"target": target, "noise": noise, "level": level, "condition": torch.zeros(1, 20, 3, 4, 4)}
    batch |= {"words": torch.zeros(1, 40, 64), "pictures": torch.zeros(1, 0, 8, 8, 3)}
    assert float(FlowMatching(Ideal())(batch)[0]) < 1e-9


@pytest.mark.parametrize("keys", [0, 1, 7])
def test_training_attention_is_attention(keys):
    from pack.training.attention import attention

    generator = torch.Generator().manual_seed(keys)
    q, k, v = (torch.randn(2, length, 24, generator=generator) for length in (5, keys, keys))
    if keys == 0:
        expected = torch.zeros(2, 5, 24)
    else:
        heads = [part.unflatten(-1, (3, 8)).transpose(1, 2) for part in (q, k, v)]
        expected = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(None, q, k, v, 3), expected)
    with pytest.raises(NotImplementedError, match="no mask"):
        attention(None, q, k, v, 3, mask=torch.ones(5, keys))


@pytest.mark.parametrize("shape", [(16, 16), (48, 16), (16, 80)])
def test_muon_is_torch_s_where_the_precision_is(shape):
    from pack.training.optimizer import Muon

    generator = torch.Generator().manual_seed(0)
    started = torch.randn(shape, generator=generator)
    ours, theirs, finer = (nn.Parameter(started.clone()) for _ in range(3))
    options = {"weight_decay": 0.01, "adjust_lr_fn": "match_rms_adamw"}
    steppers = [
        Muon([ours], 0.1, torch.bfloat16),
        torch.optim.Muon([theirs], 0.1, **options),
        Muon([finer], 0.1, torch.float32),
    ]
    for _ in range(3):
        gradient = torch.randn(shape, generator=generator)
        for matrix, stepper in zip((ours, theirs, finer), steppers, strict=True):
            matrix.grad = gradient.clone()
            stepper.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)
    assert not torch.equal(finer, ours)
    torch.testing.assert_close(finer, ours, atol=0.05, rtol=0)


@pytest.mark.parametrize(("slow", "expected"), [("bf16", torch.float32), ("fp32", torch.bfloat16)])
def test_the_precision_is_the_one_that_is_plainly_quicker(slow, expected):
    from pack.training.precision import measured_precision

    def run():
        time.sleep(0.05 if torch.is_autocast_enabled("cpu") == (slow == "bf16") else 0.001)

    assert measured_precision(run, torch.device("cpu")).passes is expected


def test_a_base_that_knows_no_pictures_begins_without_what_reads_them(tmp_path):
    from pack.training.video_model import VideoModel

    known = VideoModel("flf2v", tmp_path, tmp_path)
    module = known.module()
    nn.init.normal_(module.transformer.patch_embedding.weight)
    folder = tmp_path / "diffusion_models"
    folder.mkdir()
    known.export(module, tmp_path / known.file)
    for base, reads in (("i2v", True), ("t2v", False)):
        task = VideoModel(base, tmp_path, tmp_path)
        begun = task.module()
        task.load(begun, tmp_path / task.file)
        weights, given = begun.transformer.patch_embedding.weight, module.transformer.patch_embedding.weight
        assert torch.equal(weights[:, :16], given[:, :16])
        assert bool(weights[:, 16:].any()) is reads
        assert not torch.equal(weights[:, 16:], given[:, 16:])
        task.export(begun, tmp_path / task.file)
        again = task.module()
        task.load(again, tmp_path / task.file)
        assert torch.equal(again.transformer.patch_embedding.weight, weights)


def test_matrices_move_along_the_nearest_orthogonal_matrix_and_vectors_as_adam_says():
    from pack.training.optimizer import MatrixOptimizer

    module = nn.Conv2d(16, 16, 3)
    optimizer = MatrixOptimizer(module, 0.1)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    generator = torch.Generator().manual_seed(0)
    module.weight.grad = torch.randn(module.weight.shape, generator=generator)
    module.bias.grad = torch.randn(16, generator=generator)
    gradient = module.weight.grad.flatten(1).clone()
    optimizer.step()
    step = (before["weight"] - module.weight.detach()).flatten(1)
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    alike = F.cosine_similarity(step.flatten(), (left @ right).flatten(), dim=0)
    assert alike > 0.95
    torch.testing.assert_close((before["bias"] - module.bias.detach()).abs(), torch.full((16,), 0.1), rtol=1e-3, atol=0)
