"""What Keyframe Attention was set to, and whether it makes sense. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .block_range import PAPER_BLOCKS

BRANCHES = ("all", "text", "image")


@dataclass(frozen=True)
class KeyframeAttention:
    """What the node was set to; see its tooltips. The defaults are the paper's.

    blocks: text as `block_indices` reads it, "" scales with the depth. keyframes: latent frames that are anchors too.
    length: video frames that the track is for, 0 without a track.
    """

    strength: float = 1.0
    isolate: bool = True
    text_weight: float = 1.0
    first_weight: float = 1.0
    last_weight: float = 1.0
    beta_end: float = 0.7
    beta_mid: float = 0.3
    epsilon: float = 5e-4
    blocks: str = PAPER_BLOCKS
    start_percent: float = 0.0
    end_percent: float = 0.4
    branches: str = "all"
    on_negative: bool = False
    weights_by_position: bool = False
    keyframes: tuple[int, ...] = ()
    length: int = 0

    def __post_init__(self) -> None:
        if self.strength < 0:
            raise ValueError(
                f"strength is {self.strength:g}; use 0 (off) or more. Below 0 frames would be led away from the "
                f"keyframes."
            )
        if self.start_percent > self.end_percent:
            raise ValueError(
                f"start_percent {self.start_percent:g} is above end_percent {self.end_percent:g}, so the bias would "
                f"never be on: exchange them."
            )
        if not self.epsilon > 0:
            raise ValueError(f"epsilon is {self.epsilon:g}; it must be above 0 (the paper's is 0.0005).")
        if self.branches not in BRANCHES:
            raise ValueError(f"branches must be one of {', '.join(BRANCHES)}, got {self.branches!r}.")

    @property
    def latent_frames(self) -> int:
        """Latent frames of the track's video."""
        return (self.length - 1) // 4 + 1

    @property
    def needs_layout(self) -> bool:
        """Whether the first and the last picture are treated differently."""
        return self.first_weight != self.last_weight or self.weights_by_position
