"""Attention towards the keyframes (KAB) and time inside the rotary embedding (ReTRo): MODEL in, MODEL out."""

from comfy_api.latest import io

from ..frames.attention_plot import AttentionCurve, attention_plot, attention_report
from ..frames.keyframe_track import KeyframeTrack
from ..frames.wan_layout import snapped_latents
from ..patches.attention_record_host import record_attention
from ..patches.keyframe_attention_host import add_keyframe_attention
from ..patches.keyframe_attention_settings import BRANCHES
from ..patches.keyframe_attention_settings import KeyframeAttention as AttentionSettings
from ..patches.temporal_rope import MODES
from ..patches.temporal_rope import TemporalRoPE as RoPESettings
from ..patches.temporal_rope_host import add_temporal_rope
from ..samplers.conditioned_video import check_guided_video
from .checked_node import CheckedNode
from .sockets import KeyframesSocket


class KeyframeAttention(CheckedNode):
    """Leads every frame's attention from the first keyframe's to the last's."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenKeyframeAttention",
            display_name="Keyframe Attention (KAB)",
            category="inbetween/attention",
            description="Steadies the way between two keyframes: the first picture, the last picture and the text are "
            "looked at apart, and early in the sampling every frame's attention is led from the first frame's to the "
            "last's. Put it between the model loader and the guider. Wan 2.1 and 2.2; on Wan 2.2 14B put it on both "
            "models.",
            search_aliases=[
                "KAB",
                "anchor attention",
                "flf2v attention",
                "TGI",
                "keyframe anchored attention bias",
                "注意力",
                "アテンション",
            ],
            inputs=[
                io.Model.Input("model", tooltip="Wan 2.1 (FLF2V, I2V, T2V) or Wan 2.2. It is not changed."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How strongly attention is led. 1 is the paper's; 0 is exactly off, isolation too.",
                ),
                io.Boolean.Input(
                    "isolate",
                    default=True,
                    advanced=True,
                    tooltip="First and last picture are looked at apart, each with full attention, at every step and "
                    "in every block. Off: together, as in stock Wan. Has an effect with two pictures only.",
                ),
                io.Float.Input(
                    "text_weight",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Weight of the prompt's attention; 1 is the model's own.",
                ),
                io.Float.Input(
                    "first_weight",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Weight of the first picture's attention. With isolate, 0.5 and 0.5 keep stock Wan's sum.",
                ),
                io.Float.Input(
                    "last_weight",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    advanced=True,
                    tooltip="Weight of the last picture's attention.",
                ),
                io.Float.Input(
                    "beta_end",
                    default=0.7,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Bias of the frames beside a keyframe; 1 leads their mean all the way.",
                ),
                io.Float.Input(
                    "beta_mid",
                    default=0.3,
                    min=0.0,
                    max=2.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Bias of the frames half-way between keyframes.",
                ),
                io.Float.Input(
                    "epsilon",
                    default=5e-4,
                    min=1e-5,
                    max=0.1,
                    step=1e-5,
                    round=False,
                    advanced=True,
                    tooltip="Share of attention below which image and text tokens are left as they are.",
                ),
                io.String.Input(
                    "blocks",
                    default="5-12",
                    advanced=True,
                    tooltip="Blocks of the model that are biased, such as 5-12 or 0,3,8-10. Empty: 12.5 % to 32.5 % of "
                    "the depth (4-9 of Wan 1.3B's 30).",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="The bias is on after this share of the steps (0: from the second step).",
                ),
                io.Float.Input(
                    "end_percent",
                    default=0.4,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="The bias is on up to this share of the steps (0.4: step 20 of 50). Isolation stays on.",
                ),
                io.Combo.Input(
                    "branches",
                    options=list(BRANCHES),
                    default="all",
                    advanced=True,
                    tooltip="Which attention is biased: all, to the text only, to the pictures only.",
                ),
                io.Boolean.Input(
                    "on_negative",
                    default=False,
                    advanced=True,
                    tooltip="Biases the negative prompt's pass as well.",
                ),
                io.Boolean.Input(
                    "weights_by_position",
                    default=False,
                    advanced=True,
                    tooltip="Beyond the paper: frames near the start look more at the first picture, near the end more "
                    "at the last (2 and 0 at the ends, 1 and 1 half-way), times first_weight and last_weight.",
                ),
                KeyframesSocket.Input(
                    "keyframes",
                    optional=True,
                    advanced=True,
                    tooltip="Beyond the paper: a track whose keyframes between the ends are anchors too, where "
                    "placement snap holds them.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model")],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        strength: float = 1.0,
        isolate: bool = True,
        text_weight: float = 1.0,
        first_weight: float = 1.0,
        last_weight: float = 1.0,
        beta_end: float = 0.7,
        beta_mid: float = 0.3,
        epsilon: float = 5e-4,
        blocks: str = "5-12",
        start_percent: float = 0.0,
        end_percent: float = 0.4,
        branches: str = "all",
        on_negative: bool = False,
        weights_by_position: bool = False,
        keyframes: KeyframeTrack | None = None,
    ) -> io.NodeOutput:
        if strength == 0:
            return io.NodeOutput(model)
        settings = AttentionSettings(
            strength=strength,
            isolate=isolate,
            text_weight=text_weight,
            first_weight=first_weight,
            last_weight=last_weight,
            beta_end=beta_end,
            beta_mid=beta_mid,
            epsilon=epsilon,
            blocks=blocks,
            start_percent=start_percent,
            end_percent=end_percent,
            branches=branches,
            on_negative=on_negative,
            weights_by_position=weights_by_position,
            keyframes=() if keyframes is None else snapped_latents(keyframes),
            length=0 if keyframes is None else keyframes.length,
        )
        return io.NodeOutput(add_keyframe_attention(model, settings))


class TemporalRoPE(CheckedNode):
    """Lets time run at another scale at the ends of the video than in its middle."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenTemporalRoPE",
            display_name="Temporal RoPE (ReTRo)",
            category="inbetween/attention",
            description="Binds the frames near the keyframes closer to each other in time and frees those in the "
            "middle. Put it between the model loader and the guider, before or after Keyframe Attention. Wan 2.1, "
            "Wan 2.2 and HunyuanVideo; on Wan 2.2 14B put it on both models.",
            search_aliases=[
                "ReTRo",
                "rescaled temporal rope",
                "rope scale",
                "TGI",
                "时间位置编码",
                "時間 位置符号化",
            ],
            inputs=[
                io.Model.Input("model", tooltip="Wan 2.1, Wan 2.2 or HunyuanVideo. It is not changed."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How far the scales are from 1. 1 is the paper's, 0 is exactly off.",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="amplitude",
                    tooltip="amplitude: how much time counts in attention (the paper's code). phase: where each frame "
                    "stands in time. warp: the steps of time between frames, the same in both directions.",
                ),
                io.Float.Input(
                    "edge_scale",
                    default=1.06,
                    min=0.1,
                    max=4.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Scale near the first and the last frame.",
                ),
                io.Float.Input(
                    "mid_scale",
                    default=0.94,
                    min=0.1,
                    max=4.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Scale in the middle.",
                ),
                io.Int.Input(
                    "edge_frames",
                    default=0,
                    min=0,
                    max=8192,
                    advanced=True,
                    tooltip="Video frames at each end that count as near. 0: from the length (25: 2, 33: 3, 65: 6, "
                    "81: 8, else a tenth). Less than half the video.",
                ),
                io.Int.Input(
                    "smooth_radius",
                    default=2,
                    min=0,
                    max=64,
                    advanced=True,
                    tooltip="How softly the scales change, in latent frames (4 video frames) to each side.",
                ),
                io.String.Input(
                    "blocks",
                    default="",
                    advanced=True,
                    tooltip="Blocks of the model, such as 0-19 or 3,5. Empty: all.",
                ),
                io.Boolean.Input(
                    "balance",
                    default=False,
                    advanced=True,
                    tooltip="Beyond the paper: mid_scale is chosen from the length so that the scales average 1 and "
                    "the video keeps its extent in time; mid_scale is not used.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model")],
        )

    @classmethod
    def execute(
        cls,
        model: io.Model.Type,
        strength: float = 1.0,
        mode: str = "amplitude",
        edge_scale: float = 1.06,
        mid_scale: float = 0.94,
        edge_frames: int = 0,
        smooth_radius: int = 2,
        blocks: str = "",
        balance: bool = False,
    ) -> io.NodeOutput:
        if strength == 0:
            return io.NodeOutput(model)
        settings = RoPESettings(strength, mode, edge_scale, mid_scale, edge_frames, smooth_radius, blocks, balance)
        return io.NodeOutput(add_temporal_rope(model, settings))


class AttentionPlot(CheckedNode):
    """Shows what Keyframe Attention does at one step."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenAttentionPlot",
            display_name="Attention Plot (KAB)",
            category="inbetween/attention",
            description="Samples up to one step and draws whose attention each frame's resembles, the first frame's "
            "or the last's, before and after Keyframe Attention. It makes no video.",
            search_aliases=[
                "attention map",
                "KAB debug",
                "attention report",
                "注意力图",
                "アテンション 図",
            ],
            inputs=[
                io.Noise.Input("noise", tooltip="As for the video."),
                io.Guider.Input("guider", tooltip="A guider whose model has Keyframe Attention."),
                io.Sigmas.Input("sigmas", tooltip="The whole schedule, as for the video."),
                io.Latent.Input("latent_image", tooltip="As for the video."),
                io.Int.Input(
                    "step",
                    default=5,
                    min=1,
                    max=10000,
                    tooltip="Step that is drawn. The paper biases steps 1 to 20 of 50.",
                ),
            ],
            outputs=[io.Image.Output(display_name="plot"), io.String.Output(display_name="report")],
        )

    @classmethod
    def execute(
        cls,
        noise: io.Noise.Type,
        guider: io.Guider.Type,
        sigmas: io.Sigmas.Type,
        latent_image: dict,
        step: int = 5,
    ) -> io.NodeOutput:
        check_guided_video("latent_image", latent_image["samples"], guider)
        branches = record_attention(noise, guider, sigmas, latent_image, step)
        curves = {name: AttentionCurve(*item.places, *item.distances) for name, item in branches.items()}
        blocks = max(item.blocks for item in branches.values())
        title = f"Keyframe Attention at step {step} of {len(sigmas) - 1}, biased blocks: {blocks}"
        return io.NodeOutput(attention_plot(curves, title), attention_report(curves, title))
