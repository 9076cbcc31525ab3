"""The demo world's SVD in this process, and the pack's bidirectional nodes called as a graph would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..demo.world import FPS, SIZE
from ..demo.world_graphs import PICTURE_VAE
from .pair import Pair

TRANSFORMER, MOTION = "demo_world_svd.safetensors", "demo_world_backward_motion.safetensors"
LENGTH = 14  # frames that the model makes
STEPS = 20
AUGMENTATION = 0.0  # the model was trained on clean pictures
FORWARD_CFG = 1.5


class DemoSVD:
    """Loaded once; every call is a pure function of its arguments."""

    def __init__(self, host: dict[str, Any], counted: Callable[[Any], Any]) -> None:
        """host: the host's nodes by class, with demo/models among its model folders. counted: makes a model count."""
        from ..demo.world_nodes.encoders_host import PictureEncoder
        from ..demo.world_nodes.svd_host import register_demo_svd
        from ..nodes import bidirectional, conditioning, keyframes

        register_demo_svd()
        self._host, self._nodes = host, (keyframes, conditioning, bidirectional)
        self._pictures = PictureEncoder()
        self._vae = host["VAELoader"]().load_vae(PICTURE_VAE)[0]
        self.model = counted(host["UNETLoader"]().load_unet(TRANSFORMER, "default")[0])
        self.motion = bidirectional.LoadBackwardMotion.execute(MOTION).args[0]

    def video(self, pair: Pair, seed: int, sampler: Any, **guider: Any) -> Tensor:
        """Frames [14, H, W, 3] between the two pictures of a pair.

        Args:
            sampler: a host SAMPLER. guider: options of the Bidirectional Guider.
        """
        keyframes, conditioning, bidirectional = self._nodes
        track = keyframes.Keyframes.execute(SIZE, SIZE, LENGTH, FPS, "crop", pair.first, pair.last).args[0]
        made = conditioning.SVDConditioning.execute(self._pictures, self._vae, track, 127, AUGMENTATION, seed).args
        guided = bidirectional.BidirectionalGuider.execute(self.model, *made[:4], **guider).args[0]
        return self._sampled(guided, sampler, made[4], seed)

    def sampler(self, node: str, **options: Any) -> Any:
        """The SAMPLER of one of the pack's nodes, by class name."""
        return getattr(self._nodes[2], node).execute(**options).args[0]

    def forward_only(self, pair: Pair, seed: int) -> Tensor:
        """Frames [14, H, W, 3] from the first picture alone, by the host's own nodes."""
        made = self._host["SVD_img2vid_Conditioning"]().encode(
            self._pictures, pair.first, self._vae, SIZE, SIZE, LENGTH, 127, round(FPS), AUGMENTATION
        )
        guider = self._host["CFGGuider"]().execute(self.model, made[0], made[1], FORWARD_CFG).args[0]
        return self._sampled(guider, self._host["KSamplerSelect"]().execute("euler").args[0], made[2], seed)

    def _sampled(self, guider: Any, sampler: Any, latent: Any, seed: int) -> Tensor:
        noise = self._host["RandomNoise"]().execute(seed).args[0]
        sigmas = self._host["KarrasScheduler"]().execute(STEPS, 700.0, 0.002, 7.0).args[0]
        sampled = self._host["SamplerCustomAdvanced"]().execute(noise, guider, sampler, sigmas, latent).args[0]
        return self._vae.decode(sampled["samples"])
