"""Nodes of the demo world, put beside the pack for ./dev demo: what stands for UMT5, CLIP and SVD's size."""


async def comfy_entrypoint():
    from .nodes import DemoWorldExtension

    return DemoWorldExtension()
