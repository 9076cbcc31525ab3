"""Nodes that prepare prompts."""

from comfy_api.latest import io

from ..frames.fit_host import fitted_pictures
from ..frames.keyframe_track import KeyframeTrack
from ..frames.reverse_prompt import reverse_instruction
from .checked_node import CheckedNode
from .sockets import KeyframesSocket


class ReversePrompt(CheckedNode):
    """Asks a vision-language model for the prompt of the reverse video."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenReversePrompt",
            display_name="Reverse Prompt (AFB)",
            category="inbetween/anchor",
            description="An instruction and the keyframes in reverse order for the host's Generate Text, which then "
            "writes the prompt of the reverse pass.",
            search_aliases=[
                "reverse prompt",
                "caption",
                "afb",
                "反向提示词",
                "逆再生 プロンプト",
            ],
            inputs=[
                KeyframesSocket.Input("keyframes", tooltip="The forward track."),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    tooltip="The forward prompt; its subject and style are kept. May be empty.",
                ),
            ],
            outputs=[io.String.Output(display_name="instruction"), io.Image.Output(display_name="images")],
        )

    @classmethod
    def execute(cls, keyframes: KeyframeTrack, prompt: str = "") -> io.NodeOutput:
        if not keyframes.keyframes:
            raise ValueError("keyframes is empty: connect first_image or last_image, or add a keyframe.")
        images = fitted_pictures(keyframes.reversed())
        instruction = reverse_instruction(len(images), keyframes.seconds, prompt)
        return io.NodeOutput(instruction, images)
