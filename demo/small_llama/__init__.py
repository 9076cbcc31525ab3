"""Lets a server build the small Llama that stands for HunyuanVideo's text encoder, of which the host knows one size.

Put beside the pack in the servers of the tests and of ./dev serve; it has no nodes. The pack itself changes nothing in
the host.
"""

CONFIG = {
    "num_hidden_layers": 4,  # HunyuanVideo reads what the third last one gives
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
    "vocab_size": 1024,
}


async def comfy_entrypoint():
    from comfy_api.latest import ComfyExtension

    class SmallLlamaExtension(ComfyExtension):
        async def on_load(self) -> None:
            use_small_llama()

        async def get_node_list(self) -> list:
            return []

    return SmallLlamaExtension()


def use_small_llama() -> None:
    """Makes the host build HunyuanVideo's text encoder with CONFIG; words share the rows of a small vocabulary."""
    import comfy.text_encoders.hunyuan_video as host

    class SmallLlama(host.LLAMAModel):
        def __init__(self, *arguments, model_options=None, **options):
            sized = {**(model_options or {}), "llama_model_config": CONFIG}
            super().__init__(*arguments, model_options=sized, **options)
            rows = self.transformer.model.embed_tokens
            rows.register_forward_pre_hook(lambda module, given: (given[0] % CONFIG["vocab_size"], *given[1:]))

    host.LLAMAModel = SmallLlama
