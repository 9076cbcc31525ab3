"""Bidirectional Guider on a small SVD: beside other nodes, what it leaves behind (nothing), and what it refuses."""

import gc
import weakref

import pytest
import torch

OVERRIDE = "optimized_attention_override"
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
ROUNDED = {"atol": 5e-5, "rtol": 1e-4}  # the host's own result changes by 5e-6 with the size of a batch


# neighbours


@pytest.mark.parametrize("moved", [True, False])
def test_an_attention_override_from_before_is_called_wherever_attention_is(
    svd, svd_inputs, gi, motion, estimate, watched, moved
):
    """Four attentions in a layer; a map that is put in leaves nothing to compute in 16 of the backward 64."""
    seen, (model, calls), inputs = [], watched(svd), svd_inputs()

    def count(function, *args, **kwargs):
        seen.append(len(calls))
        return function(*args, **kwargs)

    model.model_options["transformer_options"][OVERRIDE] = count
    guider = gi(inputs, model, cfg=1.0, backward_motion=motion if moved else None)
    counted = estimate(guider)
    assert [seen.count(call) for call in (1, 2)] == [64, 48 if moved else 64]
    assert model.model_options["transformer_options"][OVERRIDE] is count
    del model.model_options["transformer_options"][OVERRIDE]
    assert torch.equal(counted, estimate(gi(inputs, cfg=1.0, backward_motion=motion if moved else None)))


@pytest.mark.parametrize(
    ("place", "layer"),
    [(("middle", 0), "middle_block.1"), (("input", 4), "input_blocks.4.1"), (("output", 11), "output_blocks.11.1")],
)
def test_a_node_that_replaces_a_temporal_attention_is_refused_with_the_layer_s_name(
    svd, svd_inputs, gi, estimate, replaced, place, layer
):
    message = f"the temporal attention of {layer} did not pass through the Bidirectional Guider: another node replaces"
    with pytest.raises(RuntimeError, match=message):
        estimate(gi(svd_inputs(), replaced(svd, *place)))


@pytest.mark.parametrize(
    ("name", "scales", "moved"),
    [
        ("VideoLinearCFGGuidance", [1.5, 1.875, 2.25, 2.625, 3.0], True),
        ("VideoTriangleCFGGuidance", [1.5, 2.25, 3.0, 2.25, 1.5], False),
    ],
)
def test_the_host_s_guidance_over_the_frames_works_in_each_direction(
    host, svd, svd_inputs, gi, motion, estimate, name, scales, moved
):
    """From the node's min_cfg to the guider's max_cfg in place of the guider's own ramp."""

    def by_hand(args):
        return args["uncond"] + torch.tensor(scales).view(-1, 1, 1, 1) * (args["cond"] - args["uncond"])

    inputs, expected = svd_inputs(), svd.clone()
    options = {"min_cfg": 1.0, "max_cfg": 3.0, "backward_motion": motion if moved else None}
    expected.set_model_sampler_cfg_function(by_hand)
    ours = estimate(gi(inputs, host.NODE_CLASS_MAPPINGS[name]().patch(svd, 1.5)[0], **options))
    torch.testing.assert_close(ours, estimate(gi(inputs, expected, **options)), **CLOSE)


def test_a_hook_after_guidance_gets_each_direction_in_its_own_order(svd, svd_inputs, gi, motion, estimate):
    """What it gives counts; what it is given is what the host's own guider gives."""
    seen, inputs, model = [], svd_inputs(), svd.clone()

    def keep(args):
        seen.append(args)
        return args["denoised"] * 0.5

    model.set_model_sampler_post_cfg_function(keep)
    ours = estimate(gi(inputs, model))
    torch.testing.assert_close(ours, estimate(gi(inputs)) / 2, **CLOSE)
    ahead, back = seen
    assert torch.equal(back["input"], ahead["input"].flip(0))
    for args in seen:
        torch.testing.assert_close(args["denoised"], 2 * args["cond_denoised"] - args["uncond_denoised"], **CLOSE)
    tokens = [args["cond"][0]["cross_attn"] for args in seen]
    for token, side in zip(tokens, ("forward", "backward"), strict=True):
        assert torch.equal(token, inputs.conditionings[f"{side}_positive"][0][0])


def test_perturbed_attention_guidance_works_beside_it(host, svd, svd_inputs, gi, estimate):
    """It calls the model once more after guidance, with the middle layer's attention replaced."""
    model = host.NODE_CLASS_MAPPINGS["PerturbedAttentionGuidance"].execute(svd, 2.0).args[0]
    inputs = svd_inputs()
    ours = estimate(gi(inputs, model))
    assert torch.isfinite(ours).all()
    assert not torch.allclose(ours, estimate(gi(inputs)), atol=1e-4)


def test_a_compiled_layer_gives_the_same(svd, svd_inputs, gi, estimate):
    """With and without anything to carry over, in any order; with the guards that the host's node leaves.

    Only the runs with nothing to carry over are compiled.
    """
    from comfy_api.torch_helpers import set_torch_compile_wrapper

    inputs, model = svd_inputs(), svd.clone()
    guards = {"guard_filter_fn": lambda entries: ["transformer_options" not in entry.name for entry in entries]}
    keys = [f"diffusion_model.middle_block.1.{part}.0" for part in ("transformer_blocks", "time_stack")]
    set_torch_compile_wrapper(model=model, backend="eager", options=guards, keys=keys)
    torch._dynamo.utils.counters.clear()
    for moved, compiled in ((True, False), (False, True), (True, True), (False, True)):
        options = {"cfg": 1.0} if moved else {"cfg": 1.0, "backward_motion": None}
        expected = estimate(gi(inputs, **options))
        torch.testing.assert_close(estimate(gi(inputs, model, **options)), expected, **CLOSE)
        assert (torch._dynamo.utils.counters["stats"]["unique_graphs"] > 1) == compiled


def test_two_copies_in_two_threads_give_what_one_gives(make_svd, svd_inputs, gi, estimate, on_two_devices, together):
    """Two conditionings in each direction, which the host shares out."""
    inputs, model = svd_inputs(), make_svd()
    for name, given in inputs.conditionings.items():
        inputs.conditionings[name] = [*given, *([0.5 * token, dict(values)] for token, values in given)]
    by_turns = estimate(gi(inputs, on_two_devices(model.clone(), make_svd(), at_once=False)))
    model.model_options["transformer_options"][OVERRIDE] = together
    found = estimate(gi(inputs, on_two_devices(model.clone(), make_svd())))
    assert len(together.threads) == 2
    assert torch.equal(found, by_turns)
    torch.testing.assert_close(found, estimate(gi(inputs)), **ROUNDED)


# nothing is left


@pytest.fixture
def plain_graph(host, svd, svd_vae, picture_encoder, pictures):
    """The latent of the host's own SVD graph."""
    nodes = host.NODE_CLASS_MAPPINGS

    def run():
        conditioned = nodes["SVD_img2vid_Conditioning"]().encode
        given = conditioned(picture_encoder, pictures(3, 48, 32), svd_vae, 48, 32, 5, 127, 6, 0.0)
        return nodes["KSampler"]().sample(svd, 4, 2, 2.5, "euler", "karras", *given)[0]["samples"]

    return run


def state_of(patcher):
    """All that a node could have changed on a model, by name."""
    kept = {name: structure(getattr(patcher, name)) for name in ("model_options", "wrappers", "callbacks", "patches")}
    kept |= {name: structure(getattr(patcher, name)) for name in ("object_patches", "attachments", "hook_patches")}
    network = patcher.model.diffusion_model
    kept["hooks"] = [(name, len(m._forward_hooks), "forward" in vars(m)) for name, m in network.named_modules()]
    kept["weights"] = {name: value.sum().item() for name, value in network.state_dict().items()}
    return kept


def structure(value):
    """Copies of dicts and lists, whose other values are told apart by what they are."""
    if isinstance(value, dict):
        return {key: structure(item) for key, item in value.items()}
    return [structure(item) for item in value] if isinstance(value, list) else id(value)


def test_a_plain_graph_gives_the_same_after_bidirectional_ones(svd, svd_inputs, gi, estimate, plain_graph, replaced):
    before, state = plain_graph(), state_of(svd)
    estimate(gi(svd_inputs()))
    with pytest.raises(RuntimeError, match="did not pass through the Bidirectional Guider"):
        estimate(gi(svd_inputs(), replaced(svd, "output", 5)))
    estimate(gi(svd_inputs(), backward_motion=None, rotate_attention="up"))
    assert state_of(svd) == state
    assert torch.equal(plain_graph(), before)


def test_a_guider_gives_the_same_again_and_leaves_its_inputs_alone(svd_inputs, gi, motion, estimate):
    inputs = svd_inputs()
    copies = {
        name: [(token.clone(), dict(values)) for token, values in entries]
        for name, entries in inputs.conditionings.items()
    }
    weights = {name: value.clone() for name, value in motion.items()}
    guider = gi(inputs)
    assert torch.equal(estimate(guider), estimate(guider))
    for name, entries in inputs.conditionings.items():
        for (token, values), (copy, kept) in zip(entries, copies[name], strict=True):
            assert torch.equal(token, copy)
            assert values.keys() == kept.keys()
            assert all(values[key] is kept[key] for key in values)
    assert all(torch.equal(motion[name], weights[name]) for name in weights)


@pytest.fixture
def counted_maps(svd, live_maps, monkeypatch):
    """A clone of the small SVD, and the number of maps before and after every call of it.

    stop: the call that fails. room: whether the host has the memory for both conditionings at once.
    """
    from comfy.patcher_extension import WrappersMP

    def make(stop=None, how=None, room=False):
        counts, model = [], svd.clone()
        monkeypatch.setattr(svd.model, "memory_required", lambda *shape, **_: 0 if room else 1e30)

        def watch(executor, *args, **kwargs):
            counts.append([live_maps()])
            if len(counts) == stop:
                how()
            result = executor(*args, **kwargs)
            counts[-1].append(live_maps())
            return result

        model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "test.counted_maps", watch)
        return model, counts

    return make


@pytest.mark.parametrize(("turn", "layers"), [("all", 16), ("up", 9)])
def test_one_set_of_maps_is_held_from_a_forward_call_to_its_backward_call(
    svd_inputs, gi, estimate, counted_maps, live_maps, turn, layers
):
    """At cfg 2: the positives of both directions, then the negatives."""
    model, counts = counted_maps()
    estimate(gi(svd_inputs(), model, rotate_attention=turn))
    assert counts == [[0, layers], [layers, 0]] * 2
    assert live_maps() == 0


def test_two_sets_of_maps_are_held_where_there_is_room_for_both_conditionings(
    svd_inputs, gi, estimate, counted_maps, live_maps
):
    model, counts = counted_maps(room=True)
    estimate(gi(svd_inputs(), model))
    assert counts == [[0, 32], [32, 0]]
    assert live_maps() == 0


def test_no_map_is_held_where_nothing_is_turned(svd_inputs, gi, estimate, counted_maps):
    model, counts = counted_maps()
    estimate(gi(svd_inputs(), model, rotate_attention="none"))
    assert counts == [[0, 0]] * 4


@pytest.mark.parametrize("how", ["error", "cancel"])
def test_maps_are_freed_when_a_backward_call_fails(svd_inputs, gi, estimate, counted_maps, live_maps, how):
    import comfy.model_management

    def stop():
        if how == "error":
            raise MemoryError("no room")
        comfy.model_management.interrupt_current_processing()

    kind = MemoryError if how == "error" else comfy.model_management.InterruptProcessingException
    model, counts = counted_maps(2, stop)
    guider = gi(svd_inputs(), model)
    with pytest.raises(kind) as held:  # as the host does, the error is kept, with all that its frames hold
        estimate(guider)
    assert counts == [[0, 16], [16]]
    assert live_maps() == 0
    assert held.value is not None
    undisturbed = estimate(gi(svd_inputs()))
    assert torch.equal(estimate(guider), undisturbed)


def test_a_guider_that_is_dropped_frees_what_it_was_given(svd_inputs, gi, estimate):
    guider = gi(svd_inputs())
    estimate(guider)
    gone = weakref.ref(guider)
    del guider
    gc.collect()
    assert gone() is None


# refusals


def test_another_model_is_refused(load_wan, svd_inputs, bidirectional):
    with pytest.raises(
        ValueError, match="Bidirectional Guider: model is WAN21, not SVD. Load svd.safetensors or svd_xt"
    ):
        bidirectional(load_wan("t2v"), svd_inputs())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_cfg": 3.0, "max_cfg": 1.0}, "min_cfg 3 is above max_cfg 1: exchange them"),
        ({"cfg_schedule": "flat"}, "cfg_schedule is 'flat', which it does not know: use symmetric or per_direction."),
        ({"fuse": "sum"}, "fuse is 'sum', which it does not know: use mean or linear."),
        ({"rotate_attention": "down"}, "rotate_attention is 'down', which it does not know: use all, up or none."),
    ],
)
def test_settings_that_cannot_be_are_named(svd, svd_inputs, bidirectional, options, message):
    with pytest.raises(ValueError, match=message):
        bidirectional(svd, svd_inputs(), **options)


def test_a_noise_mask_is_refused_before_the_model_is_called(svd, svd_inputs, bidirectional, sampled_from, watched):
    inputs, (model, calls) = svd_inputs(), watched(svd)
    masked = {**inputs.latent, "noise_mask": torch.ones(1, 32, 48)}
    with pytest.raises(ValueError, match="Bidirectional Guider: latent_image has a noise mask, .* remove it"):
        sampled_from(bidirectional(model, inputs), masked)
    assert calls == []
    assert sampled_from(bidirectional(model, inputs), inputs.latent, sigmas=(3.0, 0.0)).shape == (5, 4, 4, 6)


@pytest.mark.parametrize("frames", [1, 4, 6, 25])
def test_a_latent_of_another_length_is_refused_before_the_model_is_called(
    svd, svd_inputs, bidirectional, sampled_from, watched, frames
):
    model, calls = watched(svd)
    guider = bidirectional(model, svd_inputs())
    message = (
        f"latent_image has {frames} frames, the conditionings were made for 5: connect the latent of the same node"
    )
    with pytest.raises(ValueError, match=message):
        sampled_from(guider, {"samples": torch.zeros(frames, 4, 4, 6)})
    assert calls == []


def test_directions_that_were_made_for_different_lengths_are_refused(svd, svd_inputs, bidirectional, sampled_from):
    inputs, other = svd_inputs(5), svd_inputs(6)
    for end in ("positive", "negative"):
        inputs.conditionings[f"backward_{end}"] = other.conditionings[f"backward_{end}"]
    with pytest.raises(ValueError, match="latent_image has 5 frames, the conditionings were made for 5 and 6"):
        sampled_from(bidirectional(svd, inputs), inputs.latent)
