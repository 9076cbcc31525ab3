"""Keyframe Attention: which rows of a batch, which branches and which steps are biased."""

import pytest
import torch

KAB = {"blocks": "0-1"}
UNBIASED = {"blocks": "0-1", "end_percent": 0.0}
EARLY = 0.95  # a noise level inside the window
CLOSE = {"atol": 1e-4, "rtol": 0}  # a batch and a single row round differently; a bias moves them by 1e-3 and more


def early(rows):
    return torch.full((rows,), EARLY)


def row_of(inputs, number, size=1):
    return {name: value[number * size : (number + 1) * size] for name, value in inputs.items()}


@pytest.mark.parametrize("kind", ["flf2v", "t2v"])
@pytest.mark.parametrize("order", [[1, 0], [0], [0, 1], [1, 0, 0]])
@pytest.mark.parametrize("size", [1, 2])
def test_positive_rows_alone_are_biased_in_every_order(
    load_wan, wan_inputs, with_attention, model_call, watched, kind, order, size
):
    model, calls = watched(load_wan(kind))
    inputs = wan_inputs(kind, rows=size * len(order))
    batch = model_call(with_attention(model, KAB), sigma=early(size * len(order)), order=order, **inputs)
    assert len(calls[0].records) == order.count(0) * (6 if kind == "flf2v" else 2)
    biased, unbiased = with_attention(load_wan(kind), KAB), with_attention(load_wan(kind), UNBIASED)
    for number, part in enumerate(batch.split(size)):
        row = row_of(inputs, number, size)
        with_bias = model_call(biased, sigma=early(size), **row)
        without = model_call(unbiased, sigma=early(size), **row)
        assert not torch.allclose(with_bias, without, atol=1e-3)
        torch.testing.assert_close(part, with_bias if order[number] == 0 else without, **CLOSE)


def test_on_negative_biases_every_row(load_wan, wan_inputs, with_attention, model_call):
    model = with_attention(load_wan("flf2v"), {**KAB, "on_negative": True})
    inputs = wan_inputs("flf2v", rows=2)
    batch = model_call(model, sigma=early(2), order=[1, 0], **inputs)
    biased = with_attention(load_wan("flf2v"), KAB)
    expected = [model_call(biased, sigma=early(1), **row_of(inputs, number)) for number in range(2)]
    torch.testing.assert_close(batch, torch.cat(expected), **CLOSE)
    alone = model_call(model, sigma=early(1), order=[1], **row_of(inputs, 0))
    torch.testing.assert_close(alone, expected[0], **CLOSE)


def rows_of(call):
    """(text, x, result) of every chunk of a watched call."""
    return zip(call.c_crossattn.split(1), call.x.split(1), call.result.split(1), strict=True)


def check_rows(call, biased, unbiased, is_negative, model_call):
    """Every row of a watched call against a call of its own."""
    found = []
    for text, x, result in rows_of(call):
        schedule = call.transformer_options["sample_sigmas"]
        expected, other = (
            model_call(model, x, call.sigma[:1], text, schedule=schedule) for model in (biased, unbiased)
        )
        assert not torch.allclose(expected, other, atol=1e-3)
        found.append(is_negative(text))
        torch.testing.assert_close(result, other if found[-1] else expected, **CLOSE)
    return found


def test_a_cfg_run_biases_the_positive_pass(load_wan, conditioned, sampled, with_attention, model_call, watched):
    model, calls = watched(load_wan("t2v"))
    positive, negative = conditioned("t2v")
    sampled(with_attention(model, KAB), positive, negative, cfg=3.0)
    assert calls[1].transformer_options["cond_or_uncond"] == [1, 0]
    biased, unbiased = with_attention(load_wan("t2v"), KAB), with_attention(load_wan("t2v"), UNBIASED)
    found = check_rows(calls[1], biased, unbiased, lambda text: torch.equal(text, negative[0][0]), model_call)
    assert found == [True, False]


def test_at_cfg_1_the_only_pass_is_biased(load_wan, conditioned, sampled, with_attention, watched):
    model, calls = watched(load_wan("t2v"))
    sampled(with_attention(model, KAB), *conditioned("t2v"), cfg=1.0)
    assert [call.transformer_options["cond_or_uncond"] for call in calls] == [[0]] * 6
    assert [len(call.records) for call in calls] == [0, 2, 2, 0, 0, 0]


@pytest.mark.parametrize("style", ["regular", "nested"])
def test_a_dual_cfg_run_biases_both_conditionings_and_not_the_negative(
    host, load_wan, conditioned, sampled, with_attention, model_call, watched, style
):
    """The host orders these [negative, second, first], so a row's number does not tell what it is."""
    model, calls = watched(load_wan("t2v"))
    positive, negative = conditioned("t2v")
    second = [[0.7 * positive[0][0], {}]]
    guider = host.NODE_CLASS_MAPPINGS["DualCFGGuider"].execute(
        with_attention(model, KAB), positive, second, negative, 3.0, 2.0, style
    )
    sampled(None, None, None, guider=guider.args[0], sigmas=torch.tensor([1.0, 0.97, 0.94, 0.5, 0.2, 0.0]))
    call = calls[1]
    assert sorted(call.transformer_options["cond_or_uncond"]) == [0, 1, 2]
    biased, unbiased = with_attention(load_wan("t2v"), KAB), with_attention(load_wan("t2v"), UNBIASED)
    found = check_rows(call, biased, unbiased, lambda text: torch.equal(text, negative[0][0]), model_call)
    assert found.count(True) == 1
    assert found.index(True) == call.transformer_options["cond_or_uncond"].index(0)
    assert len(call.records) == 4  # two blocks, two rows


def test_two_combined_positives_are_both_biased(host, load_wan, conditioned, sampled, with_attention, watched):
    model, calls = watched(load_wan("t2v"))
    positive, negative = conditioned("t2v")
    both = host.NODE_CLASS_MAPPINGS["ConditioningCombine"]().combine(positive, [[0.7 * positive[0][0], {}]])[0]
    sampled(with_attention(model, KAB), both, negative)
    assert calls[1].transformer_options["cond_or_uncond"] == [1, 0, 0]
    assert [len(call.records) for call in calls] == [0, 4, 4, 0, 0, 0]


def test_the_negative_pass_of_a_prompt_for_an_area_is_not_biased(
    host, load_wan, conditioned, sampled, with_attention, model_call, watched
):
    """The host makes that pass from the positive entry, with its id."""
    model, calls = watched(load_wan("t2v"))
    positive, negative = conditioned("t2v")
    part = host.NODE_CLASS_MAPPINGS["ConditioningSetArea"]().append([[0.7 * positive[0][0], {}]], 32, 16, 0, 0, 1.0)[0]
    sampled(with_attention(model, KAB), positive + part, negative)
    call = next(call for call in calls[2:] if call.x.shape[-2:] == (2, 4))  # in the second step
    biased, unbiased = with_attention(load_wan("t2v"), KAB), with_attention(load_wan("t2v"), UNBIASED)
    found = check_rows(call, biased, unbiased, lambda text: torch.equal(text, negative[0][0]), model_call)
    assert sorted(found) == [False, True]


def test_an_area_of_the_negative_prompt_does_not_turn_the_bias_off(
    host, load_wan, conditioned, sampled, with_attention, watched
):
    """The host makes a positive entry from it, with the negative's id."""
    positive, negative = conditioned("t2v")
    part = host.NODE_CLASS_MAPPINGS["ConditioningSetArea"]().append([[0.7 * negative[0][0], {}]], 32, 16, 0, 0, 1.0)[0]
    model, calls = watched(load_wan("t2v"))
    sampled(with_attention(model, KAB), positive, negative + part)
    whole = [len(call.records) for call in calls if call.x.shape[-2:] == (4, 6)]
    assert whole == [0, 2, 2, 0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "tokens", "isolate", "branches", "expected"),
    [
        ("flf2v", 514, True, "all", ["first", "last", "text"]),
        ("flf2v", 514, True, "text", ["text"]),
        ("flf2v", 514, True, "image", ["first", "last"]),
        ("flf2v", 514, False, "all", ["image", "text"]),
        ("flf2v", 514, False, "image", ["image"]),
        ("i2v", 257, True, "all", ["image", "text"]),
        ("i2v", 257, True, "image", ["image"]),
        ("i2v", 257, True, "text", ["text"]),
        ("t2v", 0, True, "all", ["text"]),
        ("i2v_14b", 0, True, "text", ["text"]),
        ("ti2v_5b", 0, True, "all", ["text"]),
    ],
)
def test_the_branches_that_are_biased(
    load_wan, wan_inputs, with_attention, model_call, watched, kind, tokens, isolate, branches, expected
):
    model, calls = watched(load_wan(kind))
    settings = {**KAB, "isolate": isolate, "branches": branches}
    model_call(with_attention(model, settings), sigma=early(1), **wan_inputs(kind, tokens=tokens))
    assert [(record.block, record.branch) for record in calls[0].records] == [
        (block, branch) for block in (0, 1) for branch in expected
    ]
    assert all((record.after - record.before).abs().max() > 1e-5 for record in calls[0].records)


@pytest.mark.parametrize(
    ("steps", "start", "end", "expected"),
    [
        (6, 0.0, 0.4, [1, 2]),
        (5, 0.0, 0.4, [1, 2]),  # step 2 of 5 is 0.4 itself
        (10, 0.0, 0.4, [1, 2, 3, 4]),
        (4, 0.0, 0.4, [1]),
        (2, 0.0, 0.4, []),
        (6, 0.25, 0.6, [2, 3]),
        (4, 0.0, 1.0, [1, 2, 3]),
        (4, 0.25, 0.5, [2]),  # after 0.25, up to 0.5
        (4, 0.0, 0.0, []),
    ],
)
def test_the_steps_that_are_biased(
    load_wan, conditioned, sampled, with_attention, watched, steps, start, end, expected
):
    model, calls = watched(load_wan("t2v"))
    settings = {**KAB, "start_percent": start, "end_percent": end}
    sampled(with_attention(model, settings), *conditioned("t2v"), steps=steps)
    assert len(calls) == steps
    assert [step for step, call in enumerate(calls) if call.records] == expected


@pytest.mark.parametrize("steps", [5, 6, 10])
def test_a_run_in_two_parts_biases_the_steps_of_the_whole_and_ends_alike(
    host, load_wan, conditioned, sampled, with_attention, watched, steps
):
    nodes = host.NODE_CLASS_MAPPINGS
    watching, calls = watched(load_wan("t2v"))
    model, conditioning = with_attention(watching, KAB, {}), conditioned("t2v")
    sigmas = nodes["BasicScheduler"].execute(model, "simple", steps, 1.0).args[0]
    whole = sampled(model, *conditioning, sigmas=sigmas)
    biased = [bool(call.records) for call in calls]
    calls.clear()
    high, low = nodes["SplitSigmas"].execute(sigmas, 2).args
    half = sampled(model, *conditioning, sigmas=high)
    joined = sampled(model, *conditioning, sigmas=low, start={"samples": half})
    assert [bool(call.records) for call in calls] == biased
    assert sum(biased) == int(0.4 * steps)
    torch.testing.assert_close(joined, whole, atol=1e-3, rtol=0)


def test_isolation_stays_on_outside_the_window(load_wan, wan_inputs, with_attention, model_call):
    model, inputs, late = load_wan("flf2v"), wan_inputs("flf2v"), torch.tensor([0.3])
    ours = model_call(with_attention(model, KAB), sigma=late, **inputs)
    assert torch.equal(ours, model_call(with_attention(model, UNBIASED), sigma=late, **inputs))
    assert not torch.allclose(ours, model_call(model, sigma=late, **inputs), atol=1e-3)


@pytest.mark.parametrize("kind", ["t2v", "flf2v"])
def test_a_prompt_as_long_as_the_video_is_not_taken_for_it(load_wan, wan_inputs, with_attention, model_call, kind):
    """At text_weight 0 the prompt counts for nothing, so its length may not change the result."""
    model = with_attention(load_wan(kind), {**KAB, "text_weight": 0.0})
    same, longer = (wan_inputs(kind, frames=4, height=2, width=4, text=text) for text in (8, 9))
    longer = {**same, "context": longer["context"]}
    clean = model_call(model, sigma=early(1), **same)
    torch.testing.assert_close(clean, model_call(model, sigma=early(1), **longer), atol=1e-5, rtol=0)
    assert not torch.allclose(clean, model_call(load_wan(kind), sigma=early(1), **same), atol=1e-3)


def test_a_prompt_as_long_as_the_image_tokens_is_told_apart_by_order(
    load_wan, wan_inputs, with_attention, model_call, watched
):
    model, calls = watched(load_wan("flf2v"))
    model_call(with_attention(model, KAB), sigma=early(1), **wan_inputs("flf2v", text=514))
    found = [(record.branch, record.before.shape[-1]) for record in calls[0].records]
    assert found == [("first", 257), ("last", 257), ("text", 514)] * 2
