"""The pack's bridge nodes on the demo world's Wan, called as a graph would, with the adapters trained for them."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor

from .demo_world import DemoWorld
from .pair import Pair

ALIGNED, UNALIGNED, DIFFUSION, PRIOR = (
    f"demo_world_{name}.safetensors"
    for name in ("bridge_aligned", "bridge_unaligned", "bridge_diffusion", "neural_prior")
)
KIND = "pixel"  # what the adapters were trained on


class DemoBridge:
    """Every call is a pure function of its arguments; adapters are loaded when they are first asked for."""

    def __init__(self, world: DemoWorld) -> None:
        from ..nodes import bridge

        self._world, self._nodes = world, bridge
        self._adapted = cache(self._load)

    def prior(self, pair: Pair, neural: bool = False) -> dict[str, Any]:
        """The cross-fade of the two pictures as a latent, or what Neural Prior makes of it."""
        track = self._world.track(pair)
        made = self._nodes.BridgePrior.execute(track, self._world.vae, KIND).args[0]
        if not neural:
            return made
        model = self._adapted(PRIOR)
        positive = self._world.conditionings(track, pair.caption, model)[0]
        return self._nodes.NeuralPrior.execute(model, positive, made).args[0]

    def video(
        self,
        pair: Pair,
        seed: int,
        steps: int,
        adapter: str | None = None,
        denoise: float = 1.0,
        neural: bool = False,
        **sampler: Any,
    ) -> Tensor:
        """Frames [N, H, W, 3] from the prior.

        Args:
            adapter: file of a LoRA, None for the world's own weights. denoise: of the scheduler, for sdedit.
            neural: whether the prior is Neural Prior's. sampler: options of Bridge Sampler.
        """
        model = self._world.model if adapter is None else self._adapted(adapter)
        made = self._nodes.BridgeSampler.execute(self.prior(pair, neural), **sampler).args[0]
        return self._world.video(self._world.track(pair), pair.caption, seed, model, made, steps, denoise)

    def plain(self, pair: Pair, seed: int, steps: int, adapter: str) -> Tensor:
        """Frames [N, H, W, 3] by Euler steps from noise, as `DemoWorld.video`, with an adapter."""
        track = self._world.track(pair)
        return self._world.video(track, pair.caption, seed, self._adapted(adapter), steps=steps)

    def _load(self, adapter: str) -> Any:
        return self._world.host["LoraLoaderModelOnly"]().load_lora_model_only(self._world.model, adapter, 1.0)[0]
