"""The report of a conditioning node: what was asked for, where it landed, what was changed. Text only."""

from __future__ import annotations

from collections.abc import Sequence

from .keyframe_track import KeyframeTrack
from .wan_layout import WanPlacement, latent_frame_count


def placement_report(
    track: KeyframeTrack, placed: Sequence[WanPlacement], layout: str, placement: str, notes: Sequence[str]
) -> str:
    """Lines of plain text: the video, one line per keyframe, then the notes.

    Args:
        track, placed: the keyframes and where each one landed, in the same order.
        layout: the model layout in words. placement: the mode's name. notes: further sentences.
    """
    lines = [
        f"{layout}: {track.length} frames, {track.width}x{track.height}, {track.fps:g} fps ({track.seconds:.2f} s), "
        f"{latent_frame_count(track.length)} latent frames. Placement: {placement}."
    ]
    for keyframe, item in zip(track.keyframes, placed, strict=True):
        channels = sorted(entry % 4 for entry in item.mask_entries)
        whole = len(channels) == 4
        where = f"whole latent {item.latent}" if whole else f"latent {item.latent}, mask channel {channels[0]}"
        held = "" if str(item.frame) == item.held else f", held on {item.held}"
        height, width = keyframe.image.shape[1:3]
        size = "" if (width, height) == (track.width, track.height) else f", {width}x{height} {_FITTED[track.fit]}"
        strength = "" if keyframe.strength == 1.0 else f", strength {keyframe.strength:g}"
        change = f", {keyframe.change}" if keyframe.change else ""
        lines.append(f"frame {item.frame}{held}: {keyframe.source}{strength}{size}{change} ({where})")
    return "\n".join([*lines, *notes])


def cost_note(batch_size: int) -> str:
    """What a video costs in model calls, in a sentence; how many steps there are is set behind the conditioning.

    batch_size: videos at once, each in every call.
    """
    batch = "" if batch_size == 1 else f" Each works on {batch_size} videos."
    return (
        "Cost: one model call a step, which does the work of two where cfg is above 1: 20 steps at cfg 3.5 take as "
        "long as 40 at cfg 1. Anchor Frame Bridging adds its reverse pass, by default 30 % of the steps: 1.3 times the "
        f"calls.{batch}"
    )


_FITTED = {
    "crop": "scaled and cropped to fill the video",
    "pad": "scaled to fit, padded with black",
    "stretch": "stretched to the video's size",
}
