"""The attention contract of ComfyUI 0.40, laid over this host's: tensors in containers, and a kernel that is preferred.

There q, k and v come in containers that can be emptied once. An override without `container_function` gets the tensors,
and the model's preferred kernel is not asked; without an override the preferred kernel is.
"""

import pytest
import torch

KAB = {"blocks": "0-1"}
EARLY = torch.tensor([0.95])


class Container:
    """A tensor that can be taken once."""

    def __init__(self, tensor):
        self._held = [tensor]

    def take(self):
        return self._held.pop()


class NewerAttention:
    """What Wan's blocks call, as 0.40 dispatches it; counts the calls of an override and of the preferred kernel."""

    def __init__(self, stock):
        self.function = stock.__wrapped__
        self.overridden = self.preferred = 0

    def __call__(self, q, k, v, *args, transformer_options, **kwargs):
        containers = [Container(tensor) for tensor in (q, k, v)]
        kwargs |= {"transformer_options": transformer_options, "_inside_attn_wrapper": True}
        override = transformer_options.get("optimized_attention_override")
        assert not hasattr(override, "container_function")  # it would be given the containers
        if override is None:
            self.preferred += 1
            return self.rounded(*(one.take() for one in containers), *args, **kwargs)
        self.overridden += 1
        return override(self.function, *(one.take() for one in containers), *args, **kwargs)

    def rounded(self, q, k, v, *args, **kwargs):
        """The preferred kernel: q and k in 8 bits."""
        q, k = ((x / x.abs().max() * 127).round() * x.abs().max() / 127 for x in (q, k))
        return self.function(q, k, v, *args, **kwargs)


@pytest.fixture
def newer(host, monkeypatch):
    """Lays the double over Wan's attention from this call on."""
    import comfy.ldm.wan.model

    def lay():
        double = NewerAttention(comfy.ldm.wan.model.optimized_attention)
        monkeypatch.setattr(comfy.ldm.wan.model, "optimized_attention", double)
        return double

    return lay


@pytest.mark.parametrize("rope", [None, {}], ids=["alone", "with Temporal RoPE"])
def test_keyframe_attention_is_the_same_and_the_preferred_kernel_is_not_asked(
    rope, newer, load_wan, wan_inputs, with_attention, model_call
):
    model, inputs = with_attention(load_wan("flf2v"), KAB, rope), wan_inputs("flf2v")
    expected = model_call(model, sigma=EARLY, **inputs)
    double = newer()
    assert torch.equal(model_call(model, sigma=EARLY, **inputs), expected)
    assert (double.overridden, double.preferred) == (6, 0)  # two blocks: self, text and pictures


def test_temporal_rope_alone_leaves_the_preferred_kernel_at_work(
    newer, load_wan, wan_inputs, with_attention, model_call
):
    plain, inputs = load_wan("flf2v"), wan_inputs("flf2v")
    model = with_attention(plain, None, {})
    expected = model_call(model, sigma=EARLY, **inputs)
    double = newer()
    found = model_call(model, sigma=EARLY, **inputs)
    assert (double.overridden, double.preferred) == (0, 6)
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)  # as near as 8 bits are
    assert not torch.allclose(found, model_call(plain, sigma=EARLY, **inputs), atol=1e-4)


def test_the_recorder_draws_the_same(newer, host, load_wan, conditioned, with_attention):
    from pack.patches.attention_record_host import record_attention

    nodes = host.NODE_CLASS_MAPPINGS
    model = with_attention(load_wan("flf2v"), KAB)
    guider = nodes["CFGGuider"].execute(model, *conditioned("flf2v"), 3.0).args[0]
    noise = nodes["RandomNoise"].execute(1).args[0]
    given = noise, guider, torch.linspace(1, 0, 4), {"samples": torch.zeros(1, 16, 5, 4, 6)}, 1
    expected = record_attention(*given)
    double = newer()
    found = record_attention(*given)
    assert double.overridden > 0 == double.preferred
    for name, branch in expected.items():
        for ours, theirs in zip(
            (*found[name].places, *found[name].distances), (*branch.places, *branch.distances), strict=True
        ):
            assert torch.equal(ours, theirs)
