"""Which of several takes of one video is best, by its keyframes and its seams. Pure torch.

symbol   here                 shape    unit
s_n      steps                [N-1]    mean |I_n+1 - I_n| over pixels and channels, colour 0..1
m        median_step          --       median of s, how much the take moves
d        keyframe_distance    --       mean distance of the take's frames from the keyframes on them
j        tail_jump            --       largest of the last TAIL steps / m
w        worst_step           --       largest of the other steps / m
r        apart_from_fade      --       |I_n - nearest mixture of K and K'| / |K' - K|, root mean square, for a frame
                                       between two keyframes; for a take the upper quartile
--       score                --       (1 + d / NOTICEABLE) max(1, j) max(1, w), lowest is best, 1 is perfect

Source: ours. A score that multiplies ratios is the same whatever other takes there are, and a small lead in two numbers
does not outweigh a flash in the third, as it can where ranks are added. NOTICEABLE keeps distances below it from
deciding. Ending calmer than the take moves is no merit, so j and w count as 1 at least.
A take that stands still has no steps to be judged by; it comes last. To go from keyframe to
keyframe a video must take steps of `least_step` on average (triangle inequality); a take whose median step is below a
quarter of that stands still in half of its frames or more; unless it creeps, by less than a pixel a frame or on every
other frame, which is seen over an eighth of the video.
A cross-fade of the keyframes has no jump and lands on them, so its score is perfect, and it shows no motion: it comes
after all takes that move. Its frames are mixtures of two keyframes, r = 0, whatever its pace. A frame in which a share
t of what differs has changed places already, as things that move do it, has r = (t (1 - t))^1/2, in the upper quartile
of an even way 0.48. MIXED lies between, and above fades in linear light (0.15) and with noise of 4/255 (0.12); on
films, 14 pieces of three, r was 0.27 to 1.5. In pictures so small that nothing averages noise out, a fade must also
take no larger steps than a fade does; there a small thing that moves in a large change of light is told from it so.
Plain differences, because each step is compared with steps of the same take: no network sees all frames.
What it does not do: among takes without a fault the best one is no nearer to the truth than the others (12 clips of the
demo world, four seeds each: 20.13 dB of PSNR where something moves, against 20.16 in the mean).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .finite_frames import finite_frames
from .keyframe_track import KeyframeTrack
from .perceptual_distance import PerceptualMetric, Watch
from .slot_order import Slots, slot_videos, still_picture
from .take_plot import TakeCurve, take_plot

TAKES = tuple(f"take_{number}" for number in range(1, 51))
TAIL = 8  # steps; half of them in a short video
NOTICEABLE = 0.01  # LPIPS or 1-SSIM
CLOSE = 1.1  # scores in this ratio are pointed out
STILL_SHARE = 0.25
FADE_SHARE = 1.1  # of least_step; a cross-fade's steps are 1
MIXED = 0.2  # r of a cross-fade at most
SHORT_SIDE = 72  # pixels; larger pictures are averaged over squares to about this, for r
LEVEL = 1 / 255  # two keyframes that are nearer than this are one picture
FLASH = 2.0  # of the median step; larger ones count as this in how much a take moves
STILL_STEP = 1e-4  # colour 0..1; below it a video of 8 bits stands still
RULE = f"Score = (1 + {1 / NOTICEABLE:g} x keyframe distance) x tail jump x worst step; lowest is best, 1 is perfect"


@dataclass(frozen=True, eq=False)
class Take:
    """The numbers of one take; symbols see above. tail_at, worst_at: n of the largest steps, from frame n to n+1.

    number: of the take, see `slot_order`. fade: whether it shows no more than a cross-fade of its keyframes.
    """

    name: str
    keyframe_distance: float
    tail_jump: float
    tail_at: int
    worst_step: float
    worst_at: int
    steps: Tensor
    still: bool
    fade: bool = False
    number: int = 1

    @property
    def state(self) -> str:
        """What it does, if it does not move: "still" or "fade", in the order of `place`."""
        return "still" if self.still else "fade" if self.fade else ""

    @property
    def place(self) -> int:
        """0 for a take that moves, 1 for a cross-fade, 2 for a still one."""
        return ("", "fade", "still").index(self.state)

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
    """images: the best take as it came. index: its number, see `slot_order`. ranked: best first. plot: [1,h,w,3]."""

    images: Tensor
    index: int
    ranked: tuple[Take, ...]
    plot: Tensor
    report: str


@torch.no_grad()
def best_take(
    takes: Slots,
    track: KeyframeTrack,
    pictures: Sequence[Tensor],
    metric: PerceptualMetric,
    watch: Watch | None = None,
) -> BestTake:
    """Measures every take, ranks them by score and gives the first; if equal the nearer keyframes, the earlier slot.

    Args:
        takes: by names out of TAKES, [N,H,W,3] in 0..1 or several of them, each of the track's length and size.
        track: its keyframes. pictures: theirs at the track's size, [1,H,W,3] each.
        metric: distance of a take's frames from the pictures.
        watch: follows the frames, see `perceptual_distance.Watch`; None for nobody.
    Raises:
        ValueError: no take, no keyframe, fewer than 3 frames, a take of another length or size than the track, or with
            pixels that are not numbers.
    Cost: one difference per frame; the metric sees one frame of each take and one picture per keyframe.
    """
    videos = slot_videos(takes, TAKES)
    if not videos:
        raise ValueError("takes is empty: connect at least one take, or turn on the nodes before it.")
    if not pictures:
        raise ValueError("keyframes is empty: connect first_image or last_image of Keyframes, or add a keyframe.")
    if track.length < 3:
        raise ValueError(f"keyframes has a length of {track.length}: takes are compared from 3 frames on.")
    for video in videos:
        _check_size(video.name, video.images, track)
    done = watch(len(videos) * track.length) if watch else None
    keyed: list[Tensor] = []
    steps: list[Tensor] = []
    apart: list[float] = []
    creeping: list[bool] = []
    changes: list[str] = []
    least, averaged = least_step(pictures, track), _square(pictures[0]) > 1
    for video in videos:
        colour, change = finite_frames(video.name, video.images)
        apart.append(apart_from_fade(colour, pictures, track))
        creeping.append(apart[-1] > MIXED and creeps(colour, least))
        keyed.append(colour[[item.frame for item in track.keyframes]])
        steps.append(step_sizes(colour))
        changes.append(change)
        if done:
            done(track.length)
    wanted = torch.cat([picture.to(keyed[0].device) for picture in pictures])
    between = metric.between(torch.cat(keyed), wanted.repeat(len(videos), 1, 1, 1))
    distances = between.view(len(videos), len(pictures)).mean(dim=1).tolist()
    judged = [
        take_numbers(video.name, distance, some, least, far, averaged, slow, video.number)
        for video, distance, some, far, slow in zip(videos, distances, steps, apart, creeping, strict=True)
    ]
    ranked = tuple(sorted(judged, key=lambda take: (take.place, take.score, take.keyframe_distance)))
    best = next(video for video in videos if video.number == ranked[0].number)
    curves = [TakeCurve(take.name, take.steps, take.state or _scored(take)) for take in ranked]
    tail = track.length - 1 - tail_steps(track.length - 1)
    title = f"Best: {best.name} of {len(ranked)} take{'s' if len(ranked) > 1 else ''}"
    plot = take_plot(curves, [item.frame for item in track.keyframes], tail, title, RULE)
    report = "\n".join([*_report(ranked, metric.name, track, least), *filter(None, changes)])
    return BestTake(best.images, best.number, ranked, plot, report)


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


def apart_from_fade(frames: Tensor, pictures: Sequence[Tensor], track: KeyframeTrack) -> float:
    """r, how far the frames between keyframes are from mixtures of the keyframes on both sides.

    r_n = min_t |I_n - (1 - t) K - t K'| / |K' - K| with t in 0..1 and |.| the root mean square over the picture, which
    is averaged over squares so that noise counts little. A quarter of the frames may be farther.

    Args:
        frames: [N,H,W,3]. pictures: [1,H,W,3] each, of the track's keyframes.
    Returns:
        0 for a cross-fade at any pace; infinite without a frame between two keyframes.
    Cost: memory of one frame at a time.
    """
    square, found = _square(pictures[0]), []
    for (here, first), (there, last) in pairwise(zip(track.keyframes, pictures, strict=True)):
        start = _coarse(first, square).to(frames.device)
        way = _coarse(last, square).to(frames.device) - start
        length = max(float(way.norm()), LEVEL * way.numel() ** 0.5)
        for number in range(here.frame + 1, there.frame):
            frame = _coarse(frames[number][None], square) - start
            share = float((frame * way).sum()) / length**2
            found.append(float((frame - min(max(share, 0.0), 1.0) * way).norm()) / length)
    return float(torch.tensor(found).quantile(0.75)) if found else math.inf


def creeps(frames: Tensor, least: float) -> bool:
    """Whether most pairs of frames that are an eighth of the video apart differ as those of a take that moves.

    Args:
        frames: [N,H,W,3], N >= 3. least: see `least_step`.
    """
    apart = max(1, (len(frames) - 1) // 8)
    pairs = zip(frames[:-apart], frames[apart:], strict=True)
    change = torch.stack([(after - before).abs().mean() for before, after in pairs]).median()
    return float(change) >= apart * max(STILL_SHARE * least, STILL_STEP)


def _square(picture: Tensor) -> int:
    """Side of the squares, in pixels, over which pictures [1,H,W,3] are averaged; 1 for small ones."""
    return max(1, min(picture.shape[1:3]) // SHORT_SIDE)


def _coarse(picture: Tensor, square: int) -> Tensor:
    """[1,H,W,3] averaged over squares, [1,3,h,w]."""
    return avg_pool2d(picture.movedim(-1, 1), square)


def take_numbers(
    name: str,
    keyframe_distance: float,
    steps: Tensor,
    least: float,
    apart: float = math.inf,
    averaged: bool = False,
    creeping: bool = False,
    number: int = 1,
) -> Take:
    """What is known of a take.

    Args:
        keyframe_distance: d. steps: [N-1], at least two. least: see `least_step`. apart: see `apart_from_fade`.
        averaged: whether apart is of averaged pictures, where noise does not count. creeping: see `creeps`.
        number: see `slot_order`.
    """
    median, tail = float(steps.quantile(0.5)), tail_steps(len(steps))
    inner, last = steps[:-tail], steps[-tail:]
    tail_at, worst_at = len(inner) + int(last.argmax()), int(inner.argmax())
    jump, worst = (_ratio(float(steps[at]), median) for at in (tail_at, worst_at))
    still = median < max(STILL_SHARE * least, STILL_STEP) and not creeping
    moves = min(median, float(steps.clamp(max=FLASH * median).mean()))
    fade = apart <= MIXED and (averaged or moves < FADE_SHARE * least)
    return Take(name, keyframe_distance, jump, tail_at, worst, worst_at, steps, still, fade, number)


def _ratio(step: float, median: float) -> float:
    if median == 0:
        return 1.0 if step == 0 else math.inf
    return step / median


def _check_size(name: str, frames: Tensor, track: KeyframeTrack) -> None:
    length, height, width = frames.shape[:3]
    if length == 1:
        raise ValueError(f"{still_picture(name)} Turn it on, or mute it to leave it out.")
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
        mixed = take.fade and not best.fade
        still = ", stands still" if take.still else ", no more than a cross-fade of the keyframes" if mixed else ""
        lines.append(
            f"{place}. {take.name}: score {_scored(take)}; keyframe distance {take.keyframe_distance:.4f}; "
            f"tail jump {_times(take.tail_jump)} at frame {take.tail_at + 1}; "
            f"worst step {_times(take.worst_step)} at frame {take.worst_at + 1}; "
            f"median step {100 * take.median_step:.3f} %{still}"
        )
    if best.state == "fade":
        lines.append(
            f"{best.name} changes as little as a cross-fade of the keyframes does ({100 * least:.3f} % a frame): look "
            f"whether it moves."
        )
    livelier = max(ranked, key=lambda take: take.median_step)
    if 0 < best.median_step < STILL_SHARE * livelier.median_step and not best.still:
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
    if after.place > best.place:
        return f"Best: {best.name}, the only one of {len(ranked)} takes that moves more than a cross-fade of keyframes."
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
