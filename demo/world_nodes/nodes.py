"""Loaders for the parts of the demo world that have no file."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .encoders_host import PictureEncoder, WordEncoder
from .svd_host import register_demo_svd


class Words(io.ComfyNode):
    """The text encoder of the demo world."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DemoWorldWords",
            display_name="Demo World Words",
            category="inbetween/demo world",
            description="Stands for the CLIP loader: a fixed table of the words that the demo world's captions use.",
            inputs=[],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(WordEncoder())


class Pictures(io.ComfyNode):
    """The image encoder of the demo world."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="DemoWorldPictures",
            display_name="Demo World Pictures",
            category="inbetween/demo world",
            description="Stands for the CLIP Vision loader: fixed projections of a picture.",
            inputs=[],
            outputs=[io.ClipVision.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(PictureEncoder())


class DemoWorldExtension(ComfyExtension):
    """The demo world's nodes and the size of its SVD."""

    async def on_load(self) -> None:
        register_demo_svd()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [Words, Pictures]
