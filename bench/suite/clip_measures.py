"""Numbers of one video through a network that somebody else keeps: X-CLIP's similarity of a video and its caption.

The network, its tokens and its pictures are those of transformers (Ni et al. 2022, arXiv:2208.02816). The number is the
cosine between the video's vector and the caption's, which X-CLIP first moves towards the video. The network is shown as
many frames as it was trained on (8), spread evenly, both ends among them: the same for every method. transformers
brings the shorter side to 224 and cuts the middle out, so the edges of a wide video are not judged; a caption is cut at
77 tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from .results import Measure
from .set_measures import long_enough, telling
from .video_files import Frames, resampled

XCLIP = Measure("xclip", "X-CLIP", "", "higher", ".4f")


class ClipMeasure(Protocol):
    """Numbers of one video. measures: their columns. about: a sentence for under the table."""

    name: str
    measures: tuple[Measure, ...]
    about: str

    def scores(self, video: Frames, caption: str, fps: float) -> dict[str, float | None]:
        """By the key of each measure; None where a number does not exist.

        Raises MeasureError for a video that is too short.
        """


class CaptionSimilarity:
    """X-CLIP, from -1 to 1; about 0.2 for a caption that fits."""

    name, measures = "X-CLIP", (XCLIP,)
    about = (
        "X-CLIP: cosine of a clip and its caption, 8 frames spread evenly, their middle square; a caption is cut at 77 "
        "tokens."
    )

    def __init__(self, folder: Path, device: str) -> None:
        """folder: a copy of microsoft/xclip-base-patch32 or its like. Raises MeasureError where it is not that."""
        from transformers import XCLIPModel, XCLIPProcessor

        with telling("X-CLIP", folder):
            self.processor = XCLIPProcessor.from_pretrained(str(folder), local_files_only=True)
            model, found = XCLIPModel.from_pretrained(str(folder), local_files_only=True, output_loading_info=True)
            if found["missing_keys"]:
                raise ValueError(f"it lacks {len(found['missing_keys'])} of the model's tensors")
        self.device, self.model = device, model.eval().to(device)
        self.num_frames = model.config.vision_config.num_frames
        self.num_tokens = model.config.text_config.max_position_embeddings

    @torch.no_grad()
    def scores(self, video: Frames, caption: str, fps: float) -> dict[str, float | None]:
        if not caption.strip():
            return {XCLIP.key: None}
        shown = list(resampled(long_enough(video, self.num_frames, "X-CLIP"), self.num_frames))
        cut = {"padding": True, "truncation": True, "max_length": self.num_tokens}
        inputs = self.processor(text=[caption], videos=shown, return_tensors="pt", **cut).to(self.device)
        found = self.model(**inputs)
        return {XCLIP.key: float(found.logits_per_video[0, 0] / self.model.logit_scale.exp())}
