"""Lets a server know the small SVD that stands for svd_xt.safetensors: the host tells SVD by its width.

Put beside the pack in the servers of the tests and of ./dev serve; it has no nodes. The pack itself adds nothing to the
host's list.
"""

CHANNELS, HEAD_SIZE = 32, 16


async def comfy_entrypoint():
    from comfy_api.latest import ComfyExtension

    class SmallSVDExtension(ComfyExtension):
        async def on_load(self) -> None:
            register_small_svd()

        async def get_node_list(self) -> list:
            return []

    return SmallSVDExtension()


def register_small_svd() -> None:
    """Adds SVD with the small width and number of head channels to what the host's loaders know, once."""
    import comfy.supported_models

    known = comfy.supported_models.SVD_img2vid
    if any(model.__name__ == "SmallSVD" for model in comfy.supported_models.models):
        return
    fields = {
        "unet_config": {**known.unet_config, "model_channels": CHANNELS},
        "unet_extra_config": {**known.unet_extra_config, "num_head_channels": HEAD_SIZE},
    }
    comfy.supported_models.models.insert(0, type("SmallSVD", (known,), fields))
