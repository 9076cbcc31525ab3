"""SVD from both ends: the guider, backward-motion weights, and the samplers that go back or ask for one direction."""

import os

from comfy_api.latest import io

from ..patches.backward_motion_files_host import (
    extract_motion,
    extraction_state,
    load_motion,
    motion_files,
    motion_path,
    unet_files,
)
from ..patches.temporal_maps_host import TURNS, check_motion_fits, mirrored_attention
from ..samplers.bidirectional_guider_host import BidirectionalGuider as Guider
from ..samplers.bidirectional_samplers_host import mpd_sampler, recurrent_sampler, vibid_sampler
from ..samplers.direction_fusion import FUSIONS, SCHEDULES
from ..samplers.motion_distillation import BASES
from ..samplers.recurrence import PATTERNS
from .checked_node import CheckedNode, FileInput
from .sockets import BackwardMotionSocket


class LoadBackwardMotion(CheckedNode):
    """Loads the weights that teach SVD to move backwards."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = motion_files()
        return io.Schema(
            node_id="InbetweenLoadBackwardMotion",
            display_name="Load Backward Motion",
            category="inbetween/svd",
            description="The 32 small tensors by which Generative Inbetweening's fine-tune differs from SVD. Make the "
            "file once with Extract Backward Motion.",
            search_aliases=[
                "generative inbetweening",
                "svd keyframe interpolation",
                "reverse motion",
                "反向运动",
                "逆方向の動き",
            ],
            inputs=[
                FileInput(
                    "file",
                    options=files,
                    default=files[0] if files else "svd_backward_motion.safetensors",
                    tooltip="A file in models/backward_motion. It fits SVD and SVD-XT.",
                )
            ],
            outputs=[BackwardMotionSocket.Output(display_name="backward_motion")],
        )

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        if file is None:
            return True  # linked: its value is known when the graph runs
        try:
            motion_path(file)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, file: str | None = None) -> str:
        if file is None:
            return ""
        status = os.stat(motion_path(file))
        return f"{file}:{status.st_size}:{status.st_mtime_ns}"

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(load_motion(file))


class ExtractBackwardMotion(CheckedNode):
    """Writes the difference between a fine-tuned SVD UNet and its base to a small file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = unet_files()
        return io.Schema(
            node_id="InbetweenExtractBackwardMotion",
            display_name="Extract Backward Motion",
            category="inbetween/svd",
            description="Takes the 32 temporal attention matrices that Generative Inbetweening trained out of its "
            "released UNet and writes what they differ by from SVD to models/backward_motion (50 MB in half "
            "precision). Needed once.",
            search_aliases=[
                "generative inbetweening",
                "svd reverse motion",
                "convert",
                "提取反向运动",
                "逆方向の動き 抽出",
            ],
            is_output_node=True,
            inputs=[
                FileInput(
                    "finetuned_unet",
                    options=files,
                    tooltip="The fine-tuned UNet, diffusers' layout or the host's, in models/diffusion_models or "
                    "models/checkpoints. Of a UNet in shards, any one.",
                ),
                FileInput(
                    "base_unet",
                    options=files,
                    tooltip="The model it was fine-tuned from: the 14-frame SVD (svd.safetensors), not SVD-XT.",
                ),
                io.String.Input(
                    "filename",
                    default="svd_backward_motion",
                    tooltip="Name of the new file in models/backward_motion, without folder.",
                ),
            ],
            outputs=[BackwardMotionSocket.Output(display_name="backward_motion")],
        )

    @classmethod
    def fingerprint_inputs(
        cls, finetuned_unet: str | None = None, base_unet: str | None = None, filename: str | None = None
    ) -> str:
        if finetuned_unet is None or base_unet is None or filename is None:
            return ""  # linked: its value is known when the graph runs
        return extraction_state(finetuned_unet, base_unet, filename)

    @classmethod
    def execute(cls, finetuned_unet: str, base_unet: str, filename: str = "svd_backward_motion") -> io.NodeOutput:
        return io.NodeOutput(extract_motion(finetuned_unet, base_unet, filename))


class BidirectionalGuider(CheckedNode):
    """Predicts a video from both ends and fuses the two."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        conditioning = {
            "forward_positive": "Forward: the first picture.",
            "forward_negative": "Forward: the negative.",
            "backward_positive": "Backward: the last picture.",
            "backward_negative": "Backward: the negative.",
        }
        return io.Schema(
            node_id="InbetweenBidirectionalGuider",
            display_name="Bidirectional Guider",
            category="inbetween/svd",
            description="SVD forward from the first picture and backward from the last, fused at every step. With "
            "Recurrent Sampler: Generative Inbetweening (with backward motion) or Time Reversal Fusion (without). "
            "ViBiD Sampler and MPD Sampler need it too.",
            search_aliases=[
                "generative inbetweening",
                "time reversal fusion",
                "TRF",
                "svd first last frame",
                "GI",
                "双向引导",
                "双方向",
            ],
            inputs=[
                io.Model.Input("model", tooltip="SVD (14 frames) or SVD-XT (25 frames)."),
                *(io.Conditioning.Input(name, tooltip=words) for name, words in conditioning.items()),
                BackwardMotionSocket.Input(
                    "backward_motion", optional=True, tooltip="From Load Backward Motion. Open: SVD's own weights."
                ),
                io.Float.Input(
                    "min_cfg",
                    default=1.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="The least guidance, at the picture a pass starts from; see cfg_schedule.",
                ),
                io.Float.Input(
                    "max_cfg",
                    default=3.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="The most, at the far end. With both at 1 the negatives are not computed, but by ViBiD "
                    "and MPD Sampler.",
                ),
                io.Combo.Input(
                    "cfg_schedule",
                    options=list(SCHEDULES),
                    default="symmetric",
                    tooltip="symmetric: the mean of min_cfg and max_cfg for every frame (Generative Inbetweening). "
                    "per_direction: each pass rises from its own picture (Time Reversal Fusion).",
                ),
                io.Combo.Input(
                    "fuse",
                    options=list(FUSIONS),
                    default="mean",
                    tooltip="mean: both passes count alike. linear: each counts most at its own picture. Not used by "
                    "ViBiD and MPD Sampler.",
                ),
                io.Combo.Input(
                    "rotate_attention",
                    options=list(TURNS),
                    default="all",
                    advanced=True,
                    tooltip="Layers whose backward pass takes the forward pass's temporal attention, turned around. "
                    "all belongs to backward_motion and does nothing without it; up is the paper's choice without it.",
                ),
                io.Float.Input(
                    "backward_cfg_scale",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    round=False,
                    optional=True,
                    advanced=True,
                    tooltip="The backward pass's guidance is the forward one's times this. ViBiD's second scale: with "
                    "max_cfg 2 and 0.5 here, 2 forward and 1 backward.",
                ),
            ],
            outputs=[io.Guider.Output(display_name="guider")],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        forward_positive: io.Conditioning.Type,
        forward_negative: io.Conditioning.Type,
        backward_positive: io.Conditioning.Type,
        backward_negative: io.Conditioning.Type,
        min_cfg: float = 1.0,
        max_cfg: float = 3.0,
        cfg_schedule: str = "symmetric",
        fuse: str = "mean",
        rotate_attention: str = "all",
        backward_motion: dict | None = None,
        backward_cfg_scale: float = 1.0,
    ) -> io.NodeOutput:
        attention = mirrored_attention(rotate_attention, backward_motion)
        guider = Guider(model, attention, min_cfg, max_cfg, cfg_schedule, fuse, backward_cfg_scale)
        if backward_motion is not None:
            check_motion_fits(model, backward_motion)
        guider.set_directions((forward_positive, forward_negative), (backward_positive, backward_negative))
        return io.NodeOutput(guider)


class RecurrentSampler(CheckedNode):
    """Euler steps that go back and come again."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenRecurrentSampler",
            display_name="Recurrent Sampler",
            category="inbetween/svd",
            description="Puts noise back in and makes early steps again, so that both directions agree. repeat is "
            "Generative Inbetweening's, jump is Time Reversal Fusion's. For SVD.",
            search_aliases=[
                "noise injection",
                "repaint",
                "resample",
                "TRF",
                "GI",
                "重复采样",
                "繰り返し サンプラー",
            ],
            inputs=[
                io.Combo.Input(
                    "pattern",
                    options=list(PATTERNS),
                    default="repeat",
                    tooltip="repeat: every early step several times. jump: some steps at once, back and again.",
                ),
                io.Int.Input(
                    "repeats",
                    default=5,
                    min=0,
                    max=100,
                    tooltip="How often; 0 is plain Euler. The papers: 5 for repeat (175 evaluations of 50 steps), 1 "
                    "for jump.",
                ),
                io.Float.Input(
                    "until",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Up to which share of the steps. The papers: 0.5 for repeat, 0.2 for jump.",
                ),
                io.Int.Input(
                    "jump_length",
                    default=5,
                    min=1,
                    max=1000,
                    tooltip="Steps of one jump, fewer than the early ones; for jump only.",
                ),
                io.Float.Input(
                    "noise_scale",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Strength of the noise that is put back; 1 restores the level exactly.",
                ),
            ],
            outputs=[io.Sampler.Output(display_name="sampler")],
        )

    @classmethod
    def execute(
        cls,
        pattern: str = "repeat",
        repeats: int = 5,
        until: float = 0.5,
        jump_length: int = 5,
        noise_scale: float = 1.0,
    ) -> io.NodeOutput:
        return io.NodeOutput(recurrent_sampler(pattern, repeats, until, jump_length, noise_scale))


class ViBiDSampler(CheckedNode):
    """Forward and backward in turn, landing on the other picture each time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenViBiDSampler",
            display_name="ViBiD Sampler",
            category="inbetween/svd",
            description="Every step once forward and once backward; each pass ends on the other picture. Needs the "
            "Bidirectional Guider, with guidance 1 and 1 and 25 steps in the paper. The lightest of the methods.",
            search_aliases=[
                "vibidsampler",
                "bidirectional diffusion sampler",
                "双向采样",
                "双方向 サンプラー",
            ],
            inputs=[
                io.Float.Input(
                    "end_strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How far the frame that a pass ends on is drawn to its picture; 0 is off.",
                ),
                io.Boolean.Input(
                    "cfg_pp",
                    default=True,
                    tooltip="CFG++: the step's direction comes from the estimate without guidance.",
                ),
                io.Boolean.Input(
                    "renoise", default=True, tooltip="Noise is put back in between the two passes of a step."
                ),
            ],
            outputs=[io.Sampler.Output(display_name="sampler")],
        )

    @classmethod
    def execute(cls, end_strength: float = 1.0, cfg_pp: bool = True, renoise: bool = True) -> io.NodeOutput:
        return io.NodeOutput(vibid_sampler(end_strength, cfg_pp, renoise))


class MPDSampler(CheckedNode):
    """Early on the backward pass follows the forward pass's motion."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenMPDSampler",
            display_name="MPD Sampler",
            category="inbetween/svd",
            description="Motion Prior Distillation: in the first steps the backward estimate is the forward one, moved "
            "to end on the last picture, so that both directions share one motion. Needs the Bidirectional Guider, "
            "with guidance 1 and 1 and 25 steps in the paper.",
            search_aliases=[
                "motion prior distillation",
                "mpd sampler",
                "运动先验",
                "モーション 事前分布",
            ],
            inputs=[
                io.Combo.Input(
                    "base",
                    options=list(BASES),
                    default="sequential",
                    tooltip="What follows: ViBiD's steps in turn, or both directions at once (three times the cost).",
                ),
                io.Float.Input(
                    "early",
                    default=0.2,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the steps with distillation. The paper: 0.2 for sequential, 0.1 for parallel.",
                ),
                io.Int.Input(
                    "repeats",
                    default=3,
                    min=0,
                    max=100,
                    tooltip="sequential: distilled steps per early step. parallel: how often each later step is made "
                    "again.",
                ),
                io.Float.Input(
                    "shift",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    tooltip="How far the estimate is moved to the last picture; 1 all the way.",
                ),
                io.Boolean.Input(
                    "ramp",
                    default=False,
                    advanced=True,
                    tooltip="Beyond the paper: the shift grows from the first frame to the last.",
                ),
            ],
            outputs=[io.Sampler.Output(display_name="sampler")],
        )

    @classmethod
    def execute(
        cls,
        base: str = "sequential",
        early: float = 0.2,
        repeats: int = 3,
        shift: float = 1.0,
        ramp: bool = False,
    ) -> io.NodeOutput:
        return io.NodeOutput(mpd_sampler(base, early, repeats, shift, ramp))
