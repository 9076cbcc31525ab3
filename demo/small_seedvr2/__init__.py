"""Lets a server know the small SeedVR2 that stands for the released one: the host tells it by its layers alone.

Put beside the pack in the servers of the tests and of ./dev serve; it has no nodes. A released transformer still loads
there, the released VAE does not: the host builds every SeedVR2 VAE in one width, and that is the small one's. Hosts
without SeedVR2 are left as they are. The pack itself changes nothing in the host.
"""

from importlib.util import find_spec

WIDTH, VAE_WIDTHS = 32, (32, 32, 32, 32)
SMALL = {"vid_dim": WIDTH, "heads": 1, "head_dim": WIDTH, "rope_dim": WIDTH}


async def comfy_entrypoint():
    from comfy_api.latest import ComfyExtension

    class SmallSeedVR2Extension(ComfyExtension):
        async def on_load(self) -> None:
            register_small_seedvr2()

        async def get_node_list(self) -> list:
            return []

    return SmallSeedVR2Extension()


def host_has_seedvr2() -> bool:
    return find_spec("comfy.ldm.seedvr") is not None


def register_small_seedvr2() -> None:
    """Adds SeedVR2 with the small width to what the host's loaders know, once, and makes its VAE small."""
    if not host_has_seedvr2():
        return
    import comfy.ldm.seedvr.vae
    import comfy.supported_models

    if any(model.__name__ == "SmallSeedVR2" for model in comfy.supported_models.models):
        return

    known = comfy.supported_models.SeedVR2

    class SmallSeedVR2(known):
        unet_extra_config = SMALL

        @classmethod
        def matches(cls, unet_config, state_dict=None, unet_key_prefix=""):
            if not super().matches(unet_config, state_dict, unet_key_prefix) or state_dict is None:
                return False
            return state_dict[f"{unet_key_prefix}vid_in.proj.weight"].shape[0] == WIDTH

    comfy.supported_models.models.insert(0, SmallSeedVR2)
    comfy.ldm.seedvr.vae.BYTEDANCE_BLOCK_OUT_CHANNELS = VAE_WIDTHS
