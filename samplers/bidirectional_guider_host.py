"""A guider that predicts a video from both of its ends: SVD forward from the first picture and backward from the last.

With any sampler it gives the fused prediction. Samplers that ask for one direction at a time call `directions`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import comfy.model_base  # SVD_img2vid, to tell SVD from another model
import comfy.samplers
import torch
from torch import Tensor

from .conditioned_video import FRAMES
from .direction_fusion import fused, fusion_weights, guidance_ramp

KEYFRAME = "inbetween_keyframe"  # in a positive conditioning: its picture's clean latent, as the VAE gives it
NODE = "Bidirectional Guider"
KEPT = "inbetween_kept"  # in a run's model options: see SharedAttention.pair
HOST_MARGIN = 1.5  # by which the host's own batching multiplies its estimate of memory
FORWARD, BACKWARD = ("positive", "negative"), ("positive_backward", "negative_backward")


class SharedAttention(Protocol):
    """How the two passes of a step share their attention; see patches/temporal_maps_host.py."""

    @property
    def is_plain(self) -> bool:
        """Whether they share nothing and nothing is changed."""
        ...

    def pair(self, places: Mapping[Any, tuple[int, int]], run: dict[Any, Any]) -> Any:
        """A context with forward(options) and backward(options), the model options of the two passes.

        run: what is kept from step to step.
        """
        ...


class BidirectionalGuider(comfy.samplers.CFGGuider):
    """The host's guider with a second pair of conditionings, for the video played backwards."""

    def __init__(
        self,
        model: Any,
        attention: SharedAttention,
        min_cfg: float,
        max_cfg: float,
        cfg_schedule: str,
        fuse: str,
        backward_cfg_scale: float = 1.0,
    ) -> None:
        """model: a host model patcher with SVD. backward_cfg_scale: the backward guidance over the forward one.

        Raises:
            ValueError: another model, reversed guidance, or an unknown schedule or fusion.
        """
        if type(model.model) is not comfy.model_base.SVD_img2vid:
            raise ValueError(
                f"{NODE}: model is {type(model.model).__name__}, not SVD. Load svd.safetensors or svd_xt.safetensors "
                f"with ImageOnlyCheckpointLoader, the host's loader for img2vid models."
            )
        guidance_ramp(2, min_cfg, max_cfg, cfg_schedule)
        fusion_weights(2, fuse)
        super().__init__(model)
        self._attention, self._guidance, self._fuse = attention, (min_cfg, max_cfg, cfg_schedule), fuse
        self._shares = {FORWARD: 1.0, BACKWARD: backward_cfg_scale}  # of that guidance
        self.set_cfg(max_cfg)

    def set_directions(self, forward: tuple[list, list], backward: tuple[list, list]) -> None:
        """Conditionings (positive, negative) of both directions.

        Raises:
            ValueError: forward and backward have not as many entries, or an entry is of another CLIP vision model.
        """
        wanted = self.model_patcher.model.model_config.unet_config.get("context_dim")
        for name, ahead, back in zip(FORWARD, forward, backward, strict=True):
            for way, (token, *_) in [("forward", pair) for pair in ahead] + [("backward", pair) for pair in back]:
                if wanted is not None and token.shape[-1] != wanted:
                    raise ValueError(
                        f"{way}_{name} has {token.shape[-1]} numbers per picture, this model reads {wanted}: connect "
                        f"the clip_vision of the SVD checkpoint to Keyframes to SVD."
                    )
            if len(ahead) != len(back):
                raise ValueError(
                    f"forward_{name} has {len(ahead)} entries and backward_{name} {len(back)}: they must belong "
                    f"together one by one."
                )
        self.inner_set_conds(dict(zip((*FORWARD, *BACKWARD), (*forward, *backward), strict=True)))

    def sample(self, noise: Any, latent_image: Any, sampler: Any, sigmas: Any, *args: Any, **kwargs: Any) -> Any:
        """The host's, after what does not belong together was told."""
        if kwargs.get("denoise_mask", args[0] if args else None) is not None:
            raise ValueError(f"{NODE}: latent_image has a noise mask, which has no meaning here: remove it.")
        if noise.ndim != 4:
            size = "x".join(map(str, noise.shape))
            raise ValueError(f"{NODE}: latent_image is {size}, not SVD's: connect the latent of Keyframes to SVD.")
        made_for = {entry[FRAMES] for entries in self.original_conds.values() for entry in entries if FRAMES in entry}
        if made_for and made_for != {len(noise)}:
            wanted = " and ".join(str(count) for count in sorted(made_for))
            raise ValueError(
                f"{NODE}: latent_image has {len(noise)} frames, the conditionings were made for {wanted}: connect the "
                f"latent of the same node."
            )
        return super().sample(noise, latent_image, sampler, sigmas, *args, **kwargs)

    def predict_noise(self, x: Tensor, timestep: Tensor, model_options: dict | None = None, seed: Any = None) -> Tensor:
        """The fused clean estimate [N, C, h, w].

        Cost: both directions, each with and without guidance, in one batch where the host has the memory for it.
        """
        options = {} if model_options is None else model_options
        turned = x.flip(0)
        # the host makes these options for one run and gives the same ones to every step
        with self._attention.pair(self._places(), options.setdefault(KEPT, {})) as pair:
            ahead, back = [None, None], [None, None]
            for some in self._rounds(x, self._needs_unguided(options)):
                ahead = _filled(ahead, self._estimates(FORWARD, some, x, timestep, pair.forward(options)), some)
                back = _filled(back, self._estimates(BACKWARD, some, turned, timestep, pair.backward(options)), some)
        forward = self._guided(FORWARD, ahead, x, timestep, options)
        backward = self._guided(BACKWARD, back, turned, timestep, options)
        return fused(forward, backward, fusion_weights(len(x), self._fuse))

    def directions(self, extra_args: Mapping[str, Any]) -> _Directions:
        """For samplers that ask for one direction at a time; see samplers/vibid.py.

        Args:
            extra_args: what the host gives a sampler for its model.
        Raises:
            ValueError: backward motion or turned maps are set, which belong to fused predictions.
        """
        if not self._attention.is_plain:
            raise ValueError(
                f"this sampler asks {NODE} for one direction at a time, where there is no forward map to turn: "
                f"disconnect backward_motion and, if rotate_attention is up, set it to none."
            )
        return _Directions(self, dict(extra_args))

    def one_direction(
        self, x: Tensor, timestep: Tensor, backward: bool, options: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """The guided and the unguided clean estimate of a pass, in the order of x."""
        names = BACKWARD if backward else FORWARD
        both = self._estimates(names, (0, 1), x, timestep, options)
        return self._guided(names, both, x, timestep, options), both[1]

    def keyframe_latents(self) -> tuple[Tensor, Tensor]:
        """Clean latents of the first and last picture, [1, C, h, w] in the model's scale.

        Raises:
            ValueError: a conditioning without a picture.
        """
        found = []
        for name, shown in ((FORWARD[0], "forward_positive"), (BACKWARD[0], "backward_positive")):
            entry = self.conds[name][0]
            latent = entry.get(KEYFRAME, entry.get("concat_latent_image"))
            if latent is None:
                raise ValueError(f"{NODE}: {shown} carries no picture: use 'Keyframes to SVD'.")
            if KEYFRAME not in entry:
                logging.info("%s: %s has only its noised picture, which is used as the keyframe.", NODE, shown)
            found.append(self.inner_model.process_latent_in(latent[:1]))
        return found[0], found[1]

    def _estimates(
        self, names: tuple[str, str], some: tuple[int, ...], x: Tensor, timestep: Tensor, options: dict
    ) -> list:
        """Clean estimates of the positive (0) and negative (1) conditioning, zeros where not asked for.

        The order is kept so that their numbers mean the same to every other patch.
        """
        conds = [self.conds[name] if number in some else None for number, name in enumerate(names)]
        if "sampler_calc_cond_batch_function" in options:
            arguments = {
                "conds": conds,
                "input": x,
                "sigma": timestep,
                "model": self.inner_model,
                "model_options": options,
            }
            return options["sampler_calc_cond_batch_function"](arguments)
        return comfy.samplers.calc_cond_batch(self.inner_model, conds, x, timestep, options)

    def _guided(self, names: tuple[str, str], both: list, x: Tensor, timestep: Tensor, options: dict) -> Tensor:
        """The host's guidance, with a scale per frame counted from the pass's own keyframe.

        A node that sets a guidance function, such as the host's VideoLinearCFGGuidance, is given max_cfg.
        """
        conds, share = [self.conds[name] for name in names], self._shares[names]
        if both[1] is None:
            conds[1], both = None, [both[0], torch.zeros_like(both[0])]
        for function in options.get("sampler_pre_cfg_function", []):
            both = function(
                {
                    "conds": conds,
                    "conds_out": both,
                    "cond_scale": share * self.cfg,
                    "timestep": timestep,
                    "input": x,
                    "sigma": timestep,
                    "model": self.inner_model,
                    "model_options": options,
                }
            )
        scale: Any = share * self.cfg  # a node with guidance of its own may have its own ramp, and expects a number
        if "sampler_cfg_function" not in options:
            scale = share * guidance_ramp(len(x), *self._guidance).to(x).view(-1, 1, 1, 1)
        return comfy.samplers.cfg_function(
            self.inner_model, both[0], both[1], scale, x, timestep, options, cond=conds[0], uncond=conds[1]
        )

    def _needs_unguided(self, options: Mapping[str, Any]) -> bool:
        least, most, _ = self._guidance
        unscaled = least == most == self._shares[BACKWARD] == 1
        return not unscaled or options.get("disable_cfg1_optimization", False)

    def _rounds(self, x: Tensor, unguided: bool) -> list[tuple[int, ...]]:
        """Which conditionings are predicted together.

        Where maps are held, one at a time, so that one set of maps is enough, unless the host would batch both: the
        half that it adds to its estimate is several times two sets.
        """
        if not unguided:
            return [(0,)]
        if self._attention.is_plain:
            return [(0, 1)]
        needed = HOST_MARGIN * self.inner_model.memory_required([2 * len(x), *x.shape[1:]])
        return [(0, 1)] if needed < self.inner_model.current_patcher.get_free_memory(x.device) else [(0,), (1,)]

    def _places(self) -> dict[Any, tuple[int, int]]:
        """Places of the run's conditionings, by id: 0 in a positive list, 1 in a negative, and the place in it.

        For an area of another conditioning the host copies an entry together with its id: the copy gets its own.
        """
        places: dict[Any, tuple[int, int]] = {}
        for number, name in (pair for names in (FORWARD, BACKWARD) for pair in enumerate(names)):
            for place, entry in enumerate(self.conds[name]):
                if entry["uuid"] in places:
                    entry["uuid"] = (entry["uuid"], place)
                places[entry["uuid"]] = number, place
        return places


class _Directions:
    """See `samplers.vibid.Directions`."""

    def __init__(self, guider: BidirectionalGuider, extra_args: dict[str, Any]) -> None:
        self._guider, self._options = guider, extra_args.get("model_options", {})
        self.keyframes = guider.keyframe_latents()

    def predict(self, x: Tensor, sigma: Tensor, backward: bool) -> tuple[Tensor, Tensor]:
        return self._guider.one_direction(x, sigma * x.new_ones(len(x)), backward, self._options)


def _filled(found: list, made: list, some: tuple[int, ...]) -> list:
    return [made[number] if number in some else found[number] for number in (0, 1)]
