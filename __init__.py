"""ComfyUI-Inbetween: native nodes for generative inbetweening."""

WEB_DIRECTORY = "./web"  # the nodes' pages


async def comfy_entrypoint():
    from .nodes import InbetweenExtension

    return InbetweenExtension()
