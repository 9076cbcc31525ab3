"""Where keyframes go in Wan's video layout: latent frames, mask channels, pixel clip. Pure torch.

symbol   here                shape            unit
N        length              --               video frames, 4 T - 3
T        latent_frame_count  --               latent frames, (N-1)/4 + 1
n        frame               --               video frame
l(n)     latent_of_frame     --               latent frame, (n+3)//4; latent 0 holds frame 0, latent l holds 4l-3 .. 4l
c(n)     mask_channel        --               (n+3) mod 4; frame 0 fills all four channels of latent 0
M        --                  [1,4,T,h,w]      1 = known (the model's sign)
--       concat_mask         [1,4,T,h,w]      0 = known (ComfyUI's sign, 1 - M)
I_c      keyframe_clip       [N,H,W,3]        0..1, unknown frames 0.5 grey

Source: Wan 2.1 wan/first_last_frame2video.py; Anchor Frame Bridging (ICLR 2026, OpenReview isNjWnVsUR), Design 3.
Differences from the paper: it writes the mask as 1 x N; as in its code and in Wan, frame 0 is repeated four times and
the N+3 entries are folded into [4, T]. Its 82- and 83-frame layouts, which need a rebuilt VAE, are not offered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .keyframe_track import KeyframeTrack

PLACEMENTS = ("snap", "exact", "snap_full", "repeat4", "own_latent")


@dataclass(frozen=True)
class WanPlacement:
    """Where one keyframe goes.

    frame: n, as asked. pixel_frames: frames of the clip that show the picture (empty: it is encoded by itself).
    mask_entries: known entries among the N+3 of the unfolded mask. latent: the latent frame that carries it.
    """

    frame: int
    pixel_frames: tuple[int, ...]
    mask_entries: tuple[int, ...]
    latent: int

    @property
    def held(self) -> str:
        """The frames that show the picture, for a reader: "20", "17-20", or "about 17-20" for its own latent."""
        if not self.pixel_frames:
            return f"about {4 * self.latent - 3}-{4 * self.latent}"
        if len(self.pixel_frames) == 1:
            return str(self.pixel_frames[0])
        return f"{self.pixel_frames[0]}-{self.pixel_frames[-1]}"


def latent_frame_count(length: int) -> int:
    """T = (N-1)//4 + 1 for N video frames. Source: Wan 2.1."""
    return (length - 1) // 4 + 1


def latent_of_frame(frame: int) -> int:
    """l(n) = (n+3)//4, the latent frame that holds video frame n >= 0. Source: Wan 2.1."""
    return (frame + 3) // 4


def mask_channel(frame: int) -> int:
    """c(n) = (n+3) mod 4, the mask channel of video frame n >= 1. Source: Wan 2.1."""
    return (frame + 3) % 4


def nearest_on_grid(value: int, step: int, offset: int = 0) -> tuple[int, ...]:
    """The one or two numbers of the form step*k + offset (k >= 0, at least 1) that lie nearest to value."""
    smallest = offset or step
    if value <= smallest:
        return (smallest,)
    below = (value - offset) // step * step + offset
    return tuple(number for number in (below, below + step) if number >= smallest)


def nearest_shown(value: int, step: int, offset: int = 0) -> str:
    """`nearest_on_grid` in words: "nearest are 96 and 112", or "nearest is 16" where there is one."""
    numbers = nearest_on_grid(value, step, offset)
    return f"nearest {'are' if len(numbers) > 1 else 'is'} {' and '.join(map(str, numbers))}"


def check_wan_grid(width: int, height: int, length: int, multiple: int = 16, family: str = "Wan") -> None:
    """Raises ValueError, with the nearest legal numbers, if Wan cannot make a video of this size and length.

    Args:
        width, height: pixels, multiples of `multiple` (VAE compression times the model's patch: 16, for Wan 2.2 5B 32).
        length: video frames, 4n+1.
        family: what the message calls the model; HunyuanVideo has Wan's grid.
    """
    problems = []
    for name, value in (("width", width), ("height", height)):
        if value % multiple or value < multiple:
            nearest = nearest_shown(value, multiple)
            problems.append(f"{name} {value} is not a multiple of {multiple}; the {nearest}")
    if (length - 1) % 4 or length < 1:
        problems.append(f"length {length} is not 4n+1 for {family}; the {nearest_shown(length, 4, 1)}")
    if problems:
        raise ValueError(". ".join(problems) + ". Change it in the Keyframes node.")


def place_keyframe(frame: int, length: int, placement: str) -> WanPlacement:
    """Where Wan's layout puts a keyframe.

    The two ends are always Wan's own: frame 0 in all four channels of latent 0, frame N-1 in channel 3 of the last
    latent. Frames between follow `placement`:
      snap        frame n' = 4 floor(n/4 + 1/2), channel 3 of latent n'/4, as Wan's own last frame
      exact       frame n, channel c(n) of latent l(n)
      snap_full   frame n', all four channels of latent n'/4
      repeat4     the picture on all frames of latent l(n), all four channels
      own_latent  the picture encoded by itself replaces latent l(n), all four channels
    Source: AFB Design 3 (exact); ours (snap, repeat4, own_latent after AFB's code); snap_full is community practice.

    Args:
        frame: n, 0 to length-1.
        length: N, 4n+1.
        placement: one of PLACEMENTS.
    Raises:
        ValueError: placement is unknown.
    """
    if placement not in PLACEMENTS:
        raise ValueError(f"placement must be one of {', '.join(PLACEMENTS)}, got {placement!r}.")
    if frame == 0:
        return WanPlacement(0, (0,), (0, 1, 2, 3), 0)
    if frame == length - 1:
        return WanPlacement(frame, (frame,), (frame + 3,), latent_of_frame(frame))
    if placement in ("snap", "snap_full"):
        snapped = (frame + 2) // 4 * 4
        latent = snapped // 4
        one_entry = placement == "snap" and snapped > 0
        entries = (snapped + 3,) if one_entry else tuple(range(4 * latent, 4 * latent + 4))
        return WanPlacement(frame, (snapped,), entries, latent)
    latent = latent_of_frame(frame)
    if placement == "exact":
        return WanPlacement(frame, (frame,), (4 * latent + mask_channel(frame),), latent)
    entries = tuple(range(4 * latent, 4 * latent + 4))
    pixels = tuple(range(4 * latent - 3, 4 * latent + 1)) if placement == "repeat4" else ()
    return WanPlacement(frame, pixels, entries, latent)


def place_keyframes(
    frames: Sequence[int], length: int, placement: str, whole_latents: bool = False
) -> list[WanPlacement]:
    """`place_keyframe` for all keyframes of a track, checked against each other.

    Args:
        frames: distinct video frames, in order.
        whole_latents: True when the model can only hold whole latent frames (Wan 2.2 5B, HunyuanVideo).
    Raises:
        ValueError: two keyframes land in the same place.
    """
    placed = [place_keyframe(frame, length, placement) for frame in frames]
    if whole_latents:
        placed = [_whole_latent(item) for item in placed]
    for index, item in enumerate(placed):
        for other in placed[:index]:
            if set(item.mask_entries) & set(other.mask_entries):
                remedy = (
                    "keep them at least 4 frames apart"
                    if whole_latents or placement != "snap"
                    else "keep them at least 4 frames apart, or use placement 'exact'"
                )
                how = "" if whole_latents else f" with placement '{placement}'"
                raise ValueError(
                    f"keyframes {other.frame} and {item.frame} both land on latent frame {item.latent} (video frames "
                    f"{max(0, 4 * item.latent - 3)}-{4 * item.latent}){how}: {remedy}."
                )
    return placed


def _whole_latent(item: WanPlacement) -> WanPlacement:
    """The placement widened to its whole latent frame; a picture that is not encoded by itself shows on all of it."""
    if item.latent == 0:
        return item
    end = 4 * item.latent
    pixels = tuple(range(end - 3, end + 1)) if item.pixel_frames else ()
    return WanPlacement(item.frame, pixels, tuple(range(end, end + 4)), item.latent)


def snapped_latents(track: KeyframeTrack) -> tuple[int, ...]:
    """Latent frames that hold a track's keyframes with placement snap."""
    return tuple(place_keyframe(item.frame, track.length, "snap").latent for item in track.keyframes)


def concat_mask(
    placed: Sequence[WanPlacement], strengths: Sequence[float], length: int, height: int, width: int
) -> Tensor:
    """ComfyUI's `concat_mask`: 1 - strength where a keyframe is known, 1 elsewhere.

    Args:
        placed, strengths: one each per keyframe; strength 1 is fully known.
        length: N video frames; height, width: h, w of the latent.
    Returns:
        [1,4,T,h,w] float32 on the CPU.
    """
    mask = torch.ones(1, 1, 4 * latent_frame_count(length), height, width)
    for item, strength in zip(placed, strengths, strict=True):
        mask[:, :, list(item.mask_entries)] = 1.0 - strength
    return mask.view(1, -1, 4, height, width).transpose(1, 2)


def keyframe_clip(placed: Sequence[WanPlacement], pictures: Sequence[Tensor], length: int) -> Tensor:
    """The clip that Wan's VAE encodes as condition: 0.5 grey except where a keyframe shows.

    Args:
        placed, pictures: one each per keyframe; pictures are [1,H,W,3] in 0..1, all of one size.
    Returns:
        [N,H,W,3] float32 on the CPU.
    Cost: O(N H W) memory, 12 bytes per pixel and frame.
    """
    clip = torch.ones(length, *pictures[0].shape[1:]) * 0.5
    for item, picture in zip(placed, pictures, strict=True):
        for frame in item.pixel_frames:
            clip[frame] = picture[0]
    return clip
