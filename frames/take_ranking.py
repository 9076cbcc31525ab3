"""Which of several takes of one video is best, by its keyframes and its seams. Pure torch.

symbol   here                 shape    unit
s_n      steps                [N-1]    mean |I_n+1 - I_n| over pixels and channels, colour 0..1
m        median_step          --       median of s, how much the take moves
d        keyframe_distance    --       mean distance of the take's frames from the keyframes on them
j        tail_jump            --       largest of the last TAIL steps / m
w        worst_step           --       largest of the other steps / m
--       score                --       (1 + d / NOTICEABLE) max(1, j) max(1, w), lowest is best, 1 is perfect

Source: ours. A score that multiplies ratios is the same whatever other takes there are, and a small lead in two numbers
does not outweigh a flash in the third, as it can where ranks are added. NOTICEABLE keeps distances below it from
deciding. Ending calmer than the take moves is no merit, so j and w count as 1 at least.
A take that stands still has no steps to be judged by; it comes after all takes that move. To go from keyframe to
keyframe a video must take steps of `least_step` on average (triangle inequality); a take whose median step is below a
quarter of that stands still in half of its frames or more.
Plain differences, because each step is compared with steps of the same take: no network sees all frames.
What it does not do: among takes without a fault the best one is no nearer to the truth than the others (12 clips of the
demo world, four seeds each: 20.13 dB of PSNR where something moves, against 20.16 in the mean).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .finite_frames import finite_frames
from .keyframe_track import KeyframeTrack
from .perceptual_distance import PerceptualMetric, Watch
from .take_plot import TakeCurve, take_plot

TAKES = tuple(f"take_{number}" for number in range(1, 51))
TAIL = 8  # steps; half of them in a short video
NOTICEABLE = 0.01  # LPIPS or 1-SSIM
CLOSE = 1.1  # scores in this ratio are pointed out
STILL_SHARE = 0.25
FADE_SHARE = 1.1  # of least_step; a cross-fade's steps are 1
STILL_STEP = 1e-4  # colour 0..1; below it a video of 8 bits stands still
RULE = f"Score = (1 + {1 / NOTICEABLE:g} x keyframe distance) x tail jump x worst step; lowest is best, 1 is perfect"


@dataclass(frozen=True, eq=False)
class Take:
    """The numbers of one take; symbols see above. tail_at, worst_at: n of the largest steps, from frame n to n+1."""

    name: str
    keyframe_distance: float
    tail_jump: float
    tail_at: int
    worst_step: float
    worst_at: int
    steps: Tensor
    still: bool

    @property
    def median_step(self) -> float:
        """m, colour 0..1."""
        return float(self.steps.quantile(0.5))

    @property
    def factors(self) -> dict[str, float]:
        """What is multiplied."""
        return {
            "keyframe distance": 1 + self.keyframe_distance / NOTICEABLE,
            "tail jump": max(1.0, self.tail_jump),
            "worst step": max(1.0, self.worst_step),
        }

    @property
    def score(self) -> float:
        return math.prod(self.factors.values())


@dataclass(frozen=True, eq=False)
class BestTake:
    """images: the best take as it was given. index: its slot, from 1. ranked: best first. plot: [1,h,w,3]."""

    images: Tensor
    index: int
    ranked: tuple[Take, ...]
    plot: Tensor
    report: str


@torch.no_grad()
def best_take(
    takes: Mapping[str, Tensor],
    track: KeyframeTrack,
    pictures: Sequence[Tensor],
    metric: PerceptualMetric,
    watch: Watch | None = None,
) -> BestTake:
    """Measures every take, ranks them by score and gives the first; if equal the nearer keyframes, the earlier slot.

    Args:
        takes: by names out of TAKES, [N,H,W,3] in 0..1, each of the track's length and size.
        track: its keyframes. pictures: theirs at the track's size, [1,H,W,3] each.
        metric: distance of a take's frames from the pictures.
        watch: follows the frames, see `perceptual_distance.Watch`; None for nobody.
    Raises:
        ValueError: no take, no keyframe, fewer than 3 frames, a take of another length or size than the track, or with
            pixels that are not numbers.
    Cost: one difference per frame; the metric sees one frame of each take and one picture per keyframe.
    """
    takes = {name: takes[name] for name in sorted(takes, key=TAKES.index)}
    if not takes:
        raise ValueError("takes is empty: connect at least one take.")
    if not pictures:
        raise ValueError("keyframes is empty: connect first_image or last_image of Keyframes, or add a keyframe.")
    if track.length < 3:
        raise ValueError(f"keyframes has a length of {track.length}: takes are compared from 3 frames on.")
    for name, frames in takes.items():
        _check_size(name, frames, track)
    done = watch(len(takes) * track.length) if watch else None
    keyed: list[Tensor] = []
    steps: list[Tensor] = []
    changes: list[str] = []
    for name, frames in takes.items():
        colour, change = finite_frames(name, frames)
        keyed.append(colour[[item.frame for item in track.keyframes]])
        steps.append(step_sizes(colour))
        changes.append(change)
        if done:
            done(track.length)
    wanted = torch.cat([picture.to(keyed[0].device) for picture in pictures])
    apart = metric.between(torch.cat(keyed), wanted.repeat(len(takes), 1, 1, 1))
    distances = apart.view(len(takes), len(pictures)).mean(dim=1).tolist()
    least = least_step(pictures, track)
    judged = [take_numbers(*item, least) for item in zip(takes, distances, steps, strict=True)]
    ranked = tuple(sorted(judged, key=lambda take: (take.still, take.score, take.keyframe_distance)))
    best = ranked[0].name
    curves = [TakeCurve(take.name, take.steps, "still" if take.still else _scored(take)) for take in ranked]
    tail = track.length - 1 - tail_steps(track.length - 1)
    title = f"Best: {best} of {len(ranked)} take{'s' if len(ranked) > 1 else ''}"
    plot = take_plot(curves, [item.frame for item in track.keyframes], tail, title, RULE)
    report = "\n".join([*_report(ranked, metric.name, track, least), *filter(None, changes)])
    return BestTake(takes[best], TAKES.index(best) + 1, ranked, plot, report)


def step_sizes(frames: Tensor) -> Tensor:
    """s_n = mean |I_n+1 - I_n|.

    Args:
        frames: [N,H,W,3] in 0..1, N >= 2.
    Returns:
        [N-1] on the CPU. Memory of one frame at a time.
    """
    return torch.stack([(after - before).abs().mean() for before, after in pairwise(frames)]).cpu()


def tail_steps(steps: int) -> int:
    """How many steps are the tail of a video: TAIL, but no more than half of them."""
    return min(TAIL, steps // 2)


def least_step(pictures: Sequence[Tensor], track: KeyframeTrack) -> float:
    """Mean step that a video needs to get from each keyframe to the next: sum of mean |K' - K| / frames between.

    0 with a single keyframe or equal ones.
    """
    frames = [item.frame for item in track.keyframes]
    way = sum(float((there - here).abs().mean()) for here, there in pairwise(pictures))
    return way / max(1, frames[-1] - frames[0])


def take_numbers(name: str, keyframe_distance: float, steps: Tensor, least: float) -> Take:
    """What is known of a take.

    Args:
        keyframe_distance: d. steps: [N-1], at least two. least: see `least_step`.
    """
    median, tail = float(steps.quantile(0.5)), tail_steps(len(steps))
    inner, last = steps[:-tail], steps[-tail:]
    tail_at, worst_at = len(inner) + int(last.argmax()), int(inner.argmax())
    jump, worst = (_ratio(float(steps[at]), median) for at in (tail_at, worst_at))
    still = median < max(STILL_SHARE * least, STILL_STEP)
    return Take(name, keyframe_distance, jump, tail_at, worst, worst_at, steps, still)


def _ratio(step: float, median: float) -> float:
    if median == 0:
        return 1.0 if step == 0 else math.inf
    return step / median


def _check_size(name: str, frames: Tensor, track: KeyframeTrack) -> None:
    length, height, width = frames.shape[:3]
    if (length, width, height) != (track.length, track.width, track.height):
        raise ValueError(
            f"{name} has {length} frames of {width}x{height}, keyframes asks for {track.length} of "
            f"{track.width}x{track.height}: connect takes that were made from this track, one video each."
        )


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 1000 else "over 999"


def _scored(take: Take) -> str:
    return f"{take.score:.2f}" if math.isfinite(take.score) else "none"


def _report(ranked: Sequence[Take], metric: str, track: KeyframeTrack, least: float) -> list[str]:
    best = ranked[0]
    lines = [_reason(ranked), f"{RULE}."]
    count = len(track.keyframes)
    lines.append(
        f"Keyframe distance: {metric}, mean over {count} keyframe{'s' if count > 1 else ''}. Tail jump: the largest of "
        f"the last {tail_steps(track.length - 1)} steps over the median step. Worst step: the same for the steps "
        f"before. Both count as 1 where they are below. Step: mean colour difference from frame to frame."
    )
    for place, take in enumerate(ranked, start=1):
        still = ", stands still" if take.still else ""
        lines.append(
            f"{place}. {take.name}: score {_scored(take)}; keyframe distance {take.keyframe_distance:.4f}; "
            f"tail jump {_times(take.tail_jump)} at frame {take.tail_at + 1}; "
            f"worst step {_times(take.worst_step)} at frame {take.worst_at + 1}; "
            f"median step {100 * take.median_step:.3f} %{still}"
        )
    if not best.still and best.median_step < FADE_SHARE * least:
        lines.append(
            f"{best.name} changes as little as a cross-fade of the keyframes does ({100 * least:.3f} % a frame): look "
            f"whether it moves."
        )
    livelier = max(ranked, key=lambda take: take.median_step)
    if best.median_step < STILL_SHARE * livelier.median_step and not best.still:
        lines.append(
            f"{best.name} changes {livelier.median_step / best.median_step:.0f} times less than {livelier.name}: look "
            f"whether it moves."
        )
    return lines


def _reason(ranked: Sequence[Take]) -> str:
    """Why the first is the first, in a sentence."""
    best = ranked[0]
    if best.still:
        every = "It stands" if len(ranked) == 1 else "Every take stands"
        return f"Best: {best.name}. {every} still in half of its frames or more, so this says little."
    if len(ranked) == 1:
        return f"Best: {best.name}, the only take."
    after = ranked[1]
    if after.still:
        return f"Best: {best.name}, the only one of {len(ranked)} takes that does not stand still."
    if after.score == best.score:
        return f"Best: {best.name} of {len(ranked)} takes; {after.name} scores the same."
    gains = {name: after.factors[name] / value for name, value in best.factors.items()}
    decisive = max(gains, key=gains.__getitem__)
    values = [item.keyframe_distance if decisive == "keyframe distance" else item.factors[decisive] for item in ranked]
    shown = [f"{value:.4f}" if decisive == "keyframe distance" else _times(value) for value in values]
    close = " They are close: look at both." if after.score < CLOSE * best.score else ""
    return (
        f"Best: {best.name} of {len(ranked)} takes, with a score of {best.score:.2f}; {after.name} comes next with "
        f"{after.score:.2f}, most of all for its {decisive} of {shown[1]} against {shown[0]}.{close}"
    )
