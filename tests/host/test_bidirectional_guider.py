"""Bidirectional Guider on a small SVD against two real models: every turn, any length, batches, other patches."""

import pytest
import torch

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
ROUNDED = {"atol": 5e-5, "rtol": 1e-4}  # the host's own result changes by 5e-6 with the size of a batch
SIDES = ("forward", "backward")


@pytest.fixture(scope="module")
def pairs(make_svd, motion):
    """Two models of their own, the second with the side weights in its weights; plus: more for both, by name."""
    made = {}

    def get(moved, plus):
        key = (moved, *plus)
        if key not in made:
            both = {name: motion[name] + plus.get(name, 0) for name in motion} if moved else plus
            made[key] = make_svd(plus), make_svd(both)
        return made[key]

    return get


@pytest.fixture
def reference(host, pairs, estimate, monkeypatch):
    """The fused estimate of two real models, each in the host's own guider, one conditioning at a time.

    Maps go from one to the other by hand. change: gives a changed clone of each model. rows: filled with the maps'
    lengths.
    """

    def make(inputs, turn="all", moved=True, cfg=2.0, change=None, plus=None, rows=None, **size):
        maps, estimates = {}, []
        for side, model in zip(SIDES, pairs(moved, plus or {}), strict=True):
            monkeypatch.setattr(model.model, "memory_required", lambda *shape, **_: 1e30)
            for name, module in model.model.diffusion_model.named_modules():
                if name.endswith("time_stack.0.attn1") and (turn == "all" or (turn == "up" and "output" in name)):
                    kept = maps.setdefault(name, [])
                    monkeypatch.setattr(module, "forward", with_maps(module, kept, side == "forward", rows))
            conds = [inputs.conditionings[f"{side}_{end}"] for end in ("positive", "negative")]
            guider = host.NODE_CLASS_MAPPINGS["CFGGuider"].execute(change(model) if change else model, *conds, cfg)
            estimates.append(estimate(guider.args[0], turned=side == "backward", **size))
            monkeypatch.undo()
        assert not any(maps.values())
        return (estimates[0] + estimates[1].flip(0)) / 2

    return make


def with_maps(module, kept, keep, rows):
    """A self-attention's forward, written out: it keeps its map, or takes the oldest kept one turned by 180 degrees."""

    def forward(x, context=None, value=None, mask=None, transformer_options=None):
        context = x if context is None else context
        made = (module.to_q(x), module.to_k(context), module.to_v(context if value is None else value))
        q, k, v = (item.unflatten(-1, (module.heads, -1)).transpose(1, 2) for item in made)
        if keep:
            kept.append((q @ k.mT / q.shape[-1] ** 0.5).softmax(dim=-1))
        if rows is not None:
            rows.append(len(q))
        attended = (kept[-1] if keep else kept.pop(0).flip(-1).flip(-2)) @ v
        return module.to_out(attended.transpose(1, 2).flatten(2))

    return forward


@pytest.fixture
def doubled(svd_inputs):
    """Inputs with two positives in each direction; values: of the second one, in both or in one."""
    import node_helpers

    def make(sides=SIDES, **values):
        inputs = svd_inputs()
        for side in SIDES:
            name = f"{side}_positive"
            first = inputs.conditionings[name]
            given = values if side in sides else {}
            inputs.conditionings[name] = first + node_helpers.conditioning_set_values(
                first, {"motion_bucket_id": 20, **given}
            )
        return inputs

    return make


def chunks(calls):
    return [call.transformer_options["cond_or_uncond"] for call in calls]


# two models


def test_the_side_weights_are_the_32_tensors_of_16_layers(svd, motion):
    from pack.patches.backward_motion import LAYERS, MATRICES, motion_key
    from pack.patches.temporal_maps_host import check_motion_fits

    assert len(LAYERS) == 16
    assert sorted(motion) == sorted(motion_key(layer, matrix) for layer in LAYERS for matrix in MATRICES)
    check_motion_fits(svd, motion)


@pytest.mark.parametrize(
    ("turn", "moved"), [("none", False), ("up", False), ("none", True), ("up", True), ("all", True)]
)
def test_side_weights_equal_a_second_model(svd_inputs, gi, motion, estimate, reference, turn, moved):
    inputs = svd_inputs()
    ours = estimate(gi(inputs, rotate_attention=turn, backward_motion=motion if moved else None))
    torch.testing.assert_close(ours, reference(inputs, turn, moved), **(CLOSE if moved else ROUNDED))
    if turn != "none" or moved:
        assert not torch.allclose(ours, reference(inputs, "none", False), atol=1e-2)


def test_rotating_all_does_nothing_without_backward_motion(svd_inputs, gi, estimate):
    inputs = svd_inputs()
    plain = estimate(gi(inputs, backward_motion=None, rotate_attention="none"))
    assert torch.equal(estimate(gi(inputs, backward_motion=None)), plain)


@pytest.mark.parametrize(
    ("frames", "height", "width", "alike"),
    [(2, 4, 6, True), (6, 4, 6, True), (14, 4, 6, False), (24, 4, 6, True), (25, 4, 6, False), (4, 9, 9, True)],
)
def test_any_number_of_frames_equals_a_second_model(svd_inputs, gi, estimate, reference, frames, height, width, alike):
    """alike: some layer has as many pixels as there are frames, for 4 x 9 x 9 it is the middle one with 2 x 2."""
    size, rows = {"frames": frames, "height": height, "width": width}, []
    inputs = svd_inputs(**size)
    expected = reference(inputs, rows=rows, **size)
    assert (frames in rows) == alike
    torch.testing.assert_close(estimate(gi(inputs), **size), expected, **CLOSE)


def test_a_lora_on_the_temporal_values_is_part_of_both_directions(svd, svd_inputs, gi, motion, estimate, reference):
    name = "middle_block.1.time_stack.0.attn1.to_v.weight"
    change = 0.5 * torch.randn(motion[name].shape, generator=torch.Generator().manual_seed(12))
    model, inputs = svd.clone(), svd_inputs()
    assert model.add_patches({f"diffusion_model.{name}": (change,)}, 1.0)
    ours = estimate(gi(inputs, model))
    torch.testing.assert_close(ours, reference(inputs, plus={name: change}), **CLOSE)
    assert not torch.allclose(ours, estimate(gi(inputs)), atol=1e-3)


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float16, 0.02), (torch.bfloat16, 0.16)])
def test_a_model_in_half_precision_gives_about_the_same(make_svd, svd_inputs, gi, estimate, reference, dtype, limit):
    inputs = svd_inputs()
    exact, plain = reference(inputs), reference(inputs, "none", False)
    error = (estimate(gi(inputs, make_svd(dtype=dtype))) - exact).norm() / (plain - exact).norm()
    assert 0 < error < limit


def test_a_model_stored_in_fp8_is_the_model_of_its_rounded_weights(make_svd, svd_inputs, gi, estimate):
    """Nothing is read from the weights: what counts is how the host computes with them."""
    inputs, stored = svd_inputs(), make_svd(stored=torch.float8_e4m3fn)
    weights = {name: value.float() for name, value in stored.model.diffusion_model.state_dict().items()}
    own = make_svd().model.diffusion_model.state_dict()
    rounded = make_svd({name: value - own[name] for name, value in weights.items()})
    ours = estimate(gi(inputs, stored))
    torch.testing.assert_close(ours, estimate(gi(inputs, rounded)), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ours, estimate(gi(inputs)), atol=1e-3)


def test_exchanging_the_pictures_and_time_gives_the_video_backwards(svd_inputs, bidirectional, svd, estimate):
    inputs, options = svd_inputs(), {"cfg_schedule": "per_direction", "fuse": "linear"}
    ours = estimate(bidirectional(svd, inputs, **options))
    given = dict(inputs.conditionings)
    for end in ("positive", "negative"):
        for side, other in (SIDES, SIDES[::-1]):
            inputs.conditionings[f"{side}_{end}"] = given[f"{other}_{end}"]
    exchanged = bidirectional(svd, inputs, **options)
    torch.testing.assert_close(estimate(exchanged, turned=True).flip(0), ours, **CLOSE)
    assert not torch.allclose(estimate(exchanged), ours, atol=1e-2)


# batches


@pytest.mark.parametrize(("moved", "alone"), [(True, [[0]] * 4 + [[1]] * 2), (False, [[1], [0], [0]] * 2)])
def test_how_the_host_splits_a_batch_changes_nothing(
    svd, doubled, gi, motion, estimate, watched, monkeypatch, moved, alone
):
    """Two positives and a negative: together, each alone, or otherwise in the other direction."""
    model, calls = watched(svd)
    guider, results = gi(doubled(), model, backward_motion=motion if moved else None), {}
    for needs in ((0, 0), (1e30, 1e30), (0, 1e30), (1e30, 0)):
        # of the passes: where maps are held and memory is short, first the positives of both directions
        order = "ffbbfb" if moved and needs[0] else "fffbbb"

        def required(shape, needs=needs, order=order, **_):
            return needs[order[sum(len(call.x) for call in calls) // 5] == "b"]

        monkeypatch.setattr(svd.model, "memory_required", required)
        calls.clear()
        results[needs] = estimate(guider), chunks(calls)
    expected, seen = results.pop((0, 0))
    assert seen == [[1, 0, 0]] * 2
    assert results[1e30, 1e30][1] == alone
    assert results[0, 1e30][1] == [[1, 0, 0], [1], [0], [0]]
    assert results[1e30, 0][1] == ([[0], [0], [0, 0], [1], [1]] if moved else [[1], [0], [0], [1, 0, 0]])
    for ours, _ in results.values():
        torch.testing.assert_close(ours, expected, **ROUNDED)


@pytest.mark.parametrize("moved", [True, False])
def test_at_cfg_1_the_negatives_are_computed_only_where_another_node_wants_them(
    svd, svd_inputs, gi, motion, estimate, reference, watched, moved
):
    inputs, (model, calls) = svd_inputs(), watched(svd)
    options = {"cfg": 1.0, "backward_motion": motion if moved else None}
    expected = reference(inputs, "all" if moved else "none", moved, cfg=1.0)
    torch.testing.assert_close(estimate(gi(inputs, model, **options)), expected, **CLOSE)
    assert chunks(calls) == [[0], [0]]
    calls.clear()
    model.set_model_sampler_cfg_function(lambda args: args["cond"], disable_cfg1_optimization=True)
    torch.testing.assert_close(estimate(gi(inputs, model, **options)), expected, **ROUNDED)
    assert sorted(number for chunk in chunks(calls) for number in chunk) == [0, 0, 1, 1]


def test_two_positives_equal_a_second_model(doubled, svd_inputs, gi, estimate, reference):
    inputs = doubled()
    ours = estimate(gi(inputs))
    torch.testing.assert_close(ours, reference(inputs), **CLOSE)
    assert not torch.allclose(ours, estimate(gi(svd_inputs())), atol=1e-3)


@pytest.mark.parametrize(("end", "place"), [("positive", 0), ("positive", 1), ("negative", 0)])
def test_a_conditioning_for_an_area_equals_a_second_model(doubled, gi, estimate, reference, end, place):
    """Half of the picture, for a positive or the negative; the host gives the other one such an area, too."""
    inputs = doubled()
    for side in SIDES:
        inputs.conditionings[f"{side}_{end}"][place][1].update(area=("percentage", 1.0, 0.5, 0.0, 0.0))
    torch.testing.assert_close(estimate(gi(inputs)), reference(inputs), **CLOSE)


def test_a_positive_that_begins_later_equals_a_second_model(doubled, svd_inputs, gi, estimate, reference):
    inputs = doubled(start_percent=0.9, end_percent=1.0)
    ours = estimate(gi(inputs))
    torch.testing.assert_close(ours, reference(inputs), **CLOSE)
    torch.testing.assert_close(ours, estimate(gi(svd_inputs())), **CLOSE)


def test_a_positive_that_begins_later_in_one_direction_is_named(doubled, gi, estimate):
    message = "no temporal attention map of input_blocks.1.1 for conditioning 2: forward and backward conditioning must"
    with pytest.raises(RuntimeError, match=message):
        estimate(gi(doubled(["forward"], start_percent=0.9, end_percent=1.0)))


def test_another_number_of_positives_in_one_direction_is_named(doubled, svd_inputs, gi):
    inputs = svd_inputs()
    inputs.conditionings["forward_positive"] = doubled().conditionings["forward_positive"]
    with pytest.raises(ValueError, match="forward_positive has 2 entries and backward_positive 1: they must belong"):
        gi(inputs)


# neighbours


def test_what_other_attention_patches_do_remains(svd, svd_inputs, gi, estimate, reference):
    def change(model):
        model = model.clone()
        model.set_model_attn1_patch(lambda n, context, value, extra: (n, context * 1.2, value * 0.8))
        model.set_model_attn1_output_patch(lambda n, extra: n * 0.9)
        return model

    inputs = svd_inputs()
    ours = estimate(gi(inputs, change(svd)))
    torch.testing.assert_close(ours, reference(inputs, change=change), **CLOSE)
    assert not torch.allclose(ours, estimate(gi(inputs)), atol=1e-3)


def test_a_node_that_replaces_an_attention_may_stay_where_there_is_nothing_to_carry_over(
    svd, svd_inputs, gi, estimate, reference, replaced
):
    """Time Reversal Fusion: both passes are plain calls of the model."""
    inputs = svd_inputs()
    ours = estimate(gi(inputs, replaced(svd, "middle", 0), backward_motion=None))
    expected = reference(inputs, "none", False, change=lambda model: replaced(model, "middle", 0))
    torch.testing.assert_close(ours, expected, **ROUNDED)
    assert not torch.allclose(ours, estimate(gi(inputs, backward_motion=None)), atol=1e-4)
