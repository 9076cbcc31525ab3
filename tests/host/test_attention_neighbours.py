"""Keyframe Attention and Temporal RoPE beside other nodes: overrides, block patches, removal, compilation, scaling."""

import logging
import re
from unittest.mock import patch

import pytest
import torch

from pack.patches.temporal_rope import MODES, frame_scales, rescaled_positions

KAB = {"blocks": "0-1"}
EARLY, LATE = torch.tensor([0.95]), torch.tensor([0.3])  # inside and outside the window
OVERRIDE = "optimized_attention_override"
ROUNDED = {"atol": 2e-4, "rtol": 0}  # the host's own result changes by 8e-5 with the size of a batch
TEXT = 8  # tokens of the prompt; the video has 30
NODES = {
    "Keyframe Attention": (KAB, None, "inbetween.keyframe_attention"),
    "Temporal RoPE": (None, {}, "inbetween.temporal_rope"),
}


@pytest.fixture(params=["before", "after"])
def beside(request, with_attention):
    """A model with both nodes and another one, which changes a clone, before or after them."""

    def make(model, change, attention=KAB, rope=None):
        if request.param == "after":
            model = with_attention(model, attention, rope)
        model = model.clone()
        change(model)
        if request.param == "before":
            model = with_attention(model, attention, rope)
        return model

    return make


def override(function):
    def change(model):
        model.model_options["transformer_options"][OVERRIDE] = function

    return change


@pytest.mark.parametrize("kind", ["flf2v", "t2v"])
def test_a_counting_override_sees_every_attention_and_changes_nothing(
    load_wan, wan_inputs, with_attention, model_call, beside, kind
):
    seen = []

    def count(function, q, k, v, *args, **kwargs):
        seen.append(k.shape[1])
        return function(q, k, v, *args, **kwargs)

    inputs = wan_inputs(kind)
    model = beside(load_wan(kind), override(count), rope={})
    counted = model_call(model, sigma=EARLY, **inputs)
    assert seen == ([30, 257, 257, TEXT] if kind == "flf2v" else [30, TEXT]) * 2
    assert torch.equal(counted, model_call(with_attention(load_wan(kind), KAB, {}), sigma=EARLY, **inputs))


def test_what_a_scaling_override_does_remains_in_biased_blocks(
    load_wan, wan_inputs, with_attention, model_call, beside
):
    def half(function, q, k, v, *args, **kwargs):
        return function(q, k, v, *args, **kwargs) * (0.5 if k.shape[1] == TEXT else 1)

    inputs = wan_inputs("flf2v")
    halved = model_call(beside(load_wan("flf2v"), override(half)), sigma=EARLY, **inputs)
    expected = with_attention(load_wan("flf2v"), {**KAB, "text_weight": 0.5})
    torch.testing.assert_close(halved, model_call(expected, sigma=EARLY, **inputs), atol=1e-5, rtol=0)
    plain = with_attention(load_wan("flf2v"), KAB)
    assert not torch.allclose(halved, model_call(plain, sigma=EARLY, **inputs), atol=1e-3)


def test_what_an_override_does_to_keys_and_values_remains_in_biased_blocks(
    load_wan, wan_inputs, with_attention, model_call, beside
):
    """A node that leaves out the prompt's second half equals a prompt without it."""

    def shorten(function, q, k, v, *args, **kwargs):
        some = slice(TEXT // 2) if k.shape[1] == TEXT else slice(None)
        return function(q, k[:, some], v[:, some], *args, **kwargs)

    inputs = wan_inputs("flf2v")
    ours = model_call(beside(load_wan("flf2v"), override(shorten)), sigma=EARLY, **inputs)
    short = {**inputs, "context": inputs["context"][:, : TEXT // 2]}
    expected = model_call(with_attention(load_wan("flf2v"), KAB), sigma=EARLY, **short)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_what_an_override_masks_stays_masked_in_biased_blocks(load_wan, wan_inputs, model_call, beside):
    """Masked tokens may say anything: it changes nothing in stock Wan, and nothing in ours."""

    def mask(function, q, k, v, *args, **kwargs):
        if k.shape[1] != TEXT:
            return function(q, k, v, *args, **kwargs)
        hidden = torch.zeros(1, 1, q.shape[1], TEXT)
        hidden[..., TEXT // 2 :] = -torch.inf
        return function(q, k, v, *args, **{**kwargs, "mask": hidden})

    inputs = wan_inputs("flf2v")
    other = {**inputs, "context": torch.cat([inputs["context"][:, : TEXT // 2], -inputs["context"][:, TEXT // 2 :]], 1)}
    stock = load_wan("flf2v").clone()
    override(mask)(stock)
    one, another = (model_call(stock, sigma=EARLY, **given) for given in (inputs, other))
    torch.testing.assert_close(one, another, atol=1e-5, rtol=0)
    model = beside(load_wan("flf2v"), override(mask))
    one, another = (model_call(model, sigma=EARLY, **given) for given in (inputs, other))
    torch.testing.assert_close(one, another, atol=1e-5, rtol=0)


def test_the_bias_survives_an_override_with_a_kernel_of_its_own_and_the_log_says_so(
    load_wan, conditioned, sampled, with_attention, watched, beside, caplog
):
    from comfy.ldm.modules.attention import attention_basic

    used = []

    def own_kernel(function, *args, **kwargs):
        used.append(function)
        return attention_basic(*args, **kwargs)

    conditioning = conditioned("flf2v")
    model, calls = watched(load_wan("flf2v"))
    sigmas = torch.tensor([1.0, 0.97, 0.94, 0.0])
    with caplog.at_level(logging.INFO):
        ours = sampled(beside(model, override(own_kernel)), *conditioning, sigmas=sigmas)
    assert used
    assert [len(call.records) for call in calls] == [0, 6, 0]
    told = [message for message in caplog.messages if "attention kernel is left out where attention is" in message]
    assert len(told) == 1  # once in a run
    assert told[0].startswith("Keyframe Attention: ")
    expected = sampled(with_attention(load_wan("flf2v"), KAB), *conditioning, sigmas=sigmas)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
    unbiased = with_attention(load_wan("flf2v"), {**KAB, "end_percent": 0.0})
    assert not torch.allclose(ours, sampled(unbiased, *conditioning, sigmas=sigmas), atol=1e-3)


def test_an_override_from_a_call_wrapper_inside_ours_sees_every_attention(
    load_wan, wan_inputs, with_attention, model_call, with_attentions
):
    ours, inputs = with_attention(load_wan("flf2v"), KAB, {}), wan_inputs("flf2v")
    model, seen = with_attentions(ours)
    assert torch.equal(model_call(model, sigma=EARLY, **inputs), model_call(ours, sigma=EARLY, **inputs))
    assert [k.shape[1] for _, k, _, _ in seen] == [30, 514, TEXT] * 2


def by_row(function, q, k, v, *args, **kwargs):
    """An override that takes the batch apart."""
    rows = [function(q[n : n + 1], k[n : n + 1], v[n : n + 1], *args, **kwargs) for n in range(len(q))]
    return torch.cat(rows)


def masked(function, q, k, v, *args, **kwargs):
    """An override that masks the text attention, without hiding anything."""
    hidden = torch.zeros(1, 1, q.shape[1], TEXT) if k.shape[1] == TEXT else None
    return function(q, k, v, *args, **{**kwargs, "mask": hidden})


@pytest.mark.parametrize(
    ("function", "why"),
    [(by_row, "takes the attention apart that would be"), (masked, "masks the attention that would be")],
)
def test_an_override_that_leaves_nothing_to_bias_stops_the_first_step_with_a_bias(
    load_wan, conditioned, sampled, watched, beside, function, why
):
    model, calls = watched(load_wan("t2v"))
    with pytest.raises(RuntimeError, match=f"Keyframe Attention has no effect: another node {why} biased"):
        sampled(beside(model, override(function)), *conditioned("t2v"))
    assert len(calls) == 2  # step 0 is never biased


def test_an_override_that_leaves_something_to_bias_is_told_in_the_log(
    load_wan, conditioned, sampled, watched, beside, caplog
):
    """It masks text, the attention to the pictures is biased."""
    caplog.set_level(logging.INFO)
    model, calls = watched(load_wan("flf2v"))
    sampled(beside(model, override(masked)), *conditioned("flf2v"))
    assert {record.branch for call in calls for record in call.records} == {"first", "last"}
    assert caplog.text.count("another node masks attention that would be biased") == 1


def test_an_override_that_takes_the_batch_apart_does_not_matter_where_nothing_is_biased(
    load_wan, conditioned, sampled, with_attention, beside
):
    late = torch.tensor([0.5, 0.3, 0.0])
    apart = sampled(beside(load_wan("flf2v"), override(by_row)), *conditioned("flf2v"), sigmas=late)
    whole = sampled(with_attention(load_wan("flf2v"), KAB), *conditioned("flf2v"), sigmas=late)
    torch.testing.assert_close(apart, whole, **ROUNDED)


def named_from(function, module):
    """A function as if it were written in a module of another pack."""
    function.__module__ = module
    return function


def guided_in_attention(module="/home/me/ComfyUI/custom_nodes/ComfyUI-Attention_x_Guidance.nodes.guidance"):
    """What a node of normalized attention guidance does: cross-attention of the positive half, then of the other."""

    def change(model):
        for number, block in enumerate(model.model.diffusion_model.blocks):

            def forward(x, context, *args, own=block.cross_attn.forward, **kwargs):
                halves = zip(x.chunk(2), context.chunk(2), strict=True) if len(x) > 1 else [(x, context)]
                return torch.cat([own(*half, *args, **kwargs) for half in halves])

            key = f"diffusion_model.blocks.{number}.cross_attn.forward"
            model.add_object_patch(key, named_from(forward, module))

    return change


@pytest.mark.parametrize("kind", ["t2v", "flf2v"])
def test_guidance_through_attention_at_cfg_above_1_is_refused_by_name(load_wan, conditioned, sampled, beside, kind):
    message = (
        "Keyframe Attention has no effect: a node of ComfyUI-Attention.Guidance takes the attention apart that would "
        "be biased. Take one of them out; .* at cfg 1"
    )
    with pytest.raises(RuntimeError, match=message):
        sampled(beside(load_wan(kind), guided_in_attention()), *conditioned(kind), cfg=3.0)


@pytest.mark.parametrize("kind", ["t2v", "flf2v"])
def test_guidance_through_attention_at_cfg_1_is_biased(load_wan, conditioned, sampled, with_attention, beside, kind):
    ours = sampled(beside(load_wan(kind), guided_in_attention()), *conditioned(kind), cfg=1.0)
    expected = sampled(with_attention(load_wan(kind), KAB), *conditioned(kind), cfg=1.0)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(ours, sampled(load_wan(kind), *conditioned(kind), cfg=1.0), atol=1e-3)


def forgetful(own):
    """A model's code that knows nothing of what other nodes add."""

    def forward(*args, transformer_options=None, **kwargs):
        return own(*args, transformer_options={"grid_sizes": None}, **kwargs)

    return forward


def cached(model):
    """What a node that skips steps does: its own forward, put in the model's place around every call."""
    network = model.model.diffusion_model
    own = named_from(forgetful(network.forward_orig), "/ComfyUI/custom_nodes/ComfyUI-Cache.nodes")

    def call(function, given):
        with patch.object(network, "forward_orig", own):
            return function(given["input"], given["timestep"], **given["c"])

    model.set_model_unet_function_wrapper(call)


def other_class(network, module="/ComfyUI/custom_nodes/Other_x_Pack.wan"):
    """A class of another pack that stands for the network's own."""
    kind = type("ReWanModel", (type(network),), {"forward_orig": forgetful(type(network).forward_orig)})
    return named_from(kind, module)


def reclassed(model):
    """What a node for attention masks and regions does: another class for the network, with a forward of its own."""
    model.add_object_patch("diffusion_model.__class__", other_class(model.model.diffusion_model))


@pytest.mark.parametrize(("change", "pack"), [(cached, "ComfyUI-Cache"), (reclassed, "Other.Pack")])
@pytest.mark.parametrize("node", NODES)
def test_a_model_that_runs_another_node_s_code_without_ours_cannot_be_combined(
    load_wan, conditioned, sampled, beside, node, change, pack
):
    attention, rope, _ = NODES[node]
    message = f"{node} and a node of {pack} cannot be combined: .* Take one of them out"
    with pytest.raises(RuntimeError, match=message) as error:
        sampled(beside(load_wan("t2v"), change, attention, rope), *conditioned("t2v"))
    assert "after" not in str(error.value)


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("how", ["left by a model that is loaded", "written into the network"])
def test_a_class_that_another_node_left_on_plain_wan_is_no_other_model(
    load_wan, conditioned, sampled, with_attention, node, how
):
    import comfy.model_management

    attention, rope, _ = NODES[node]
    expected = sampled(with_attention(load_wan("t2v"), attention, rope), *conditioned("t2v"))
    model = load_wan("t2v")
    network = model.model.diffusion_model
    if how == "written into the network":
        network.__class__ = type("ReWanModel", (type(network),), {})
    else:
        other = model.clone()
        reclassed(other)
        comfy.model_management.load_models_gpu([other])
    assert type(network).__name__ == "ReWanModel"
    assert torch.equal(sampled(with_attention(model, attention, rope), *conditioned("t2v")), expected)


@pytest.mark.parametrize("node", NODES)
def test_a_node_that_replaces_ours_without_chaining_stops_the_first_call(
    load_wan, conditioned, sampled, with_attention, watched, node
):
    from comfy.patcher_extension import WrappersMP

    def replace(executor, x, sigma, concat, text, control, options, **kwargs):  # by place, as the host gives them
        options = {**options, OVERRIDE: lambda function, *args, **kwargs: function(*args, **kwargs)}
        options["patches_replace"] = {"dit": {("double_block", n): plain_block for n in range(2)}}
        return executor(x, sigma, concat, text, control, options, **kwargs)

    def plain_block(args, extra):
        return extra["original_block"](args)

    attention, rope, _ = NODES[node]
    model, calls = watched(load_wan("t2v"))
    model = with_attention(model, attention, rope)
    model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "test.replace", replace)
    with pytest.raises(RuntimeError, match=f"{node} was set, but the model did not pass .* Put {node} after that node"):
        sampled(model, *conditioned("t2v"))
    assert len(calls) == 1


@pytest.mark.parametrize("node", NODES)
def test_a_node_that_removes_our_wrapper_is_told_in_the_log(
    load_wan, conditioned, sampled, with_attention, node, caplog
):
    from comfy.patcher_extension import WrappersMP

    attention, rope, key = NODES[node]
    model, conditioning = with_attention(load_wan("t2v"), attention, rope), conditioned("t2v")
    sampled(model, *conditioning)
    assert "had no effect" not in caplog.text
    model.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, key)
    removed = sampled(model, *conditioning)
    assert [record.levelname for record in caplog.records if f"{node} had no effect" in record.message] == ["WARNING"]
    assert torch.equal(removed, sampled(load_wan("t2v"), *conditioning))


@pytest.mark.parametrize("node", NODES)
def test_a_run_without_a_step_is_no_reason_to_warn(load_wan, conditioned, sampled, with_attention, node, caplog):
    """SplitSigmas at step 0 makes one."""
    attention, rope, _ = NODES[node]
    sampled(with_attention(load_wan("t2v"), attention, rope), *conditioned("t2v"), sigmas=torch.ones(1))
    assert "had no effect" not in caplog.text


def test_a_block_replacement_is_still_called_and_gets_the_changed_rotations(
    load_wan, wan_inputs, with_attention, model_call, beside
):
    tables = []

    def keep(args, extra):
        tables.append(args["pe"])
        out = extra["original_block"](args)
        return {**out, "img": out["img"] * 0.9}

    def change(model):
        model.set_model_patch_replace(keep, "dit", "double_block", 0)

    inputs = wan_inputs("t2v")
    stock = load_wan("t2v").clone()
    change(stock)
    plain = model_call(stock, sigma=EARLY, **inputs)
    model = beside(load_wan("t2v"), change, attention=KAB, rope={})
    ours = model_call(model, sigma=EARLY, **inputs)
    assert len(tables) == 2  # once in each call
    assert model.model_options["transformer_options"]["patches_replace"] == {"dit": {("double_block", 0): keep}}
    scales = frame_scales(5, 1.06, 0.94).float().repeat_interleave(6)[None, :, None, None, None, None]
    pairs = 4  # of 12 channels that turn with time, 24 in a head
    torch.testing.assert_close(tables[1][..., :pairs, :, :], tables[0][..., :pairs, :, :] * scales)
    assert torch.equal(tables[1][..., pairs:, :, :], tables[0][..., pairs:, :, :])
    assert not torch.allclose(ours, plain, atol=1e-3)
    unpatched = model_call(with_attention(load_wan("t2v"), KAB, {}), sigma=EARLY, **inputs)
    assert not torch.allclose(ours, unpatched, atol=1e-3)  # what the other node does remains


def test_a_block_that_another_node_runs_twice_is_biased_twice(load_wan, wan_inputs, model_call, watched, beside):
    def twice(args, extra):
        extra["original_block"](args)
        return extra["original_block"](args)

    def change(model):
        model.set_model_patch_replace(twice, "dit", "double_block", 0)

    model, calls = watched(load_wan("flf2v"))
    model_call(beside(model, change, rope={}), sigma=EARLY, **wan_inputs("flf2v"))
    found = [(record.block, record.branch) for record in calls[0].records]
    branches = ["first", "last", "text"]
    assert found == [(block, branch) for block in (0, 0, 1) for branch in branches]


@pytest.mark.parametrize("name", ["attn1_patch", "attn2_patch"])
def test_an_attention_patch_keeps_working(load_wan, wan_inputs, with_attention, model_call, beside, name):
    seen = []

    def patch(values):
        seen.append(values["transformer_options"]["block_index"])
        return values["x"] * 0.8

    inputs = wan_inputs("flf2v")
    model = beside(load_wan("flf2v"), lambda model: model.set_model_patch(patch, name), rope={})
    ours = model_call(model, sigma=EARLY, **inputs)
    assert seen == [0, 1]
    unpatched = model_call(with_attention(load_wan("flf2v"), KAB, {}), sigma=EARLY, **inputs)
    assert not torch.allclose(ours, unpatched, atol=1e-3)
    stock = load_wan("flf2v").clone()
    stock.set_model_patch(patch, name)
    assert not torch.allclose(ours, model_call(stock, sigma=EARLY, **inputs), atol=1e-3)


def test_a_compiled_model_gives_the_same(load_wan, wan_inputs, with_attention, model_call, beside):
    """In the window, outside it, and in it again, as a run does; the host's node leaves these guards out, too."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    def compiled(model):
        guards = {"guard_filter_fn": lambda entries: ["transformer_options" not in entry.name for entry in entries]}
        set_torch_compile_wrapper(model=model, backend="eager", options=guards)

    inputs = wan_inputs("flf2v")
    ours, model = with_attention(load_wan("flf2v"), KAB, {}), beside(load_wan("flf2v"), compiled, rope={})
    expected = [model_call(ours, sigma=sigma, **inputs) for sigma in (EARLY, LATE, EARLY * 0.99)]
    found = [model_call(model, sigma=sigma, **inputs) for sigma in (EARLY, LATE, EARLY * 0.99)]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 1  # it was compiled
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_the_host_s_scaled_positions_are_scaled_further(host, load_wan, wan_inputs, model_call, beside, mode):
    tables = []

    def keep(args, extra):
        tables.append(args["pe"])
        return extra["original_block"](args)

    def scaled(model):
        made = host.NODE_CLASS_MAPPINGS["ScaleROPE"].execute(model, 1.0, 0.0, 0.5, 3.0, 0.7, 1.5).args[0]
        model.model_options = made.model_options

    model = beside(load_wan("t2v"), scaled, attention=None, rope={"mode": mode})
    model.set_model_patch_replace(keep, "dit", "double_block", 0)
    model_call(model, sigma=EARLY, **wan_inputs("t2v"))
    scales = frame_scales(5, 1.06, 0.94)
    places = torch.zeros(5, 2, 3, 3)  # frame, row, column -> time, y, x
    places[..., 0] = (0.7 * rescaled_positions(scales, mode) + 1.5)[:, None, None]
    places[..., 1] = (0.5 * torch.arange(2) + 3.0)[:, None]
    places[..., 2] = torch.arange(3)
    expected = load_wan("t2v").model.diffusion_model.rope_embedder(places.reshape(1, 30, 3)).movedim(1, 2)
    if mode == "amplitude":
        expected[..., :4, :, :] *= scales.float().repeat_interleave(6)[None, :, None, None, None, None]
    torch.testing.assert_close(tables[0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("node", NODES)
def test_conditioning_that_adds_frames_of_its_own_is_refused(load_wan, prompts, sampled, with_attention, node):
    import node_helpers

    attention, rope, _ = NODES[node]
    more = {"time_dim_concat": torch.zeros(1, 16, 1, 4, 6)}
    both = [node_helpers.conditioning_set_values(prompt, more) for prompt in (prompts.positive, prompts.negative)]
    with pytest.raises(ValueError, match=f"{node}: the conditioning carries time_dim_concat, which adds frames"):
        sampled(with_attention(load_wan("t2v"), attention, rope), *both)


def test_the_log_says_once_what_has_nothing_to_do(load_wan, conditioned, sampled, with_attention, caplog):
    with caplog.at_level(logging.INFO):
        sampled(with_attention(load_wan("t2v"), {"blocks": "5-12"}), *conditioned("t2v"))
    assert len([text for text in caplog.messages if "no image attention (T2V, Wan 2.2), so its text" in text]) == 1
    assert len([text for text in caplog.messages if "no block is biased: the model has 0 to 1" in text]) == 1


@pytest.mark.parametrize(
    ("part", "settings", "said"),
    [
        (slice(3, None), KAB, "no step of this run is biased: its steps lie at 0.50 to 0.83 .* end_percent to 0.5 or"),
        (slice(0, 2), KAB, "its steps lie at 0.00 of the schedule.* give this model two steps or more"),
        (slice(0, 4), {**KAB, "start_percent": 0.4, "end_percent": 0.45}, "set start_percent to 0.33 or less"),
        (slice(None), {**KAB, "end_percent": 0.1}, "set end_percent to 0.17 or more"),
        (slice(None), KAB, ""),
        (slice(3, None), {**KAB, "end_percent": 1.0}, ""),
        (slice(3, None), {"blocks": "5-12"}, ""),  # told in another line
    ],
)
@pytest.mark.parametrize("scheduler", ["simple", "kl_optimal"])
def test_a_run_in_which_no_step_lies_in_the_window_is_told_once_with_what_to_set(
    host, load_wan, conditioned, sampled, with_attention, caplog, scheduler, part, settings, said
):
    """An expert for the low noise, one step for the high noise, a narrow window, few steps; 6 steps in all."""
    caplog.set_level(logging.INFO)
    model = with_attention(load_wan("t2v"), settings)
    sigmas = host.NODE_CLASS_MAPPINGS["BasicScheduler"].execute(model, scheduler, 6, 1.0).args[0]
    sampled(model, *conditioned("t2v"), sigmas=sigmas[part])
    told = [text for text in caplog.messages if "no step of this run" in text]
    assert len(told) == (1 if said else 0)
    assert re.search(said, "".join(told))
    assert "cannot be known" not in caplog.text


@pytest.mark.parametrize("scheduler", ["kl_optimal", "linear_quadratic", "beta", "simple"])
@pytest.mark.parametrize(("steps", "cut"), [(10, 3), (10, 5), (20, 8)])
def test_a_schedule_split_between_two_experts_is_biased_at_the_steps_of_the_whole(
    host, load_wan, conditioned, sampled, with_attention, watched, scheduler, steps, cut
):
    nodes = host.NODE_CLASS_MAPPINGS
    watching, calls = watched(load_wan("t2v"))
    model, conditioning = with_attention(watching, KAB), conditioned("t2v")
    sigmas = nodes["BasicScheduler"].execute(model, scheduler, steps, 1.0).args[0]
    for part in nodes["SplitSigmas"].execute(sigmas, cut).args:
        sampled(model, *conditioning, sigmas=part, cfg=1.0)
    assert [step for step, call in enumerate(calls) if call.records] == list(range(1, int(0.4 * steps) + 1))


def test_a_part_of_no_known_schedule_is_told_in_the_log(load_wan, conditioned, sampled, with_attention, caplog):
    caplog.set_level(logging.INFO)
    sampled(with_attention(load_wan("t2v"), KAB), *conditioned("t2v"), sigmas=torch.tensor([0.97, 0.9, 0.5]))
    told = [text for text in caplog.messages if "of which one cannot be known" in text]
    assert len(told) == 1
    assert "is read from its noise level, which is right for even schedules such as simple" in told[0]


@pytest.mark.parametrize(("cut", "told"), [(5, 1), (3, 0)])
def test_a_part_of_several_schedules_is_told_in_the_log_where_it_makes_a_difference(
    host, load_wan, conditioned, sampled, with_attention, caplog, cut, told
):
    """The first half of normal's 10 steps is also of sgm_uniform's 9; step 4 is at 0.40 or 0.44, step 2 before 0.4."""
    caplog.set_level(logging.INFO)
    model = with_attention(load_wan("t2v"), KAB)
    sigmas = host.NODE_CLASS_MAPPINGS["BasicScheduler"].execute(model, "normal", 10, 1.0).args[0]
    sampled(model, *conditioned("t2v"), sigmas=sigmas[: cut + 1], cfg=1.0)
    assert caplog.text.count("cannot be known, so the place of its steps is read from all that have it") == told


@pytest.mark.parametrize("kind", ["t2v", "flf2v"])
def test_two_copies_in_two_threads_give_what_one_gives(
    load_wan, conditioned, sampled, with_attention, on_two_devices, together, kind
):
    plain, waiting = load_wan(kind), load_wan(kind).clone()
    override(together)(waiting)
    found = sampled(on_two_devices(with_attention(waiting, KAB, {}), load_wan(kind)), *conditioned(kind))
    assert len(together.threads) == 2
    by_turns = on_two_devices(with_attention(plain, KAB, {}), load_wan(kind), at_once=False)
    assert torch.equal(found, sampled(by_turns, *conditioned(kind)))
    torch.testing.assert_close(found, sampled(with_attention(plain, KAB, {}), *conditioned(kind)), **ROUNDED)


def test_two_threads_tell_the_log_once(load_wan, conditioned, sampled, with_attention, on_two_devices, caplog):
    caplog.set_level(logging.INFO)
    model = on_two_devices(with_attention(load_wan("t2v"), {**KAB, "end_percent": 0.1}), load_wan("t2v"))
    sampled(model, *conditioned("t2v"))
    assert caplog.text.count("no step of this run is biased") == 1
