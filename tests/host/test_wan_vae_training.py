"""The VAE that trains on whole clips is the host's, which works in pieces."""

import pytest
import torch

from pack.demo.tiny_models import filled
from pack.training.video_vae import folded
from pack.training.wan_vae import WanVAE, widened

pytestmark = pytest.mark.workshop


@pytest.fixture(scope="module")
def both(host):
    """Ours and the host's with the same random weights, width 8."""
    from comfy.ldm.wan.vae import WanVAE as HostVAE

    theirs = HostVAE(
        dim=8,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=2,
        attn_scales=[],
        temperal_downsample=[False, True, True],
    )
    weights = filled(theirs)
    theirs.load_state_dict(weights)
    ours = WanVAE(8)
    ours.load_state_dict(weights)
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("frames", [1, 5, 9, 17, 33])
def test_encoding_is_the_host_s(both, frames):
    ours, theirs = both
    clip = torch.rand(1, 3, frames, 32, 48, generator=torch.Generator().manual_seed(frames)) * 2 - 1
    torch.testing.assert_close(ours.encode(clip)[0], theirs.encode(clip), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("latents", [1, 2, 3, 5, 9])
def test_decoding_is_the_host_s(both, latents):
    ours, theirs = both
    latent = torch.randn(1, 16, latents, 4, 6, generator=torch.Generator().manual_seed(latents))
    torch.testing.assert_close(ours.decode(latent), theirs.decode(latent), atol=1e-4, rtol=1e-4)


def test_a_clip_does_not_see_its_future(both):
    ours, _ = both
    clip = torch.rand(1, 3, 17, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    changed = clip.clone()
    changed[:, :, 9:] = 0
    torch.testing.assert_close(ours.encode(clip)[0][:, :, :3], ours.encode(changed)[0][:, :, :3])


def test_folding_scales_latents_for_the_host_and_changes_no_picture(both):
    from comfy.latent_formats import Wan21

    ours, _ = both
    clips = torch.rand(4, 3, 9, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    plain = ours.encode(clips)[0]
    changed = WanVAE(8).eval()
    changed.load_state_dict(folded(ours.state_dict(), plain))
    seen = Wan21().process_in(changed.encode(clips)[0])
    torch.testing.assert_close(seen.mean(dim=(0, 2, 3, 4)), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(seen.std(dim=(0, 2, 3, 4)), torch.ones(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(changed.decode(changed.encode(clips)[0]), ours.decode(plain), atol=1e-3, rtol=1e-3)


@pytest.fixture
def gradients():
    """The tests of this folder run without."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def test_a_widened_vae_gives_the_same_pictures_and_its_twins_do_not_stay_alike(both, gradients):
    ours, wide = WanVAE(8), WanVAE(16)
    ours.load_state_dict(both[0].state_dict())
    wide.load_state_dict(widened(ours.state_dict(), wide))
    clip = torch.rand(1, 3, 9, 32, 48, generator=torch.Generator().manual_seed(3)) * 2 - 1
    made = wide.decode(wide.encode(clip)[0])
    torch.testing.assert_close(made, ours.decode(ours.encode(clip)[0]), atol=1e-4, rtol=1e-4)
    made.square().mean().backward()
    gradient = wide.decoder.upsamples[0].residual[2].weight.grad
    assert (gradient[::2] - gradient[1::2]).abs().max() > 1e-3 * gradient.abs().max()


def test_a_decoder_trained_alone_leaves_the_encoder_as_it_is(host, gradients, tmp_path):
    from pack.training.video_latents import fingerprint
    from pack.training.video_vae import VideoDecoder

    task = VideoDecoder("an encoder", width=8)
    module = task.module()
    before = {name: value.clone() for name, value in module.vae.state_dict().items()}
    loss, _ = module({"clip": torch.rand(1, 3, 5, 32, 32) * 2 - 1, "seed": 0, "shallow": False})
    loss.backward()
    trained = {name for name, value in module.vae.named_parameters() if value.grad is not None}
    assert trained and all(name.startswith(("decoder.", "conv2.")) for name in trained)
    task.export(module, tmp_path / "vae.safetensors")
    again = task.module()
    task.load(again, tmp_path / "vae.safetensors")
    for name, value in again.vae.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert fingerprint(tmp_path / "vae.safetensors") == "an encoder"
