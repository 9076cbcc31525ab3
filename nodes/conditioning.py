"""Nodes that turn a keyframe track into a model's conditioning."""

from comfy_api.latest import io

from ..frames.keyframe_track import KeyframeTrack
from ..frames.wan_conditioning_host import wan_conditioning
from ..frames.wan_layout import PLACEMENTS
from .sockets import KeyframesSocket


class WanConditioning(io.ComfyNode):
    """Conditions Wan on every keyframe of a track."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenWanConditioning",
            display_name="Keyframes to Wan",
            category="inbetween/conditioning",
            description="Conditions Wan 2.1 I2V, FLF2V, Wan 2.2 14B I2V or Wan 2.2 5B on all keyframes. With only a "
            "first and a last one it is the host's WanFirstLastFrameToVideo.",
            search_aliases=["wan first last frame", "flf2v", "i2v", "multi keyframe wan", "anchor frame bridging"],
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
