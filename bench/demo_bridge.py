"""The pack's bridge nodes on the demo world's Wan, called as a graph would."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .demo_world import DemoWorld, Pair

KIND = "pixel"


class DemoBridge:
    """Every call is a pure function of its arguments."""

    def __init__(self, world: DemoWorld) -> None:
        from ..nodes import bridge

        self._world, self._nodes = world, bridge

    def prior(self, pair: Pair) -> dict[str, Any]:
        """The cross-fade of the two pictures as a latent."""
        return self._nodes.BridgePrior.execute(self._world.track(pair), self._world.vae, KIND).args[0]

    def video(self, pair: Pair, seed: int, steps: int, denoise: float = 1.0, **sampler: Any) -> Tensor:
        """Frames [N, H, W, 3] from the prior.

        Args:
            denoise: of the scheduler, for sdedit. sampler: options of Bridge Sampler.
        """
        made = self._nodes.BridgeSampler.execute(self.prior(pair), **sampler).args[0]
        return self._world.video(self._world.track(pair), pair.caption, seed, None, made, steps, denoise)
