"""Nodes that turn a keyframe track into a model's conditioning."""

from comfy_api.latest import io

from ..frames.hunyuan_conditioning_host import hunyuan_conditioning
from ..frames.keyframe_track import KeyframeTrack
from ..frames.svd_conditioning_host import svd_conditioning
from ..frames.wan_conditioning_host import wan_conditioning
from ..frames.wan_layout import PLACEMENTS
from .checked_node import CheckedNode
from .sockets import KeyframesSocket


class WanConditioning(CheckedNode):
    """Conditions Wan on every keyframe of a track."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenWanConditioning",
            display_name="Keyframes to Wan",
            category="inbetween/conditioning",
            description="Conditions Wan 2.1 I2V, FLF2V, Wan 2.2 14B I2V or Wan 2.2 5B on all keyframes. With only a "
            "first and a last one it is the host's WanFirstLastFrameToVideo.",
            search_aliases=[
                "wan first last frame",
                "flf2v",
                "i2v",
                "multi keyframe wan",
                "anchor frame bridging",
                "万相 首尾帧",
                "Wan 最初 最後",
            ],
            inputs=[
                io.Conditioning.Input("positive", tooltip="The prompt."),
                io.Conditioning.Input("negative", tooltip="The negative prompt."),
                io.Vae.Input("vae", tooltip="wan_2.1_vae for Wan 2.1 and Wan 2.2 14B, wan2.2_vae for Wan 2.2 5B."),
                KeyframesSocket.Input("keyframes", tooltip="The track."),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="clip_vision_h: needed by Wan 2.1 I2V and FLF2V, not used by Wan 2.2. Reads the first and "
                    "the last keyframe.",
                ),
                io.Combo.Input(
                    "placement",
                    options=list(PLACEMENTS),
                    default="snap",
                    tooltip="How keyframes between the ends are held. snap: on the nearest frame 4n, as Wan holds its "
                    "own last frame. exact: on the very frame. snap_full: on frame 4n, firmly. repeat4: on four "
                    "frames, firmly. own_latent: encoded alone. The ends are always exact. The report says where "
                    "each one landed.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="Videos at once. Time and memory grow with it.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Only checked: a model that does not fit the VAE, clip_vision or keyframes is told before "
                    "sampling. It is not changed.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
                io.Latent.Output(display_name="latent"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(
        cls,
        positive: io.Conditioning.Type,
        negative: io.Conditioning.Type,
        vae: io.Vae.Type,
        keyframes: KeyframeTrack,
        placement: str = "snap",
        batch_size: int = 1,
        clip_vision: io.ClipVision.Type | None = None,
        model: io.Model.Type | None = None,
    ) -> io.NodeOutput:
        made = wan_conditioning(positive, negative, vae, keyframes, clip_vision, placement, batch_size, model)
        return io.NodeOutput(made.positive, made.negative, made.latent, made.report)


class HunyuanConditioning(CheckedNode):
    """Conditions HunyuanVideo on every keyframe of a track."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenHunyuanConditioning",
            display_name="Keyframes to HunyuanVideo",
            category="inbetween/conditioning",
            description="Conditions HunyuanVideo I2V v1 or 1.5 I2V on all keyframes. With only a first one it is the "
            "host's own node; later ones use the model's mask in a way it has not learned. Not for I2V v2 'replace' "
            "and T2V.",
            search_aliases=[
                "hunyuan first last frame",
                "hunyuan i2v",
                "hunyuanvideo 1.5",
                "multi keyframe hunyuan",
                "anchor frame bridging",
                "混元 首尾帧",
                "Hunyuan 最初 最後",
            ],
            is_experimental=True,
            inputs=[
                io.Conditioning.Input(
                    "positive",
                    tooltip="The prompt. For I2V v1 from TextEncodeHunyuanVideo_ImageToVideo, which also reads the "
                    "first picture.",
                ),
                io.Conditioning.Input(
                    "negative",
                    tooltip="The negative prompt. Without cfg (Basic Guider, as I2V v1 is used) it is not read: "
                    "connect the prompt again.",
                ),
                io.Vae.Input(
                    "vae",
                    tooltip="hunyuan_video_vae_bf16 for I2V v1, hunyuanvideo15_vae_fp16 for HunyuanVideo 1.5. It "
                    "decides which of the two is conditioned.",
                ),
                KeyframesSocket.Input(
                    "keyframes",
                    tooltip="The track, with a first keyframe. Each later one is held on the four frames of its "
                    "latent frame; the report says which.",
                ),
                io.Int.Input(
                    "batch_size",
                    default=1,
                    min=1,
                    max=4096,
                    tooltip="Videos at once. Time and memory grow with it.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="sigclip_vision_patch14_384: HunyuanVideo 1.5 was trained with it, I2V v1 does not use it. "
                    "Reads the first keyframe.",
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="Only checked: a model that would not see the keyframes, such as I2V v2 'replace', is told "
                    "before sampling. It is not changed.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
                io.Latent.Output(display_name="latent"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(
        cls,
        positive: io.Conditioning.Type,
        negative: io.Conditioning.Type,
        vae: io.Vae.Type,
        keyframes: KeyframeTrack,
        batch_size: int = 1,
        clip_vision: io.ClipVision.Type | None = None,
        model: io.Model.Type | None = None,
    ) -> io.NodeOutput:
        made = hunyuan_conditioning(positive, negative, vae, keyframes, batch_size, clip_vision, model)
        return io.NodeOutput(made.positive, made.negative, made.latent, made.report)


class SVDConditioning(CheckedNode):
    """Conditions SVD on the first picture forward in time and on the last backward."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenSVDConditioning",
            display_name="Keyframes to SVD",
            category="inbetween/conditioning",
            description="Conditions SVD and SVD-XT in both directions of time, for the Bidirectional Guider. Takes a "
            "first and a last keyframe; 14 frames for SVD, 25 for SVD-XT.",
            search_aliases=[
                "svd first last frame",
                "svd img2vid",
                "generative inbetweening",
                "SVD 首尾帧",
                "SVD 最初 最後",
            ],
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="Of the SVD checkpoint."),
                io.Vae.Input("vae", tooltip="Of the SVD checkpoint."),
                KeyframesSocket.Input(
                    "keyframes", tooltip="A track with a first and a last keyframe; its fps is used."
                ),
                io.Int.Input(
                    "motion_bucket_id",
                    default=127,
                    min=1,
                    max=1023,
                    tooltip="How much motion: 127 is usual, lower is calmer.",
                ),
                io.Float.Input(
                    "augmentation_level",
                    default=0.02,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip="Noise on the pictures, in colours 0 to 1. More frees the model from them.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=True,
                    tooltip="Of that noise; both pictures get the same.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="forward_positive"),
                io.Conditioning.Output(display_name="forward_negative"),
                io.Conditioning.Output(display_name="backward_positive"),
                io.Conditioning.Output(display_name="backward_negative"),
                io.Latent.Output(display_name="latent"),
            ],
        )

    @classmethod
    def execute(
        cls,
        clip_vision: io.ClipVision.Type,
        vae: io.Vae.Type,
        keyframes: KeyframeTrack,
        motion_bucket_id: int = 127,
        augmentation_level: float = 0.02,
        seed: int = 0,
    ) -> io.NodeOutput:
        made = svd_conditioning(clip_vision, vae, keyframes, motion_bucket_id, augmentation_level, seed)
        return io.NodeOutput(*made.forward, *made.backward, made.latent)
