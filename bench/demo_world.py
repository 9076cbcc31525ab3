"""The demo world's models in this process, and the pack's nodes called one after another as a graph would."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from torch import Tensor

from ..demo.world import FPS, SIZE
from ..demo.world_graphs import CFG, SHIFT, STEPS, VAE
from .pair import Pair
from .reach import reach_limited

BASES = {
    "flf2v": "demo_world_wan_flf2v.safetensors",
    "i2v": "demo_world_wan_i2v.safetensors",
    "t2v": "demo_world_wan_t2v.safetensors",
    "flf2v, reach 1 (constructed)": "demo_world_wan_flf2v.safetensors",
}
NO_PICTURES = "t2v"  # has never seen image tokens
REACH = {"flf2v, reach 1 (constructed)": 1}  # latent frames


class DemoWorld:
    """Loaded once; every call is a pure function of its arguments."""

    def __init__(self, host: dict[str, Any], base: str = "flf2v") -> None:
        """host: the host's nodes by class, with demo/models among its model folders. base: one of BASES."""
        self.host, self._base = host, base
        import comfy.utils

        from ..demo.world_nodes.encoders_host import PictureEncoder, WordEncoder
        from ..nodes import anchors, attention, conditioning, keyframes

        comfy.utils.set_progress_bar_enabled(False)
        self.words, self.pictures = WordEncoder(), PictureEncoder()
        self.nodes = {
            node.__name__: node
            for node in (
                keyframes.Keyframes,
                keyframes.AddKeyframe,
                keyframes.ReverseKeyframes,
                conditioning.WanConditioning,
                anchors.ReverseCandidates,
                anchors.SelectAnchors,
                attention.KeyframeAttention,
                attention.TemporalRoPE,
            )
        }
        model = self._node("UNETLoader").load_unet(BASES[base], "default")[0]
        model = self._count_calls(self._node("ModelSamplingSD3").patch(model, SHIFT)[0])
        self.model = reach_limited(model, REACH[base]) if base in REACH else model
        self.vae = self._node("VAELoader").load_vae(VAE)[0]
        self.calls = 0

    def track(self, pair: Pair) -> Any:
        """The keyframe track of a pair."""
        return self._run("Keyframes", SIZE, SIZE, pair.length, FPS, "crop", pair.first, pair.last)[0]

    def reversed_track(self, track: Any) -> Any:
        return self._run("ReverseKeyframes", track)[0]

    def with_keyframe(self, track: Any, picture: Tensor, frame: int, strength: float = 1.0) -> Any:
        """The track with one more picture [1, H, W, 3]."""
        return self._run("AddKeyframe", track, picture, frame, strength)[0]

    def selected(self, track: Any, candidates: Tensor, **options: Any) -> tuple[Any, ...]:
        """What Select Anchors gives; no metric is connected, so 1-SSIM finds the place."""
        return self._run("SelectAnchors", track, candidates, **options)

    @cached_property
    def svd(self) -> Any:
        """The demo world's SVD, a `demo_svd.DemoSVD`; loaded when a method first asks for it."""
        from .demo_svd import DemoSVD

        return DemoSVD(self.host, self._count_calls)

    @cached_property
    def bridge(self) -> Any:
        """The bridge nodes, a `demo_bridge.DemoBridge`; made when a method first asks for it."""
        from .demo_bridge import DemoBridge

        return DemoBridge(self)

    def patched(self, attention: dict[str, Any] | None = None, rope: dict[str, Any] | None = None) -> Any:
        """The model with the options of Keyframe Attention and Temporal RoPE; None leaves a node out."""
        model = self.model
        if rope is not None:
            model = self._run("TemporalRoPE", model, **rope)[0]
        if attention is not None:
            model = self._run("KeyframeAttention", model, **attention)[0]
        return model

    def candidates(self, track: Any, caption: str, seed: int, steps: int = STEPS, stop: int = 0) -> Tensor:
        """Frames [N, H, W, 3] of the clean estimate of a track.

        steps: of the schedule. stop: steps that are run, 0 for all.
        """
        guider, latent = self.guider(track, caption)
        noise, sampler, sigmas = self._sampling(seed, steps)
        return self._run("ReverseCandidates", noise, guider, sampler, sigmas, latent, self.vae, stop)[0]

    def video(
        self,
        track: Any,
        caption: str,
        seed: int,
        model: Any = None,
        sampler: Any = None,
        steps: int = STEPS,
        denoise: float = 1.0,
    ) -> Tensor:
        """Frames [N, H, W, 3] of a track. model: a patched one, None for the world's own; sampler: None for Euler."""
        guider, latent = self.guider(track, caption, model)
        noise, euler, sigmas = self._sampling(seed, steps, denoise)
        sampler = euler if sampler is None else sampler
        sampled = self._node("SamplerCustomAdvanced").execute(noise, guider, sampler, sigmas, latent).args[0]
        return self.decoded(sampled["samples"])

    def guider(self, track: Any, caption: str, model: Any = None) -> tuple[Any, Any]:
        """The guider and the empty latent of a track."""
        model = model or self.model
        made = self.conditionings(track, caption, model)
        return self._node("CFGGuider").execute(model, made[0], made[1], CFG).args[0], made[2]

    def conditionings(self, track: Any, caption: str, model: Any) -> tuple[Any, ...]:
        """What Keyframes to Wan makes of a track: positive, negative, latent, report."""
        texts = [self.words.encode_from_tokens_scheduled(text) for text in (caption, "")]
        # with the model the node would ask for the pictures that a model of this layout reads
        known = {} if self._base == NO_PICTURES else {"clip_vision": self.pictures, "model": model}
        return self._run("WanConditioning", *texts, self.vae, track, **known)

    def encoded(self, frames: Tensor) -> Tensor:
        """[N, H, W, 3] in 0..1 -> [1, 16, T, h, w], the host's scale."""
        return self.vae.encode(frames)

    def decoded(self, latents: Tensor) -> Tensor:
        """[1, 16, T, h, w] -> [N, H, W, 3] in 0..1."""
        return self.vae.decode(latents).flatten(0, 1)

    def _sampling(self, seed: int, steps: int = STEPS, denoise: float = 1.0) -> tuple[Any, Any, Tensor]:
        noise = self._node("RandomNoise").execute(seed).args[0]
        sampler = self._node("KSamplerSelect").execute("euler").args[0]
        return noise, sampler, self._node("BasicScheduler").execute(self.model, "simple", steps, denoise).args[0]

    def _run(self, name: str, *arguments: Any, **options: Any) -> tuple[Any, ...]:
        return self.nodes[name].execute(*arguments, **options).args

    def _node(self, name: str) -> Any:
        return self.host[name]()

    def _count_calls(self, model: Any) -> Any:
        import comfy.patcher_extension

        def count(executor: Any, *arguments: Any, **options: Any) -> Any:
            self.calls += 1
            return executor(*arguments, **options)

        model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "bench.calls", count)
        return model
