"""The host in this process, with small random models that its own loaders read."""

import threading
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
    return thin_clip_vision("clip_vision_config_h.json", tmp_path_factory.mktemp("clip"))


def thin_clip_vision(name, folder):
    """A random encoder of a configuration in the host, with two thin layers."""
    import json
    from pathlib import Path

    import comfy.clip_vision

    from pack.demo.tiny_models import filled

    config = json.loads((Path(comfy.clip_vision.__file__).parent / name).read_text())
    config |= {"num_hidden_layers": 2, "intermediate_size": 16}
    path = folder / "config.json"
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
def out_of_memory(host):
    """A model whose network runs out of memory at one of its calls, once."""
    import comfy.model_management
    import comfy.patcher_extension

    def make(model, at_call=2):
        calls = []

        def call(executor, *arguments, **options):
            calls.append(len(calls))
            if len(calls) == at_call:
                raise comfy.model_management.OOM_EXCEPTION("out of memory")
            return executor(*arguments, **options)

        other = model.clone()
        other.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "test.memory", call)
        return other

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


@pytest.fixture(scope="session")
def load_hunyuan(host, models_folder):
    """A random HunyuanVideo of a kind, one double and one single block, written once and read by UNETLoader."""
    from pack.demo.tiny_models import write_hunyuan

    def load(kind: str):
        path = models_folder / "diffusion_models" / f"hunyuan_{kind}.safetensors"
        if not path.exists():
            write_hunyuan(path, kind=kind)
        return host.NODE_CLASS_MAPPINGS["UNETLoader"]().load_unet(path.name, "default")[0]

    return load


@pytest.fixture(scope="session")
def hunyuan(load_hunyuan):
    """A random HunyuanVideo T2V."""
    return load_hunyuan("t2v")


@pytest.fixture(scope="session")
def hunyuan_vaes(host):
    """VAEs of HunyuanVideo (v1) and HunyuanVideo 1.5 (1.5): the host's own networks, narrow, behind its VAE class."""
    import comfy.model_patcher
    import comfy.sd
    from comfy.ldm.models.autoencoder import AutoencoderKL, AutoencodingEngine
    from comfy.taesd.taehv import TAEHV

    from pack.demo.tiny_models import filled

    first = {"in_channels": 3, "out_ch": 3, "ch": 32, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 1, "z_channels": 16}
    first |= {"conv3d": True, "time_compress": 4, "double_z": True, "resolution": 256, "attn_resolutions": []}
    newer = {"in_channels": 3, "out_channels": 3, "block_out_channels": [32, 32, 64, 64, 64], "num_res_blocks": 1}
    newer |= {"z_channels": 32, "ffactor_spatial": 16, "ffactor_temporal": 4}
    parts = {
        f"{part.lower()}_config": {"target": f"comfy.ldm.hunyuan_video.vae_refiner.{part}", "params": newer}
        for part in ("Encoder", "Decoder")
    }
    regularizer = {"target": "comfy.ldm.models.autoencoder.EmptyRegularizer"}
    networks = {
        "v1": (16, AutoencoderKL(ddconfig=first, embed_dim=16)),
        "1.5": (32, AutoencodingEngine(regularizer_config=regularizer, **parts)),
    }
    found = {}
    for name, (channels, network) in networks.items():
        # the loader builds the released widths alone, so the small network goes where a tiny VAE's was
        small = {key: value.half() for key, value in filled(TAEHV(latent_channels=channels)).items()}
        found[name] = vae = comfy.sd.VAE(sd=small)
        network.load_state_dict(filled(network))
        vae.first_stage_model, vae.process_input = network.eval(), lambda image: image * 2 - 1
        vae.patcher = comfy.model_patcher.CoreModelPatcher(network, vae.device, vae.device)
    return found


@pytest.fixture(scope="session")
def siglip(host, tmp_path_factory):
    """SigLIP 384 with two thin layers: 729 tokens of 1152, as HunyuanVideo 1.5 reads them."""
    return thin_clip_vision("clip_vision_siglip_384.json", tmp_path_factory.mktemp("siglip"))


@pytest.fixture(scope="session")
def wan_inputs():
    """Seeded inputs of one model call for a kind of Wan, one row per context."""

    def make(kind, frames=5, height=4, width=6, tokens=514, rows=1, text=8):
        generator = torch.Generator().manual_seed(3)

        def noise(*shape):
            return torch.randn(*shape, generator=generator)

        inputs = {"x": noise(rows, 48 if kind == "ti2v_5b" else 16, frames, height, width)}
        inputs["context"] = noise(rows, text, 16)
        if kind in ("i2v", "flf2v", "i2v_14b"):
            inputs["condition"] = noise(rows, 20, frames, height, width)
        if kind in ("i2v", "flf2v"):
            inputs["clip_fea"] = noise(rows, tokens, 1280)
        return inputs

    return make


@pytest.fixture
def conditioned(host, prompts):
    """Positive and negative as the host's nodes make them for a kind of Wan; known: the ends that are given."""
    import comfy.clip_vision
    import node_helpers

    def make(kind, tokens=514, known=("first", "last"), frames=5, height=4, width=6):
        generator = torch.Generator().manual_seed(4)
        values = {}
        if kind in ("i2v", "flf2v", "i2v_14b"):
            values["concat_latent_image"] = torch.randn(1, 16, frames, height, width, generator=generator)
            if known is not None:
                mask = values["concat_mask"] = torch.ones(1, 4, frames, height, width)
                mask[:, :, [place for name, place in (("first", 0), ("last", -1)) if name in known]] = 0
        if kind in ("i2v", "flf2v") and tokens:
            output = values["clip_vision_output"] = comfy.clip_vision.Output()
            output.penultimate_hidden_states = torch.randn(1, tokens, 1280, generator=generator)
        both = (prompts.positive, prompts.negative)
        return tuple(node_helpers.conditioning_set_values(conditioning, values) for conditioning in both)

    return make


@pytest.fixture
def sampled(host):
    """The latent that the host's SamplerCustomAdvanced makes of seeded noise."""
    nodes = host.NODE_CLASS_MAPPINGS

    def run(model, positive, negative, cfg=3.0, steps=6, shape=(1, 16, 5, 4, 6), sigmas=None, start=None, guider=None):
        if guider is None:
            guider = nodes["CFGGuider"].execute(model, positive, negative, cfg).args[0]
        if sigmas is None:
            sigmas = nodes["BasicScheduler"].execute(model, "simple", steps, 1.0).args[0]
        noise = nodes["RandomNoise"].execute(5) if start is None else nodes["DisableNoise"].execute()
        latent = {"samples": torch.zeros(shape)} if start is None else start
        sampler = nodes["KSamplerSelect"].execute("euler").args[0]
        return nodes["SamplerCustomAdvanced"].execute(noise.args[0], guider, sampler, sigmas, latent).args[0]["samples"]

    return run


def by_name(args, kwargs):
    """What the host gives APPLY_MODEL wrappers after x and the noise level, by place or by name."""
    names = ("c_concat", "c_crossattn", "control", "transformer_options")
    return {**dict(zip(names, args, strict=False)), **kwargs}


@pytest.fixture
def watched(host):
    """A clone of a model and the list of its calls from now on, from outside of what is added to the clone later.

    A call has x, sigma and the names that the model is given; once it came back, its result and records, which are what
    Keyframe Attention recorded.
    """
    from collections import deque

    from comfy.patcher_extension import WrappersMP

    from pack.patches.keyframe_attention_host import RECORD

    def make(model):
        calls, records = [], deque()  # the host copies lists in a model's options

        def watch(executor, x, sigma, *args, **kwargs):
            given = by_name(args, kwargs)
            call = SimpleNamespace(x=x, sigma=sigma, **given)
            calls.append(call)
            call.result = result = executor(x, sigma, **given)
            call.records = list(records)
            records.clear()
            return result

        clone = model.clone()
        clone.model_options["transformer_options"][RECORD] = records
        clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "test.watched", watch)
        return clone, calls

    return make


@pytest.fixture
def with_attentions(host):
    """A clone of a model and the list of (q, k, v, result) of its attentions, chained inside what was added before."""
    from comfy.patcher_extension import WrappersMP

    key = "optimized_attention_override"

    def make(model):
        seen = []

        def add(executor, x, sigma, *args, **kwargs):
            given = by_name(args, kwargs)
            previous = given["transformer_options"].get(key)

            def override(function, *args, **kwargs):
                result = previous(function, *args, **kwargs) if previous else function(*args, **kwargs)
                seen.append((*args[:3], result))
                return result

            given["transformer_options"] = {**given["transformer_options"], key: override}
            return executor(x, sigma, **given)

        clone = model.clone()
        clone.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "test.attentions", add)
        return clone, seen

    return make


@pytest.fixture
def on_two_devices(host):
    """A model that shares its conditionings with a copy, as the host does on two GPUs: at once or by turns.

    Older hosts cannot.
    """
    multigpu = pytest.importorskip("comfy.multigpu")
    from comfy.patcher_extension import WrappersMP

    def make(model, copy, at_once=True):
        devices = {torch.device("cpu"): model, torch.device("cpu", 1): copy}

        def share(executor, *args, **kwargs):
            copy.pre_run()
            pool = multigpu.MultiGPUThreadPool(list(devices)) if at_once else None
            more = {"multigpu_clones": devices, "multigpu_thread_pool": pool}
            executor.class_obj.model_options |= more
            try:
                return executor(*args, **kwargs)
            finally:
                for name in more:
                    executor.class_obj.model_options.pop(name, None)
                if pool is not None:
                    pool.shutdown()

        model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, "test.share", share)
        return model

    return make


@pytest.fixture
def together():
    """An attention override that waits for another thread's, so that two are at the same attention at the same time."""
    barrier, threads = threading.Barrier(2), set()

    def override(function, *args, **kwargs):
        threads.add(threading.get_ident())
        barrier.wait(timeout=60)
        return function(*args, **kwargs)

    override.threads = threads
    return override


@pytest.fixture(scope="session")
def make_svd(host):
    """A small random SVD with the released one's 16 temporal layers.

    plus: numbers added to its weights, by name. stored: the precision of its weights, which compute in dtype.
    """
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models

    from pack.demo.tiny_models import filled
    from pack.demo.world_nodes.svd_host import HEAD_SIZE, unet_arguments

    def make(plus=None, dtype=torch.float32, stored=None):
        config = comfy.supported_models.SVD_img2vid({**unet_arguments(), "legacy": False, "dtype": stored or dtype})
        config.unet_config.update(model_channels=32, channel_mult=[1, 2, 4, 4], num_head_channels=HEAD_SIZE)
        config.set_inference_dtype(stored or dtype, dtype if stored else None)
        model = comfy.model_base.SVD_img2vid(config, device="cpu")
        weights = filled(model.diffusion_model)
        for name, value in (plus or {}).items():
            weights[name] = weights[name] + value
        model.diffusion_model.load_state_dict(weights)
        cpu = torch.device("cpu")
        return comfy.model_patcher.ModelPatcher(model.eval(), cpu, cpu)

    return make


@pytest.fixture(scope="session")
def svd(make_svd):
    return make_svd()


@pytest.fixture(scope="session")
def svd_vae(host):
    """TAESD, which stands for SVD's VAE of 98 M: 4 channels, 8x."""
    import comfy.sd
    from comfy.taesd.taesd import TAESD

    from pack.demo.tiny_models import filled

    return comfy.sd.VAE(sd=filled(TAESD(latent_channels=4)))


@pytest.fixture(scope="session")
def picture_encoder(host):
    """A CLIP vision with the image_embeds that the small SVD reads."""
    from pack.demo.world_nodes.encoders_host import PictureEncoder

    return PictureEncoder()


@pytest.fixture
def svd_inputs(svd_vae, picture_encoder, pictures):
    """What the Bidirectional Guider and its sampler need for two pictures; a latent is 8 times smaller."""
    from pack.frames.keyframe_track import Keyframe, KeyframeTrack
    from pack.nodes.conditioning import SVDConditioning

    names = ("forward_positive", "forward_negative", "backward_positive", "backward_negative")

    def make(frames=5, height=4, width=6):
        track = KeyframeTrack(8 * width, 8 * height, frames, 7.0)
        for place in (0, -1):
            track = track.with_keyframe(Keyframe(place, pictures(20 + place, 8 * width, 8 * height)))
        *conditionings, latent = SVDConditioning.execute(picture_encoder, svd_vae, track).args
        return SimpleNamespace(conditionings=dict(zip(names, conditionings, strict=True)), latent=latent)

    return make


@pytest.fixture
def bidirectional(host):
    """The Bidirectional Guider for conditionings from `svd_inputs`."""
    from pack.nodes.bidirectional import BidirectionalGuider

    return lambda model, inputs, **options: BidirectionalGuider.execute(model, **inputs.conditionings, **options).args[
        0
    ]


@pytest.fixture
def sampled_from(host):
    """The latent that the host's SamplerCustomAdvanced makes with a guider, a sampler and noise from a seed."""
    nodes = host.NODE_CLASS_MAPPINGS

    def run(guider, latent, sampler=None, sigmas=(20.0, 3.0, 0.5, 0.0), seed=5):
        sampler = sampler or nodes["KSamplerSelect"].execute("euler").args[0]
        noise = nodes["RandomNoise"].execute(seed).args[0]
        node = nodes["SamplerCustomAdvanced"]
        return node.execute(noise, guider, sampler, torch.tensor(sigmas), latent).args[0]["samples"]

    return run


@pytest.fixture(scope="session")
def motion(svd):
    """Backward-motion weights of the small SVD, by the names that its own state dict has for them."""
    generator = torch.Generator().manual_seed(11)
    state = svd.model.diffusion_model.state_dict()
    ends = tuple(f".time_stack.0.attn1.{matrix}.weight" for matrix in ("to_v", "to_out.0"))
    return {name: 0.3 * torch.randn(state[name].shape, generator=generator) for name in state if name.endswith(ends)}


@pytest.fixture
def live_maps():
    """How many temporal attention maps of a video of 5 frames this process has now and had not before the test."""
    import gc

    def count():
        tensors = (item for item in gc.get_objects() if type(item) is torch.Tensor)
        return sum(tensor.ndim == 4 and tensor.shape[-2:] == (5, 5) for tensor in tensors)

    gc.collect()
    before = count()
    return lambda: count() - before


@pytest.fixture
def estimate(host):
    """A guider's clean estimate of seeded noise in the model's scale: one Euler step down to 0 ends on it."""
    import comfy.samplers

    def make(guider, frames=5, height=4, width=6, sigma=3.0, turned=False):
        noise = torch.randn(frames, 4, height, width, generator=torch.Generator().manual_seed(6))
        noise = noise.flip(0) if turned else noise
        euler, sigmas = comfy.samplers.sampler_object("euler"), torch.tensor([sigma, 0.0])
        return guider.sample(noise, torch.zeros_like(noise), euler, sigmas, disable_pbar=True, seed=0) * 0.18215

    return make


@pytest.fixture
def gi(bidirectional, svd, motion):
    """Generative Inbetweening's guider at cfg 2; model: instead of the small SVD."""

    def make(inputs, model=None, cfg=2.0, **options):
        given = {"backward_motion": motion, "min_cfg": cfg, "max_cfg": cfg} | options
        return bidirectional(svd if model is None else model, inputs, **given)

    return make


@pytest.fixture
def replaced():
    """A clone of a model whose self-attention in a layer, over space and over time, gives half of its values."""

    def make(model, *place):
        model = model.clone()
        model.set_model_attn1_replace(lambda q, k, v, extra: v / 2, *place)
        return model

    return make


@pytest.fixture
def bridge_parts(load_wan, hunyuan, svd, conditioned, svd_inputs):
    """A model by its kind and what belongs to it: positive, negative, a shape, noise levels, a prior with two ends.

    inside: a latent in the model's scale. frame: one latent frame of a video.
    """

    def drawn(*shape, seed):
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))

    def make(kind, places=(0, 4), seed=7):
        shape, sigmas = (1, 48 if kind == "ti2v_5b" else 16, 5, 4, 6), (0.9, 0.6, 0.25, 0.0)
        if kind == "svd":
            given, shape, sigmas = svd_inputs().conditionings, (5, 4, 4, 6), (12.0, 3.0, 0.4, 0.0)
            model, conds = svd, (given["forward_positive"], given["forward_negative"])
        elif kind == "hunyuan":
            model, pooled = hunyuan, {"pooled_output": drawn(1, 768, seed=8)}
            conds = tuple([[one[0][0], pooled]] for one in conditioned("t2v"))
        else:
            model, conds = load_wan(kind), conditioned(kind)
        prior = {"samples": drawn(*shape, seed=seed), "inbetween_keyframes": places}
        of = SimpleNamespace(model=model, conds=conds, shape=shape, sigmas=sigmas, prior=prior)
        of.inside = model.model.process_latent_in
        of.frame = lambda latent, place: latent[place] if kind == "svd" else latent.select(2, place)
        return of

    return make


@pytest.fixture
def bridge_sampler(host):
    """Bridge Sampler's sampler for a prior and its options."""
    from pack.nodes.bridge import BridgeSampler

    return lambda prior, *mode, **options: BridgeSampler.execute(prior, *mode, **options).args[0]


@pytest.fixture
def bridged(host):
    """What a guider at cfg 2 makes of noise; seen: a list for its previews, or what is told of each."""
    import comfy.samplers

    def sample(of, sampler, model=None, sigmas=None, latent=None, mask=None, seed=5, start=6, seen=None, noise=None):
        guider = comfy.samplers.CFGGuider(model or of.model)
        guider.set_conds(*of.conds)
        guider.set_cfg(2.0)
        if noise is None:
            noise = torch.randn(*of.shape, generator=torch.Generator().manual_seed(start))
        latent = torch.zeros_like(noise) if latent is None else latent
        sigmas = torch.tensor(of.sigmas if sigmas is None else sigmas)

        def preview(step, x0, x, total):
            if callable(seen):
                seen(step)
            elif seen is not None:
                seen.append(SimpleNamespace(step=step, x0=x0.clone(), x=x.clone(), total=total))

        options = {"denoise_mask": mask, "callback": preview, "disable_pbar": True, "seed": seed}
        return guider.sample(noise, latent, sampler, sigmas, **options)

    return sample
