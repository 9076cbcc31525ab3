"""check_conditioned_video and check_family: a latent that is another video's, a prior of another model's VAE."""

import pytest
import torch

from pack.samplers.conditioned_video import check_conditioned_video, check_family


def mask(*size):
    return {"concat_mask": torch.ones(1, 4, *size)}


def test_the_same_size_a_condition_without_a_mask_and_other_conditionings_pass():
    samples = torch.zeros(2, 16, 5, 4, 6)
    for entry in (mask(5, 4, 6), {"concat_latent_image": torch.ones(1, 16, 2, 4, 6)}, {}, {"concat_mask": None}):
        check_conditioned_video("latent", samples, [entry])
    check_conditioned_video("latent", torch.zeros(14, 4, 4, 6), [{"inbetween_frames": 14}])


@pytest.mark.parametrize(
    ("samples", "entry", "message"),
    [
        (
            torch.zeros(1, 16, 4, 4, 6),
            mask(5, 4, 6),
            "latent has 4 latent frames of 6x4, .* for 5 latent frames",
        ),
        (
            torch.zeros(1, 16, 5, 4, 4),
            mask(5, 4, 6),
            "latent has 5 latent frames of 4x4, .* latent frames of 6x4",
        ),
        (torch.zeros(1, 16, 4, 6), mask(5, 4, 6), "latent has 1x16x4x6, a picture's latent, the .* made for a video"),
        (torch.zeros(13, 4, 4, 6), {"inbetween_frames": 14}, "latent has 13, the conditioning was made for 14 frames"),
    ],
)
def test_another_size_is_named_with_both(samples, entry, message):
    with pytest.raises(ValueError, match=message):
        check_conditioned_video("latent", samples, [{}, entry])


@pytest.mark.parametrize("latents", ["Wan21", "Wan22"])
def test_a_prior_of_another_family_is_named(latents):
    check_family("Wan", latents)
    check_family("", latents)
    check_family("HunyuanVideo", "HunyuanVideo15")
    check_family("AutoencodingEngine", "SD15")
    with pytest.raises(ValueError, match="prior was made with the VAE of HunyuanVideo, the model is Wan"):
        check_family("HunyuanVideo", latents)
