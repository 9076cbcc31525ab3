"""ComfyUI-Inbetween: native nodes for generative inbetweening."""


async def comfy_entrypoint():
    from .nodes import InbetweenExtension

    return InbetweenExtension()
