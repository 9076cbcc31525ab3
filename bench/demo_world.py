"""The demo world's models in this process, and the pack's nodes called one after another as a graph would."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor

from ..demo.world import FPS, SIZE, Clip
from ..demo.world_graphs import CFG, SHIFT, STEPS, TRANSFORMER, VAE


@dataclass(frozen=True)
class Pair:
    """What a method may know of a clip.

    first, last: [1, H, W, 3] in 0..1. length: N, video frames. caption: in the world's words.
    """

    first: Tensor
    last: Tensor
    length: int
    caption: str

    @classmethod
    def of(cls, clip: Clip) -> Pair:
        return cls(clip.frames[:1], clip.frames[-1:], len(clip.frames), clip.caption)


class DemoWorld:
    """Loaded once; every call is a pure function of its arguments."""

    def __init__(self, host: dict[str, Any]) -> None:
        """host: the host's nodes by class, with demo/models among its model folders."""
        self.host = host
        import comfy.utils

        from ..demo.world_nodes.encoders_host import PictureEncoder, WordEncoder
        from ..nodes import anchors, attention, conditioning, keyframes

        comfy.utils.set_progress_bar_enabled(False)
        self.words, self.pictures = WordEncoder(), PictureEncoder()
        self.nodes = {
            node.__name__: node
            for node in (
                keyframes.Keyframes,
                keyframes.ReverseKeyframes,
                conditioning.WanConditioning,
                anchors.ReverseCandidates,
                anchors.SelectAnchors,
                attention.KeyframeAttention,
                attention.TemporalRoPE,
            )
        }
        model = self._node("UNETLoader").load_unet(TRANSFORMER, "default")[0]
        self.model = self._count_calls(self._node("ModelSamplingSD3").patch(model, SHIFT)[0])
        self.vae = self._node("VAELoader").load_vae(VAE)[0]
        self.calls = 0

    def track(self, pair: Pair) -> Any:
        """The keyframe track of a pair."""
        return self._run("Keyframes", SIZE, SIZE, pair.length, FPS, "crop", pair.first, pair.last)[0]

    def with_anchors(self, track: Any, candidates: Tensor, **options: Any) -> Any:
        """The track with what Select Anchors adds; no metric is connected, so 1-SSIM finds the place."""
        return self._run("SelectAnchors", track, candidates, **options)[0]

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

    def reverse_candidates(self, track: Any, caption: str, seed: int, share: float, model: Any = None) -> Tensor:
        """Frames [N, H, W, 3] of the reversed track after a share of the steps. model: as for `video`."""
        guider, latent = self.guider(self._run("ReverseKeyframes", track)[0], caption, model)
        sampling = self._sampling(seed)
        return self._run(
            "ReverseCandidates", sampling[0], guider, *sampling[1:], latent, self.vae, round(share * STEPS)
        )[0]

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
        return self._run("WanConditioning", *texts, self.vae, track, clip_vision=self.pictures, model=model)

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
