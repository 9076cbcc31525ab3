"""How many model calls a sampler will make, in a sentence for the log. Text only."""

from __future__ import annotations


def call_count(sampler: str, steps: int, calls: int, plain: int) -> str:
    """The sentence.

    Args:
        sampler: the node's name. steps: of the schedule.
        calls: how often the model is asked, for one direction of time each time.
        plain: how often a sampler of one call a step and direction would ask.
    """
    return (
        f"{sampler}: {calls} model calls in {steps} steps, {calls / plain:.3g} times a plain sampler's {plain}; each "
        "does the work of two where cfg is above 1."
    )
