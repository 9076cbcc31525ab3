"""What Select Anchors was set to, and whether it makes sense. Pure."""

from __future__ import annotations

from dataclasses import dataclass

SCORE_ON = ("auto", "forward", "reverse", "disagreement", "fixed")


@dataclass(frozen=True)
class AnchorSettings:
    """What the node was set to; see its tooltips. margin and rhythm are in video frames, earliest in shares of it.

    The paper's search is earliest 0, min_break 0 and rhythm 1; where it looks for the break is ours.
    """

    score_on: str = "auto"
    count: int = 1
    margin: int = 8
    fixed_alpha: float = 0.75
    earliest: float = 0.5
    min_break: float = 0.0
    rhythm: int = 4

    def __post_init__(self) -> None:
        if self.score_on not in SCORE_ON:
            raise ValueError(f"score_on must be one of {', '.join(SCORE_ON)}, got {self.score_on!r}.")
        if self.score_on == "fixed" and self.count != 1:
            raise ValueError(
                f"score_on 'fixed' places 1 anchor, at fixed_alpha, but count is {self.count}: set count to 1."
            )

    def scored(self, has_forward: bool) -> str:
        """What is measured: 'forward', 'reverse' or 'disagreement'; or 'fixed', nothing.

        Args:
            has_forward: whether a forward video is connected.
        Raises:
            ValueError: a forward video is needed and is not there.
        """
        if self.score_on in ("forward", "disagreement") and not has_forward:
            raise ValueError(
                f"score_on is '{self.score_on}' but forward is not connected: connect a forward video, or use 'auto'."
            )
        if self.score_on == "auto":
            return "forward" if has_forward else "reverse"
        return self.score_on
