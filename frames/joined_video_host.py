"""A joined video for the host's VIDEO socket."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from comfy_api.latest import InputImpl, Types
from torch import Tensor


class JoinedComponents(InputImpl.VideoFromComponents):  # type: ignore[valid-type, misc]
    """The host's video, which says in plain words what its encoder cannot take."""

    def __init__(self, images: Tensor, rate: Fraction) -> None:
        """images: [N,H,W,3] in 0..1. rate: frames per second."""
        super().__init__(Types.VideoComponents(images=images, frame_rate=rate))
        self._height, self._width = images.shape[1:3]

    def save_to(self, *args: Any, **kwargs: Any) -> Any:
        """The host's. Raises ValueError for a side of an odd number of pixels."""
        if self._width % 2 or self._height % 2:
            even = f"{max(2, self._width // 2 * 2)}x{max(2, self._height // 2 * 2)}"
            raise ValueError(
                f"the joined video is {self._width}x{self._height}, and a video file needs even sides: scale or crop "
                f"the segments to {even}, or save the pictures."
            )
        return super().save_to(*args, **kwargs)
