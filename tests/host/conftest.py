"""The host in this process, with small random models that its own loaders read."""

from types import SimpleNamespace

import pytest
import torch


@pytest.fixture(autouse=True)
def inference_mode():
    """As the host runs nodes; without it every VAE call would keep its graph for a backward pass that never comes."""
    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def base_directory(tmp_path_factory):
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="session")
def host(base_directory):
    """ComfyUI's `nodes` module; core nodes are in NODE_CLASS_MAPPINGS."""
    from pack.demo.host_process import start_host

    return start_host(base_directory)


@pytest.fixture(scope="session")
def models_folder(host, base_directory):
    return base_directory / "models"


@pytest.fixture(scope="session")
def load_wan(host, models_folder):
    """A random Wan of a kind, written once and read by UNETLoader."""
    from pack.demo.tiny_models import write_wan

    def load(kind: str):
        path = models_folder / "diffusion_models" / f"{kind}.safetensors"
        if not path.exists():
            write_wan(path, kind)
        return host.NODE_CLASS_MAPPINGS["UNETLoader"]().load_unet(path.name, "default")[0]

    return load


@pytest.fixture(scope="session")
def wan_vae(host, models_folder):
    from pack.demo.tiny_models import write_wan_vae

    write_wan_vae(models_folder / "vae" / "wan.safetensors")
    return host.NODE_CLASS_MAPPINGS["VAELoader"]().load_vae("wan.safetensors")[0]


@pytest.fixture(scope="session")
def clip_vision(host, tmp_path_factory):
    """CLIP vision H with two thin layers: 257 tokens of 1280, as Wan reads them."""
    import json
    from pathlib import Path

    import comfy.clip_vision

    from pack.demo.tiny_models import filled

    config = json.loads((Path(comfy.clip_vision.__file__).parent / "clip_vision_config_h.json").read_text())
    config |= {"num_hidden_layers": 2, "intermediate_size": 16}
    path = tmp_path_factory.mktemp("clip") / "config.json"
    path.write_text(json.dumps(config))
    model = comfy.clip_vision.ClipVisionModel(str(path))
    model.load_sd(filled(model.model))
    return model


@pytest.fixture(scope="session")
def vae_5b(host):
    """A VAE with the Wan 2.2 layout (48 channels, 16x, 4x, causal): the small TAEHV, which stands for the 705 M one."""
    import comfy.sd
    from comfy.taesd.taehv import TAEHV

    from pack.demo.tiny_models import filled

    return comfy.sd.VAE(sd=filled(TAEHV(latent_channels=48)))


@pytest.fixture
def prompts():
    """A positive and a negative conditioning for text_dim 16."""
    generator = torch.Generator().manual_seed(1)
    return SimpleNamespace(
        positive=[[torch.randn(1, 8, 16, generator=generator), {}]],
        negative=[[torch.randn(1, 8, 16, generator=generator), {}]],
    )


@pytest.fixture
def pictures():
    """Seeded pictures of a given size."""

    def make(seed: int, width: int = 64, height: int = 48, channels: int = 3) -> torch.Tensor:
        return torch.rand(1, height, width, channels, generator=torch.Generator().manual_seed(seed))

    return make


@pytest.fixture
def with_attention(host):
    """A model with the settings of Keyframe Attention and Temporal RoPE; None leaves a node out."""
    from pack.nodes.attention import KeyframeAttention, TemporalRoPE

    def make(model, attention=None, rope=None):
        if attention is not None:
            model = KeyframeAttention.execute(model, **attention).args[0]
        if rope is not None:
            model = TemporalRoPE.execute(model, **rope).args[0]
        return model

    return make


@pytest.fixture
def model_call(host):
    """One call of a model's x0 prediction through its wrappers, with the options that the host's sampler gives."""
    import comfy.model_management
    import comfy.patcher_extension

    def call(model, x, sigma, context, condition=None, clip_fea=None, order=(0,), schedule=None, **options):
        comfy.model_management.load_models_gpu([model])
        options = model.model_options.get("transformer_options", {}) | options
        wrappers = comfy.patcher_extension.copy_nested_dicts(model.wrappers)
        options |= {"wrappers": wrappers, "cond_or_uncond": list(order), "sigmas": sigma}
        if schedule is not None:
            options["sample_sigmas"] = schedule
        given = {"c_concat": condition, "clip_fea": clip_fea}
        given = {name: value for name, value in given.items() if value is not None}
        return model.model.apply_model(x, sigma, c_crossattn=context, transformer_options=options, **given)

    return call
