"""Which models a VAE belongs to, by its class; what cannot be told is in the log."""

import logging
from types import SimpleNamespace

import pytest


def vae_of(network, dimensions=3):
    return SimpleNamespace(first_stage_model=network, latent_dim=dimensions)


@pytest.fixture(scope="module")
def hunyuan_network(host):
    from comfy.ldm.models.autoencoder import AutoencodingEngine

    return AutoencodingEngine.__new__(AutoencodingEngine)  # the class, without its weights


def test_the_families(wan_vae, vae_5b, hunyuan_network):
    from pack.frames.vae_family_host import vae_family

    assert vae_family(wan_vae) == "Wan"
    assert vae_family(vae_of(hunyuan_network)) == "HunyuanVideo"
    assert vae_family(vae_of(hunyuan_network, 2)) == "AutoencodingEngine"
    assert vae_family(vae_5b) == ""


def test_another_family_is_refused_and_what_cannot_be_told_is_logged(
    load_wan, wan_vae, vae_5b, hunyuan_network, caplog
):
    from pack.frames.vae_family_host import check_vae_of_model

    caplog.set_level(logging.WARNING)
    model = load_wan("i2v_14b")
    check_vae_of_model(wan_vae, model)
    assert not caplog.records
    with pytest.raises(ValueError, match="vae is of HunyuanVideo, the model is Wan: .* load wan_2.1_vae or wan2.2_vae"):
        check_vae_of_model(vae_of(hunyuan_network), model)
    check_vae_of_model(vae_5b, model)
    assert "whether it was made for Wan cannot be told" in caplog.text
