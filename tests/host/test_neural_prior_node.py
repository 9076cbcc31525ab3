"""InbetweenNeuralPrior: one call at one noise level, nothing random, keyframes put back, patches kept, refusals."""

import pytest
import torch

PLACES = "inbetween_keyframes"


@pytest.fixture(scope="module")
def node(host):
    from pack.nodes.bridge import NeuralPrior

    return NeuralPrior


def latent_of(shape, *places, seed=7):
    made = {"samples": torch.randn(shape, generator=torch.Generator().manual_seed(seed))}
    return {**made, PLACES: places} if places else made


@pytest.fixture
def clean_estimate(host):
    """What a model makes of a latent that it takes for a noisy video at level 1, by one of the host's Euler steps."""
    import comfy.samplers

    def make(model, positive, samples):
        guider = comfy.samplers.CFGGuider(model)
        guider.set_conds(positive, positive)
        guider.set_cfg(1.0)
        inside, zero = model.model.process_latent_in(samples), torch.zeros_like(samples)
        noise, latent = (inside, zero) if isinstance(model.model, wan_or_hunyuan()) else (zero, samples)
        euler = comfy.samplers.sampler_object("euler")
        return guider.sample(noise, latent, euler, torch.tensor([1.0, 0.0]), disable_pbar=True, seed=3)

    return make


def wan_or_hunyuan():
    import comfy.model_base

    return comfy.model_base.WAN21, comfy.model_base.HunyuanVideo


# the estimate


@pytest.mark.parametrize("kind", ["t2v", "i2v", "flf2v", "i2v_14b", "ti2v_5b"])
def test_it_is_the_clean_estimate_of_wan_at_level_1(node, load_wan, conditioned, clean_estimate, kind):
    latent = latent_of((1, 48 if kind == "ti2v_5b" else 16, 5, 4, 6))
    positive, _ = conditioned(kind)
    model = load_wan(kind)
    made = node.execute(model, positive, latent).args[0]
    torch.testing.assert_close(made["samples"], clean_estimate(model, positive, latent["samples"]))
    assert not torch.allclose(made["samples"], latent["samples"], atol=0.5)


def test_it_is_the_clean_estimate_of_hunyuanvideo_at_level_1(node, hunyuan, prompts, clean_estimate):
    positive = [[prompts.positive[0][0], {"pooled_output": torch.ones(1, 768)}]]
    latent = latent_of((1, 16, 5, 4, 6))
    made = node.execute(hunyuan, positive, latent).args[0]
    torch.testing.assert_close(made["samples"], clean_estimate(hunyuan, positive, latent["samples"]))


def test_it_is_the_clean_estimate_of_svd_at_level_1(node, svd, svd_inputs, clean_estimate):
    positive = svd_inputs().conditionings["forward_positive"]
    latent = latent_of((5, 4, 4, 6))
    made = node.execute(svd, positive, latent).args[0]
    torch.testing.assert_close(made["samples"], clean_estimate(svd, positive, latent["samples"]), atol=1e-4, rtol=1e-4)


def test_the_model_is_called_once_with_the_latent_as_it_is(node, load_wan, conditioned, watched):
    model, calls = watched(load_wan("flf2v"))
    positive, _ = conditioned("flf2v")
    latent = latent_of((1, 16, 5, 4, 6), 0, 4)
    node.execute(model, positive, latent)
    (call,) = calls
    assert call.transformer_options["cond_or_uncond"] == [0]
    assert call.sigma.tolist() == [1.0]
    torch.testing.assert_close(call.x, model.model.process_latent_in(latent["samples"]))
    pictures = model.model.process_latent_in(positive[0][1]["concat_latent_image"])
    torch.testing.assert_close(call.c_concat[:, 4:], pictures)


def test_nothing_is_random(node, load_wan, conditioned):
    model, (positive, _), latent = load_wan("t2v"), conditioned("t2v"), latent_of((1, 16, 5, 4, 6), 0)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = node.execute(model, positive, latent).args[0]["samples"]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(node.execute(model, positive, latent).args[0]["samples"], first)


def test_two_videos_are_guessed_as_each_by_itself(node, load_wan, conditioned):
    model, (positive, _) = load_wan("t2v"), conditioned("t2v")
    both = torch.cat([latent_of((1, 16, 5, 4, 6), seed=seed)["samples"] for seed in (7, 8)])
    made = node.execute(model, positive, {"samples": both}).args[0]["samples"]
    for place in range(2):
        alone = node.execute(model, positive, {"samples": both[place : place + 1]}).args[0]["samples"]
        torch.testing.assert_close(made[place : place + 1], alone, atol=1e-4, rtol=1e-4)


# keyframes


def test_keyframes_are_put_back_bit_for_bit(node, load_wan, conditioned):
    model, (positive, _) = load_wan("t2v"), conditioned("t2v")
    latent = latent_of((1, 16, 5, 4, 6), 0, 2, 4)
    made = node.execute(model, positive, latent).args[0]
    guess = node.execute(model, positive, {"samples": latent["samples"]}).args[0]["samples"]
    assert made[PLACES] == (0, 2, 4)
    assert torch.equal(made["samples"][:, :, [0, 2, 4]], latent["samples"][:, :, [0, 2, 4]])
    assert torch.equal(made["samples"][:, :, [1, 3]], guess[:, :, [1, 3]])
    assert not torch.allclose(guess[:, :, [0, 2, 4]], latent["samples"][:, :, [0, 2, 4]], atol=0.1)


def test_keyframes_of_svd_are_put_back_along_its_frames(node, svd, svd_inputs):
    positive, latent = svd_inputs().conditionings["forward_positive"], latent_of((5, 4, 4, 6), 0, 4)
    made = node.execute(svd, positive, latent).args[0]["samples"]
    assert torch.equal(made[[0, 4]], latent["samples"][[0, 4]])
    assert not torch.allclose(made[1:4], latent["samples"][1:4], atol=0.1)


def test_what_else_a_latent_carries_travels_on_and_the_latent_is_left_alone(node, load_wan, conditioned):
    latent = latent_of((1, 16, 5, 4, 6), 0) | {"noise_mask": torch.ones(1, 1, 5, 4, 6), "batch_index": [3]}
    copy = latent["samples"].clone()
    made = node.execute(load_wan("t2v"), conditioned("t2v")[0], latent).args[0]
    assert made.keys() == latent.keys()
    assert made["noise_mask"] is latent["noise_mask"]
    assert made["batch_index"] == [3]
    assert torch.equal(latent["samples"], copy)


# the model


def test_a_lora_counts_and_the_model_is_as_before(node, load_wan, conditioned, clean_estimate):
    plain, (positive, _), latent = load_wan("t2v"), conditioned("t2v"), latent_of((1, 16, 5, 4, 6))
    before = node.execute(plain, positive, latent).args[0]["samples"]
    patched, name = plain.clone(), "diffusion_model.blocks.0.ffn.0.weight"
    weight = plain.model.state_dict()[name]
    assert patched.add_patches({name: ("diff", (0.5 * torch.ones_like(weight),))}, 1.0) == [name]
    made = node.execute(patched, positive, latent).args[0]["samples"]
    torch.testing.assert_close(made, clean_estimate(patched, positive, latent["samples"]))
    assert not torch.allclose(made, before, atol=0.01)
    assert torch.equal(node.execute(plain, positive, latent).args[0]["samples"], before)


def test_what_was_added_to_the_model_is_used(node, load_wan, conditioned):
    model, (positive, _), latent = load_wan("t2v").clone(), conditioned("t2v"), latent_of((1, 16, 5, 4, 6))
    before = node.execute(model, positive, latent).args[0]["samples"]
    patched = model.clone()
    patched.set_model_unet_function_wrapper(lambda apply, args: 2 * apply(args["input"], args["timestep"], **args["c"]))
    made = node.execute(patched, positive, latent).args[0]["samples"]
    inside = model.model.process_latent_in
    torch.testing.assert_close(inside(made), 2 * inside(before), atol=1e-4, rtol=1e-4)


def test_a_node_that_asks_for_the_negative_finds_none(node, load_wan, conditioned):
    """As guidance nodes do, which switch off that a negative is left out at cfg 1."""
    model, (positive, _), latent = load_wan("t2v"), conditioned("t2v"), latent_of((1, 16, 5, 4, 6))
    asked, guided = [], model.clone()
    guided.set_model_sampler_cfg_function(
        lambda args: (asked.append(args["cond_scale"]), args["cond"])[1], disable_cfg1_optimization=True
    )
    made = node.execute(guided, positive, latent).args[0]["samples"]
    assert asked == [1.0]
    torch.testing.assert_close(made, node.execute(model, positive, latent).args[0]["samples"], atol=1e-4, rtol=1e-4)


# refusals


def test_an_empty_latent_is_refused_before_the_model_is_called(node, load_wan, conditioned, watched):
    model, calls = watched(load_wan("t2v"))
    for channels in (16, 4):
        with pytest.raises(ValueError, match="latent is all zero: connect the prior of Bridge Prior, which holds the"):
            node.execute(model, conditioned("t2v")[0], {"samples": torch.zeros(1, channels, 5, 4, 6)})
    assert calls == []


def test_a_latent_of_another_model_is_refused_before_the_model_is_called(node, load_wan, conditioned, watched):
    model, calls = watched(load_wan("t2v"))
    message = "latent has 48 channels, this model's latents have 16: make it with the model's own VAE"
    with pytest.raises(ValueError, match=message):
        node.execute(model, conditioned("t2v")[0], latent_of((1, 48, 5, 4, 6)))
    assert calls == []


@pytest.mark.parametrize(
    ("latent", "message"),
    [
        (latent_of((1, 16, 4, 6)), "latent is 1x16x4x6, this model's latents are those of videos: make it with Bridge"),
        (latent_of((1, 16, 4, 4, 6)), "latent has 4 latent frames of 6x4, the conditioning was made for 5 latent fram"),
        ({**latent_of((1, 16, 5, 4, 6)), "inbetween_vae": "HunyuanVideo"}, "prior was made with the VAE of Hunyuan"),
    ],
)
def test_a_latent_of_another_video_is_refused_before_the_model_is_called(
    node, load_wan, conditioned, watched, latent, message
):
    model, calls = watched(load_wan("i2v_14b"))
    with pytest.raises(ValueError, match=message):
        node.execute(model, conditioned("i2v_14b")[0], latent)
    assert calls == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_no_numbers_are_told(node, load_wan, conditioned, bad):
    model = load_wan("t2v").clone()
    model.set_model_unet_function_wrapper(lambda apply, args: bad * apply(args["input"], args["timestep"], **args["c"]))
    with pytest.raises(ValueError, match="model gave values that are no numbers: is it trained as a prior"):
        node.execute(model, conditioned("t2v")[0], latent_of((1, 16, 5, 4, 6), 0, 1, 2, 3, 4))
