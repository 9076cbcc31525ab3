"""ComfyUI-Inbetween: native nodes for generative inbetweening."""

WEB_DIRECTORY = "./web"  # the nodes' pages, and the script for ComfyUI's page


async def comfy_entrypoint():
    from .nodes import InbetweenExtension

    return InbetweenExtension()
