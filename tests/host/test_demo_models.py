"""The shipped models of the demo world: in the host's formats, small enough, and as good as their card says."""

import pytest
import torch

from pack.demo import world
from pack.demo.base_folder import WORLD_MODELS, link_models

pytestmark = pytest.mark.workshop


@pytest.fixture(scope="session")
def world_models(host, models_folder):
    link_models(WORLD_MODELS, models_folder)
    return models_folder


@pytest.fixture(scope="session")
def world_vae(host, world_models):
    return host.NODE_CLASS_MAPPINGS["VAELoader"]().load_vae("demo_world_wan_vae.safetensors")[0]


@pytest.fixture(scope="session")
def demo_world(host, world_models):
    from pack.bench.demo_world import DemoWorld

    return DemoWorld(host.NODE_CLASS_MAPPINGS)


def psnr(made, true):
    return float(-10 * (made - true).square().mean().log10())


def test_all_files_together_are_below_80_megabytes_and_in_half_precision():
    from safetensors import safe_open

    files = list(WORLD_MODELS.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in files) < 80e6
    for path in files:
        with safe_open(path, "pt") as file:
            assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float16}, path


def test_the_vae_is_wan_2_1_s_and_rebuilds_held_out_clips_at_27_db(world_vae):
    assert world_vae.latent_channels == 16
    found = []
    for seed in world.TEST[:8]:
        frames = world.clip(seed).frames
        latent = world_vae.encode(frames)
        assert latent.shape == (1, 16, 9, 8, 8)
        found.append(psnr(world_vae.decode(latent)[0], frames))
    assert sum(found) / len(found) >= 27


@pytest.mark.parametrize("base", ["flf2v", "i2v"])
def test_the_transformers_are_of_wan_2_1_flf2v_s_architecture(host, world_models, base):
    model = host.NODE_CLASS_MAPPINGS["UNETLoader"]().load_unet(f"demo_world_wan_{base}.safetensors", "default")[0]
    network = model.model.diffusion_model
    assert type(model.model).__name__ == "WAN21"
    assert network.patch_embedding.weight.shape[1] == 36
    assert network.img_emb.emb_pos.shape == (1, 514, 1280)


def test_the_unet_is_svd_s_layout_in_a_small_registered_class(host, world_models):
    from pack.demo.world_nodes.svd_host import register_demo_svd

    register_demo_svd()
    model = host.NODE_CLASS_MAPPINGS["UNETLoader"]().load_unet("demo_world_svd.safetensors", "default")[0]
    assert type(model.model).__name__ == "SVD_img2vid"
    keys = model.model.diffusion_model.state_dict()
    temporal = [key for key in keys if key.endswith("time_stack.0.attn1.to_v.weight")]
    assert len(temporal) == 16


def test_the_picture_vae_is_taesd_with_the_scale_the_host_expects(host, world_models):
    vae = host.NODE_CLASS_MAPPINGS["VAELoader"]().load_vae("demo_world_taesd.safetensors")[0]
    frames = torch.cat([world.clip(seed, 3).frames for seed in world.TEST[:16]])
    latent = vae.encode(frames)
    assert latent.shape == (48, 4, 8, 8)
    assert (latent * 0.18215).std() == pytest.approx(1, abs=0.15)
    assert psnr(vae.decode(latent), frames) > 22


def test_the_host_s_model_sees_latents_of_mean_0_and_deviation_1(world_vae):
    from comfy.latent_formats import Wan21

    clips = [world.clip(seed, 9).frames for seed in world.VALIDATION[:128]]  # many, for a clip has few colours
    seen = torch.cat([Wan21().process_in(world_vae.encode(frames)) for frames in clips])
    assert seen.mean(dim=(0, 2, 3, 4)).abs().max() < 0.25
    deviations = seen.std(dim=(0, 2, 3, 4))
    assert deviations.min() > 0.75 and deviations.max() < 1.25


@pytest.mark.parametrize("kind", ["large motion", "occlusion"])
def test_first_and_last_picture_alone_are_better_than_a_cross_fade(kind, demo_world):
    """Where things move, in the kinds in which a cross-fade is bad. To a network's eye it is not: see the card."""
    from pack.bench.methods import all_methods
    from pack.bench.scene import Scene
    from pack.demo.measures import load_picture_distance, measured

    by_name = {item.name: item.make for item in all_methods() if item.group in ("no transformer", "flf2v")}
    distance = load_picture_distance(WORLD_MODELS / "vae" / "demo_world_taesd.safetensors")
    clips = [world.clip(seed) for seed in list(world.seeds(world.TEST, kind))[:8]]
    found = {
        name: [measured(by_name[name](Scene(demo_world, clip, clip.seed)), clip, distance) for clip in clips]
        for name in ("cross-fade", "first-last only")
    }
    mean = {name: {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]} for name, rows in found.items()}
    assert mean["first-last only"]["psnr_moving"] > mean["cross-fade"]["psnr_moving"]
