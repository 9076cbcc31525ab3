"""Progress and cancel for loops over frames, by the host."""

from __future__ import annotations

from collections.abc import Callable

import comfy.model_management
import comfy.utils


def watch_frames(total: int) -> Callable[[int], None]:
    """What to call after every few frames: moves the host's progress bar, and raises if the user has cancelled.

    Args:
        total: frames to come.
    """
    progress = comfy.utils.ProgressBar(total)

    def done(frames: int) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        progress.update(frames)

    return done
