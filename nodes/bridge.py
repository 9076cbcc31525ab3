"""Bridges: a first guess of the video between the keyframes, and the sampler that goes from it to a video."""

from comfy_api.latest import io

from ..frames.bridge_prior import KINDS
from ..frames.bridge_prior_host import bridge_prior
from ..frames.keyframe_track import KeyframeTrack
from ..samplers.bridge import SOLVERS
from ..samplers.bridge_sampler_host import MODES, BridgeSettings
from ..samplers.bridge_sampler_host import BridgeSampler as Sampler
from ..samplers.bridge_schedule import LARGEST_BETA_1, SCHEDULES, SMALLEST_BETA_1, BridgeSchedule
from ..samplers.neural_prior_host import neural_prior
from .checked_node import CheckedNode
from .sockets import KeyframesSocket


class BridgePrior(CheckedNode):
    """A first guess of the video, from the keyframes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenBridgePrior",
            display_name="Bridge Prior",
            category="inbetween/bridge",
            description="A first guess of the whole video for Bridge Sampler: one keyframe held still, a passage from "
            "keyframe to keyframe, or the frames of an interpolator such as RIFE or FILM.",
            search_aliases=[
                "framebridge",
                "interpolated latent",
                "crossfade latent",
                "img2vid prior",
                "interpolate",
                "桥接先验",
                "ブリッジ 事前",
            ],
            inputs=[
                KeyframesSocket.Input(
                    "keyframes", tooltip="The track; one keyframe is enough. Those of strength 1 can be pinned."
                ),
                io.Vae.Input("vae", tooltip="Of the model that goes on from the prior: Wan, HunyuanVideo or SVD."),
                io.Combo.Input(
                    "kind",
                    options=list(KINDS),
                    default="linear",
                    tooltip="linear, slerp: from one keyframe's latent to the next. nearest: each is held until half "
                    "way. pixel: the pictures are cross-faded and encoded as a video.",
                ),
                io.Image.Input(
                    "frames",
                    optional=True,
                    tooltip="The whole video as an interpolator made it, as many frames as the track says. Used "
                    "instead of kind; the keyframes then only say what is pinned.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="prior")],
        )

    @classmethod
    def execute(
        cls,
        keyframes: KeyframeTrack,
        vae: io.Vae.Type,
        kind: str = "linear",
        frames: io.Image.Type | None = None,
    ) -> io.NodeOutput:
        return io.NodeOutput(bridge_prior(keyframes, vae, kind, frames))


class NeuralPrior(CheckedNode):
    """A better first guess, by one call of a model that was trained for it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenNeuralPrior",
            display_name="Neural Prior",
            category="inbetween/bridge",
            description="One call of a model that was trained to guess the video from its keyframes; its guess is the "
            "prior. With any other model the guess is noise.",
            search_aliases=[
                "framebridge",
                "prior network",
                "神经先验",
                "ニューラル 事前",
            ],
            inputs=[
                io.Model.Input("model", tooltip="With weights trained as a prior (training/neural_prior.py)."),
                io.Conditioning.Input("positive", tooltip="The prompt, with the keyframes as the model takes them."),
                io.Latent.Input("latent", tooltip="From Bridge Prior, of the kind that the weights were trained on."),
            ],
            outputs=[io.Latent.Output(display_name="prior")],
        )

    @classmethod
    def execute(cls, model: io.Model.Type, positive: io.Conditioning.Type, latent: dict) -> io.NodeOutput:
        return io.NodeOutput(neural_prior(model, positive, latent))


class BridgeSampler(CheckedNode):
    """From a prior to a video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenBridgeSampler",
            display_name="Bridge Sampler",
            category="inbetween/bridge",
            description="Begins on a first guess of the video instead of on noise. sdedit repaints the guess with any "
            "model; the other modes walk FrameBridge's bridge, for weights trained on it.",
            search_aliases=[
                "framebridge",
                "sdedit",
                "video to video",
                "interpolate latent",
                "bridge",
                "桥接采样",
                "ブリッジ サンプラー",
            ],
            inputs=[
                io.Latent.Input("prior", tooltip="From Bridge Prior or Neural Prior; as large as the latent."),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="sdedit",
                    tooltip="sdedit: the prior is noised to the scheduler's first noise level and repainted; at "
                    "denoise 1 nothing is left of it. Aim at a first level of 0.85 to 0.97: denoise 0.4 to 0.8 with "
                    "Wan. saf: for bridge-trained weights; with others it equals ordinary ancestral sampling and the "
                    "prior has no say. unaligned, partial: the prior is left in what the model sees, whole or in part; "
                    "an experiment with ordinary weights. These three use only the number of steps.",
                ),
                io.Combo.Input(
                    "schedule",
                    options=list(SCHEDULES),
                    default="gmax",
                    advanced=True,
                    tooltip="The bridge's noise over time. gmax is the paper's, with beta 0.01 and 50; for vp take 0.1 "
                    "and 20. Not for sdedit.",
                ),
                io.Combo.Input(
                    "solver",
                    options=list(SOLVERS),
                    default="sde",
                    tooltip="sde: new noise in every step, the paper's. ode: none after the start. ode_2: finer, two "
                    "calls a step. euler_maruyama: coarse, for comparison.",
                ),
                io.Float.Input(
                    "centring",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="For partial: how much of the prior is taken out of what the model sees. 1 is saf, 0 is "
                    "unaligned.",
                ),
                io.Float.Input(
                    "beta_0",
                    default=0.01,
                    min=1e-6,
                    max=LARGEST_BETA_1,
                    step=0.001,
                    round=False,
                    advanced=True,
                    tooltip="Noise per time at the video's end of the bridge; below beta_1.",
                ),
                io.Float.Input(
                    "beta_1",
                    default=50.0,
                    min=SMALLEST_BETA_1,
                    max=LARGEST_BETA_1,
                    step=0.1,
                    round=False,
                    advanced=True,
                    tooltip="Noise per time at the prior's end.",
                ),
                io.Boolean.Input(
                    "pin_keyframes",
                    default=True,
                    tooltip="The latents of keyframes of strength 1 stay exactly as in the prior.",
                ),
                io.Boolean.Input(
                    "prior_as_condition",
                    default=False,
                    advanced=True,
                    tooltip="Shows the model the prior in place of the condition's pictures, as weights of "
                    "training/bridge.py expect. Wan I2V and FLF2V only.",
                ),
            ],
            outputs=[io.Sampler.Output(display_name="sampler")],
        )

    @classmethod
    def execute(
        cls,
        prior: dict,
        mode: str = "sdedit",
        schedule: str = "gmax",
        solver: str = "sde",
        centring: float = 1.0,
        beta_0: float = 0.01,
        beta_1: float = 50.0,
        pin_keyframes: bool = True,
        prior_as_condition: bool = False,
    ) -> io.NodeOutput:
        settings = BridgeSettings(
            mode, solver, centring, pin_keyframes, prior_as_condition, BridgeSchedule(schedule, beta_0, beta_1)
        )
        return io.NodeOutput(Sampler(prior, settings))
