"""Anchor Frame Bridging: reverse candidates, the search for the breakpoint, the perceptual distance."""

import os

from comfy_api.latest import io, ui

from ..frames.anchor_selection import select_anchors
from ..frames.anchor_settings import SCORE_ON, AnchorSettings
from ..frames.fit_host import fitted_ends
from ..frames.hunyuan_model_host import check_hunyuan_guider
from ..frames.keyframe_track import KeyframeTrack
from ..frames.lpips_host import backbone_files, backbone_path, load_lpips
from ..frames.perceptual_distance import PerceptualMetric
from ..frames.structural_similarity import SSIMMetric
from ..frames.vae_family_host import check_vae_of_model
from ..frames.wan_model_host import check_wan_guider
from ..frames.watch_host import watch_frames
from ..samplers.candidates_host import sample_candidates
from .checked_node import CheckedNode, FileInput
from .sockets import KeyframesSocket, MetricSocket


class ReverseCandidates(CheckedNode):
    """Runs the reverse pass, stops early, and decodes what it has."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenReverseCandidates",
            display_name="Reverse Candidates (AFB)",
            category="inbetween/anchor",
            description="Samples the reversed keyframes for a few steps and decodes the clean estimate: the pictures "
            "an anchor is chosen from.",
            search_aliases=[
                "anchor frame bridging",
                "afb",
                "early stop",
                "denoised output",
                "反向候选",
                "逆方向 候補",
            ],
            inputs=[
                io.Noise.Input("noise", tooltip="Random Noise; its seed decides the candidates."),
                io.Guider.Input("guider", tooltip="A guider on the conditioning of the reversed keyframes."),
                io.Sampler.Input("sampler", tooltip="The paper uses euler."),
                io.Sigmas.Input("sigmas", tooltip="The whole schedule, as for the final video."),
                io.Latent.Input("latent_image", tooltip="The latent of the reversed keyframes' conditioning."),
                io.Vae.Input("vae", tooltip="Decodes the candidates; the model's own VAE."),
                io.Int.Input(
                    "stop_step",
                    default=-1,
                    min=-1,
                    max=10000,
                    tooltip="Steps to run; 0 runs all, -1 runs 30 % of them (15 of 50) and all where there are at most "
                    "8. The paper: 15 of 50 adds 30 % model calls, 50 of 50 adds 100 % and gives the best anchors.",
                ),
                io.Float.Input(
                    "stop_sigma",
                    default=0.0,
                    min=0.0,
                    max=10000.0,
                    step=0.001,
                    advanced=True,
                    tooltip="Noise level to stop at instead of a step; 0 stops by step. 15 of 50 steps are 0.921 at "
                    "shift 5.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="candidates"),
                io.Latent.Output(display_name="latent"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(
        cls,
        noise: io.Noise.Type,
        guider: io.Guider.Type,
        sampler: io.Sampler.Type,
        sigmas: io.Sigmas.Type,
        latent_image: io.Latent.Type,
        vae: io.Vae.Type,
        stop_step: int = -1,
        stop_sigma: float = 0.0,
    ) -> io.NodeOutput:
        check_wan_guider(guider)
        check_hunyuan_guider(guider)
        check_vae_of_model(vae, guider.model_patcher)
        made = sample_candidates(noise, guider, sampler, sigmas, latent_image, vae, stop_step, stop_sigma)
        return io.NodeOutput(made.frames, made.latent, made.report)


class SelectAnchors(CheckedNode):
    """Finds where the video breaks and puts the mirrored reverse frame there."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenSelectAnchors",
            display_name="Select Anchors (AFB)",
            category="inbetween/anchor",
            description="Measures how much each frame differs from its neighbours, takes the worst place of the "
            "later half, and adds the candidate that shows that moment as a keyframe.",
            search_aliases=[
                "anchor frame bridging",
                "afb",
                "breakpoint",
                "lpips",
                "temporal consistency",
                "锚点帧",
                "断点",
                "アンカー",
            ],
            inputs=[
                KeyframesSocket.Input("keyframes", tooltip="The forward track; the anchors are added to it."),
                io.Image.Input(
                    "candidates",
                    tooltip="From Reverse Candidates: as many frames as the track, running backwards.",
                ),
                io.Image.Input(
                    "forward",
                    optional=True,
                    tooltip="A forward video without anchors. Connected, the break is measured on it (costs one more "
                    "sampling); open, on the candidates.",
                ),
                MetricSocket.Input(
                    "metric",
                    optional=True,
                    tooltip="Load LPIPS gives the paper's measure. Open: 1-SSIM, which needs no weights.",
                ),
                io.Combo.Input(
                    "score_on",
                    options=list(SCORE_ON),
                    default="auto",
                    tooltip="Video the break is measured on. auto: forward if connected, else reverse. disagreement: "
                    "the place where forward and the candidates differ most (ours). fixed: no search, the anchor goes "
                    "to fixed_alpha.",
                ),
                io.Int.Input(
                    "count",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="Anchors to add. The paper finds one best for 5 seconds.",
                ),
                io.Int.Input(
                    "margin",
                    default=8,
                    min=0,
                    max=1000,
                    tooltip="Frames around every keyframe where no anchor goes (ours; without it the jump onto the "
                    "last frame always wins).",
                ),
                io.Float.Input(
                    "fixed_alpha",
                    default=0.75,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Place of the anchor for score_on fixed, 0 is the start and 1 the end.",
                ),
                io.Float.Input(
                    "earliest",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the video before which no anchor goes (ours): the first half is the late one of "
                    "the reverse pass, where that is worn itself. 0 searches the whole video, as the paper does.",
                ),
                io.Float.Input(
                    "min_break",
                    default=0.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    tooltip="How bad a break must be for an anchor, in times the median change (ours). 0 always adds "
                    "one, as in the paper; 1.5 adds none to a video that changes evenly, where it would only cost.",
                ),
                io.Int.Input(
                    "rhythm",
                    default=4,
                    min=1,
                    max=64,
                    advanced=True,
                    tooltip="Frames after which a rhythm of the video repeats (ours). Each step is measured against "
                    "those at the same place of the rhythm, so that what the VAE does every 4 frames is not taken for "
                    "a break. 4 is right for Wan and HunyuanVideo, 1 is off.",
                ),
            ],
            outputs=[
                KeyframesSocket.Output(display_name="keyframes"),
                io.Image.Output(display_name="anchors"),
                io.Int.Output(display_name="breakpoint"),
                io.Float.Output(display_name="alpha"),
                io.Image.Output(display_name="plot"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(
        cls,
        keyframes: KeyframeTrack,
        candidates: io.Image.Type,
        score_on: str = "auto",
        count: int = 1,
        margin: int = 8,
        fixed_alpha: float = 0.75,
        earliest: float = 0.5,
        min_break: float = 0.0,
        rhythm: int = 4,
        forward: io.Image.Type | None = None,
        metric: PerceptualMetric | None = None,
    ) -> io.NodeOutput:
        settings = AnchorSettings(score_on, count, margin, fixed_alpha, earliest, min_break, rhythm)
        measure = metric or SSIMMetric(watch_frames)
        found = select_anchors(keyframes, candidates, measure, settings, forward, fitted_ends(keyframes))
        # shown here: a preview would keep the reverse pass running where this node is bypassed
        shown = [picture for images in (found.plot, found.anchors) for picture in ui.PreviewImage(images).values]
        return io.NodeOutput(
            found.track,
            found.anchors,
            found.frames[0],
            found.alpha,
            found.plot,
            found.report,
            ui={"images": shown, "animated": (False,)},
        )


class LoadLPIPS(CheckedNode):
    """Loads the perceptual distance of the paper from weights the user has."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        files = backbone_files()
        return io.Schema(
            node_id="InbetweenLoadLPIPS",
            display_name="Load LPIPS",
            category="inbetween/anchor",
            description="A perceptual distance (LPIPS) with the network you put into models/lpips: torchvision's "
            "AlexNet, SqueezeNet 1.1 or VGG16.",
            search_aliases=[
                "perceptual distance",
                "alexnet",
                "vgg16",
                "squeezenet",
                "metric",
                "感知距离",
                "知覚距離",
            ],
            inputs=[
                FileInput(
                    "backbone",
                    options=files,
                    default=files[0] if files else "alexnet-owt-7be5be79.pth",
                    tooltip="A file in models/lpips. AlexNet is the usual choice, SqueezeNet the smallest (5 MB), "
                    "VGG16 the slowest.",
                )
            ],
            outputs=[MetricSocket.Output(display_name="metric")],
        )

    @classmethod
    def validate_inputs(cls, backbone: str | None = None) -> bool | str:
        if backbone is None:
            return True  # linked: its value is known when the graph runs
        try:
            backbone_path(backbone)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, backbone: str | None = None) -> str:
        if backbone is None:
            return ""
        status = os.stat(backbone_path(backbone))
        return f"{backbone}:{status.st_size}:{status.st_mtime_ns}"

    @classmethod
    def execute(cls, backbone: str) -> io.NodeOutput:
        return io.NodeOutput(load_lpips(backbone))
