"""Backward-motion weights: the official key map, the official differences, and files that do not fit."""

import json

import pytest
import torch
from safetensors.torch import load_file

from pack.patches.backward_motion import LAYERS, MATRICES, check_deltas, host_key, motion_deltas, motion_key

PREFIX = "model.diffusion_model."
V, OUT = "attn1.to_v.weight", "attn1.to_out.0.weight"


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def host_state(seed, prefix="", width=4):
    """A state dict with the 32 matrices, each with numbers of its own."""
    names = [motion_key(layer, matrix) for layer in LAYERS for matrix in MATRICES]
    return {prefix + name: random(width, width, seed=100 * seed + place) for place, name in enumerate(names)}


def part(state, name):
    return {key.removeprefix(name): value for key, value in state.items() if key.startswith(name)}


# names


def test_the_layers_are_sixteen_in_the_order_of_the_network():
    down = ["input_blocks.1.1", "input_blocks.2.1", "input_blocks.4.1", "input_blocks.5.1"]
    down += ["input_blocks.7.1", "input_blocks.8.1"]
    up = ["output_blocks.3.1", "output_blocks.4.1", "output_blocks.5.1", "output_blocks.6.1", "output_blocks.7.1"]
    up += ["output_blocks.8.1", "output_blocks.9.1", "output_blocks.10.1", "output_blocks.11.1"]
    assert list(LAYERS) == [*down, "middle_block.1", *up]
    assert MATRICES == ("to_v", "to_out.0")


@pytest.mark.parametrize(
    ("diffusers", "host"),
    [
        ("down_blocks.0.attentions.0", "input_blocks.1.1"),
        ("down_blocks.0.attentions.1", "input_blocks.2.1"),
        ("down_blocks.2.attentions.1", "input_blocks.8.1"),
        ("mid_block.attentions.0", "middle_block.1"),
        ("up_blocks.1.attentions.0", "output_blocks.3.1"),
        ("up_blocks.2.attentions.1", "output_blocks.7.1"),
        ("up_blocks.3.attentions.2", "output_blocks.11.1"),
    ],
)
@pytest.mark.parametrize("matrix", MATRICES)
def test_a_layer_of_diffusers_is_known_by_the_host_s_name(diffusers, host, matrix):
    name = f"{host}.time_stack.0.attn1.{matrix}.weight"
    assert motion_key(host, matrix) == name
    for prefix in ("", "unet.", PREFIX):
        assert host_key(f"{prefix}{diffusers}.temporal_transformer_blocks.0.attn1.{matrix}.weight") == name
        assert host_key(prefix + name) == name


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_of_all_tensors_only_the_temporal_value_and_output_matrices_have_a_name(golden, prefix):
    names = json.loads(golden("svd/key_map.json").read_text())
    mapped = []
    for diffusers, host in names.items():
        wanted = "temporal_transformer_blocks.0." in diffusers and diffusers.endswith((V, OUT))
        assert host_key(prefix + diffusers) == (host if wanted else None), diffusers
        assert host_key(prefix + host) == (host if wanted else None), host
        mapped += [host] if wanted else []
    assert len(names) == 1426
    assert sorted(mapped) == sorted(motion_key(layer, matrix) for layer in LAYERS for matrix in MATRICES)


@pytest.mark.parametrize(
    "key",
    [
        f"output_blocks.3.1.transformer_blocks.0.{V}",
        f"up_blocks.1.attentions.0.transformer_blocks.0.{V}",
        "output_blocks.3.1.time_stack.0.attn2.to_v.weight",
        "up_blocks.1.attentions.0.temporal_transformer_blocks.0.attn2.to_v.weight",
        "output_blocks.3.1.time_stack.0.attn1.to_k.weight",
        "mid_block.attentions.0.temporal_transformer_blocks.0.attn1.to_q.weight",
        "output_blocks.3.1.time_stack.0.attn1.to_out.0.bias",
        "mid_block.attentions.0.temporal_transformer_blocks.0.attn1.to_out.0.bias",
        "output_blocks.3.1.time_stack.0.attn1.to_v.lora_down.weight",
        f"output_blocks.3.1.time_stack.0.{V}_scale",
        f"output_blocks.3.1.time_stack.1.{V}",
        f"output_blocks.3.0.time_stack.0.{V}",
        f"middle_block.0.time_stack.0.{V}",
        f"other_output_blocks.3.1.time_stack.0.{V}",
        f"mid_block.attentions.0.temporal_transformer_blocks.0.{V}_scale",
        f"mid_block.attentions.0.temporal_transformer_blocks.1.{V}",
        f"other_mid_block.attentions.0.temporal_transformer_blocks.0.{V}",
        "",
    ],
)
def test_a_name_that_is_nearly_one_is_none(key):
    assert host_key(key) is None
    assert host_key(PREFIX + key) is None


# differences


def test_the_differences_are_the_official_ones_in_either_layout(golden):
    state = load_file(golden("svd/gi_finetune_diffusers.safetensors"))
    official = part(load_file(golden("svd/gi_delta_comfy.safetensors")), "delta/")
    names = json.loads(golden("svd/key_map.json").read_text())
    tuned, base = part(state, "finetuned/"), part(state, "svd14/")
    deltas = motion_deltas(tuned, base)
    assert len(deltas) == 32
    assert deltas.keys() == official.keys()
    for key, value in deltas.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, official[key]), key
        assert value.count_nonzero() > 0
    of_host = motion_deltas({PREFIX + names[key]: value for key, value in tuned.items()}, base)
    assert all(torch.equal(of_host[key], deltas[key]) for key in deltas)


def test_what_is_left_out_was_not_trained(golden):
    state = load_file(golden("svd/gi_finetune_diffusers.safetensors"))
    tuned, base = part(state, "finetuned/"), part(state, "svd14/")
    left_out = [key for key in tuned if host_key(key) is None]
    assert len(left_out) == 16
    assert all(torch.equal(tuned[key], base[key]) for key in left_out)


def test_another_base_moved_by_the_differences_is_the_official_backward_model(golden):
    state = load_file(golden("svd/gi_finetune_diffusers.safetensors"))
    backward = part(load_file(golden("svd/gi_delta_comfy.safetensors")), "backward/")
    model = load_file(golden("svd/unet_comfy.safetensors"))
    deltas = motion_deltas(part(state, "finetuned/"), part(state, "svd14/"))
    for key, value in backward.items():
        moved = model[key].float() + deltas.get(key, 0)
        torch.testing.assert_close(moved, value, atol=1e-6, rtol=0)


def test_differences_are_fine_tuned_minus_base_by_name_and_not_by_place():
    tuned, base = host_state(1), host_state(2)
    backwards = dict(reversed(base.items()))
    deltas = motion_deltas(tuned, backwards)
    assert list(deltas) == list(tuned)
    assert all(torch.equal(deltas[key], tuned[key] - base[key]) for key in tuned)


def test_other_tensors_are_not_read_and_none_is_changed():
    tuned, base = host_state(1, PREFIX), host_state(2)
    tuned |= {"conv_in.weight": random(3), "input_blocks.1.1.time_stack.0.attn1.to_out.0.bias": random(4)}
    copies = [{key: value.clone() for key, value in state.items()} for state in (tuned, base)]
    deltas = motion_deltas(tuned, base)
    assert deltas.keys() == base.keys()
    for state, copy in zip((tuned, base), copies, strict=True):
        assert state.keys() == copy.keys()
        assert all(torch.equal(state[key], copy[key]) for key in copy)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_difference_of_half_precision_weights_is_not_rounded_to_half(dtype):
    tuned, base = ({key: v.to(dtype) for key, v in host_state(seed).items()} for seed in (1, 2))
    deltas = motion_deltas(tuned, base)
    for key, value in deltas.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, tuned[key].float() - base[key].float())
    assert any((value != value.to(dtype)).any() for value in deltas.values())


def test_the_same_weights_twice_are_refused_and_one_number_is_a_difference():
    with pytest.raises(ValueError, match="finetuned_unet and base_unet hold the same weights: choose the UNet that"):
        motion_deltas(host_state(1), host_state(1, PREFIX))
    tuned = host_state(1)
    next(iter(tuned.values()))[0, 0] += 1
    assert sum(int(value.count_nonzero()) for value in motion_deltas(tuned, host_state(1, PREFIX)).values()) == 1


def test_a_file_that_is_no_svd_unet_is_named_with_what_to_choose():
    message = "finetuned_unet is no SVD UNet: it lacks 32 of 32 temporal attention matrices. Choose the UNet that"
    with pytest.raises(ValueError, match=message):
        motion_deltas({"conv_in.weight": random(3)}, host_state(2))
    base = host_state(2)
    del base[motion_key("input_blocks.1.1", "to_out.0")]
    with pytest.raises(ValueError, match=r"'b.pth' is no SVD UNet: it lacks 1 of 32 .* Choose the 14-frame SVD"):
        motion_deltas(host_state(1), base, ("'a.pth'", "'b.pth'"))
    shortened = dict(list(host_state(1).items())[3:])
    with pytest.raises(ValueError, match="finetuned_unet is no SVD UNet: it lacks 3 of 32"):
        motion_deltas(shortened, host_state(2))


def test_weights_of_another_size_are_named_with_both_sizes():
    tuned = host_state(1)
    tuned[motion_key("middle_block.1", "to_v")] = random(6, 5)
    with pytest.raises(ValueError, match=r"finetuned_unet and base_unet are of different sizes \(6x5 and 4x4\)"):
        motion_deltas(tuned, host_state(2))


def test_weights_that_are_no_numbers_are_refused():
    tuned = host_state(1)
    next(iter(tuned.values()))[0, 0] = float("inf")
    with pytest.raises(ValueError, match="finetuned_unet and base_unet differ by what is no number"):
        motion_deltas(tuned, host_state(2))


# a file and a model


def fitting():
    return host_state(1), {key: tuple(value.shape) for key, value in host_state(2).items()}


def test_a_file_with_the_model_s_names_and_shapes_fits():
    deltas, sizes = fitting()
    check_deltas(deltas, sizes)
    check_deltas(dict(reversed(deltas.items())), {key: torch.Size(size) for key, size in sizes.items()})


def test_a_file_with_foreign_tensors_is_refused():
    deltas, sizes = fitting()
    message = "was made for another model: {} of its matrices are not in this model. Make it with 'Extract"
    with pytest.raises(ValueError, match=message.format(5)):
        check_deltas({**deltas, **{name: random(1) for name in "abcde"}}, sizes)
    with pytest.raises(ValueError, match=message.format(1)):  # also where something is missing too
        check_deltas({"a": random(1)}, sizes)


def test_a_file_that_lacks_tensors_is_refused():
    deltas, sizes = fitting()
    del deltas[list(deltas)[-1]]
    with pytest.raises(ValueError, match="for another model: it lacks 1 of this model's 32 temporal attention matr"):
        check_deltas(deltas, sizes)
    with pytest.raises(ValueError, match="it lacks 32 of this model's 32"):
        check_deltas({}, sizes)


def test_a_file_for_another_width_is_refused_with_both_sizes():
    deltas, sizes = fitting()
    with pytest.raises(ValueError, match="a model of another width: a matrix is 8x4 there and 4x4 in this model"):
        check_deltas({**deltas, motion_key("output_blocks.5.1", "to_out.0"): random(8, 4)}, sizes)
