"""The encoders as the host's nodes use them: CLIPTextEncode, CLIPVisionEncode, SVD_img2vid_Conditioning."""

from __future__ import annotations

from typing import Any

import comfy.clip_vision
from torch import Tensor

from .encoders import picture_tokens, picture_vectors, word_tokens


class WordEncoder:
    """What CLIPTextEncode asks of a CLIP."""

    def tokenize(self, text: str, **_: Any) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str, **_: Any) -> list[list[Any]]:
        return [[word_tokens(tokens)[None], {}]]


class PictureEncoder:
    """What the host asks of a CLIP_VISION. Pictures are never cropped."""

    def encode_image(self, image: Tensor, crop: bool = True) -> comfy.clip_vision.Output:
        output = comfy.clip_vision.Output()
        output["penultimate_hidden_states"] = output["last_hidden_state"] = picture_tokens(image[..., :3])
        output["image_embeds"] = picture_vectors(image[..., :3])
        return output
