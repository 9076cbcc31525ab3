"""Lets a server load a CLIP vision with fewer layers than the host builds for its kind: those that its file has.

Put beside the pack in the servers of the tests and of ./dev serve; it has no nodes. A released file has all layers and
loads as ever. The pack itself changes nothing in the host.
"""

LAYERS = 2  # the last but one is what Wan reads


async def comfy_entrypoint():
    from comfy_api.latest import ComfyExtension

    class SmallClipVisionExtension(ComfyExtension):
        async def on_load(self) -> None:
            use_small_clip_vision()

        async def get_node_list(self) -> list:
            return []

    return SmallClipVisionExtension()


def use_small_clip_vision() -> None:
    """Makes the host drop the layers of a CLIP vision after the first that its file does not have."""
    import comfy.clip_vision as host

    class SmallClipVision(host.ClipVisionModel):
        def load_sd(self, sd):
            if hasattr(self.model, "vision_model"):
                layers = self.model.vision_model.encoder.layers
                key = "vision_model.encoder.layers.{}.layer_norm1.weight"
                held = next((number for number in range(len(layers)) if key.format(number) not in sd), len(layers))
                del layers[held:]
            return super().load_sd(sd)

    host.ClipVisionModel = SmallClipVision
