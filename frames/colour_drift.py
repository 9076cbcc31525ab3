"""How a video's colours drift where it meets its keyframes, and the maps that undo it. Torch; kornia for Lab.

symbol   here      shape      unit
--       cells     [N,3,h,w]  RGB 0..1, mean colours of cells of the frame
T        matrix    [3,3]      x -> T x + shift, see colour_transport.py
--       surface   [3,h,w]    RGB 0..1, a quadratic in x and y of mean 0
k        frame     --         video frame that carries a keyframe
d        distance  --         frames from k

Source: ours. What a drift is: the generated frame k should be the keyframe's picture; where their colours differ, frame
k drifts. The frames beside it drift by the same and by the step that the clip takes onto frame k beyond what its own
motion explains: that is the flash of a clip whose last frame is right and whose frames before it are not. Differences
of the size that the clip's motion makes anyway, those of a soft picture and those of another picture (a cut) are none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .colour_transport import FLAT, colour_map, colour_values

CELL, MOST_CELLS = 8, 64  # pixels along a cell, what is finer is sharpness; cells along a side
SMALLEST = 1.5 / 255  # a smaller map is no drift
SMALLEST_SURFACE, LARGEST_SURFACE = 3 / 255, 10 / 255
UNSEEN = 0.5 / 255  # half a step of 8 bits
SURPRISE = 3.0  # a step onto a keyframe counts from this many times the clip's usual surprise
HASTE = 1.5  # and from this many times that of the frame beside the keyframe, if it goes the same way
STEPS_BACK = 8  # steps that tell where a clip is heading
SHORTEST_RAMP = 4  # frames
OTHER_PICTURE, SAME_PICTURE = 0.5, 0.8  # correlation of two frames
FIT_ROUNDS = 10
FEWEST_CELLS = 32  # for the eight terms of a surface


@dataclass(frozen=True, eq=False)
class ColourMap:
    """What undoes a drift: x -> matrix x + shift - surface."""

    matrix: Tensor
    shift: Tensor
    surface: Tensor

    @property
    def tints(self) -> bool:
        """Whether it changes colours wherever they are."""
        return bool((self.matrix != torch.eye(3)).any() or self.shift.any())

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return self.tints or bool(self.surface.any())

    def change(self, colours: Tensor, surface: Tensor) -> Tensor:
        """What the map adds to colours [3,H,W]; surface: its own, at their size."""
        matrix, shift = (self.matrix - torch.eye(3)).to(colours), self.shift.to(colours)
        return torch.einsum("ij,jhw->ihw", matrix, colours) + shift[:, None, None] - surface


@dataclass(frozen=True, eq=False)
class SideDrift:
    """What undoes the drift of the frames on one side of a keyframe, and the frames over which it fades to nothing."""

    undo: ColourMap
    ramp: int


@dataclass(frozen=True, eq=False)
class KeyframeDrift:
    """Of one keyframe. at: undoes the drift of its own frame. before, after: its sides, None where there is no frame.

    likeness: 0..1, how surely its own frame shows the keyframe.
    """

    likeness: float
    at: ColourMap
    before: SideDrift | None
    after: SideDrift | None


@dataclass(frozen=True, eq=False)
class _Clip:
    """A video: cells [N,3,h,w], values [N,12] of its frames, the usual size of its steps and of its surprises."""

    cells: Tensor
    values: Tensor
    step: float
    surprise: float


def frame_cells(frames: Tensor) -> Tensor:
    """Frames seen from afar: mean colours of cells of 8 pixels (more in large frames) that overlap by half.

    Args:
        frames: [N,H,W,3] in 0..1.
    Returns:
        [N,3,h,w] float32, h and w at most 64.
    """
    strides = [max(1, min(max(CELL // 2, -(-side // MOST_CELLS)), side // 2)) for side in frames.shape[1:3]]
    halves = avg_pool2d(frames.movedim(-1, 1).float(), strides)
    return avg_pool2d(halves, [min(2, side) for side in halves.shape[2:]], 1)


def colour_steps(cells: Tensor) -> Tensor:
    """How far the colours move from each frame to the next, wherever in the frame they are.

    Mean over cells and channels of |sorted x - sorted y|, the Wasserstein distance of each channel: things that change
    places leave it at 0, a tint of 3/255 makes it 3.

    Args:
        cells: [N,3,h,w] in 0..1.
    Returns:
        [N-1] in 1/255.
    """
    ordered = cells.flatten(2).sort(dim=-1).values
    return 255 * (ordered[1:] - ordered[:-1]).abs().mean(dim=(1, 2))


def lab_values(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [3] and deviation [3] of the Lab colours (L 0..100) of one frame's cells [3,h,w]."""
    from kornia.color import rgb_to_lab  # slow to import, and not every graph needs it

    lab = rgb_to_lab(cells).flatten(1)
    return lab.mean(dim=1), lab.std(dim=1, correction=0)


def ramp_weight(distance: int, ramp: int) -> float:
    """Share of a correction at a distance from its keyframe: half a cosine, 1 at 0 and 0 from `ramp` frames on."""
    return 0.5 + 0.5 * math.cos(math.pi * min(distance, ramp) / ramp)


def keyframe_drifts(cells: Tensor, pictures: Mapping[int, Tensor], reach: int) -> dict[int, KeyframeDrift]:
    """The drift of a video at each of its keyframes.

    At frame k: the map from its colours to the keyframe's, and the surface of what is left. Beside it: first the map
    from the colours that the frames of that side head for to those of frame k, then the same. A map or surface of size
    s counts by the share max(0, 1 - (n / s)^4), n being what is no drift: SMALLEST, plus the usual step of the clip (at
    k) or three usual surprises (beside it; more where the clip hastens there). Where two frames show different things
    it does not count.

    Args:
        cells: [N,3,h,w] of the video on the CPU, from `frame_cells`.
        pictures: frame -> [3,h,w], the cells of its keyframe.
        reach: frames on each side that may be corrected, >= 1.
    Returns:
        frame -> its drift, in order of time.
    """
    values = colour_values(cells)
    clip = _Clip(cells, values, _median(colour_map(values[:-1], values[1:])[2]), _median(_surprises(values)))
    places = [-1, *sorted(pictures), len(cells)]
    found = {}
    for previous, frame, following in zip(places, places[1:], places[2:], strict=False):
        picture, wanted = pictures[frame], colour_values(pictures[frame][None])[0]
        like = _likeness(cells[frame], picture)
        at = _undo(cells[frame], picture, colour_map(values[frame], wanted), clip.step, 0.0, like)
        before = _side(clip, frame, range(frame - 1, previous, -1), previous >= 0, at, wanted, reach)
        after = _side(clip, frame, range(frame + 1, following), following < len(cells), at, wanted, reach)
        found[frame] = KeyframeDrift(like, at, before, after)
    return found


def _side(
    clip: _Clip, frame: int, side: Sequence[int], ends: bool, at: ColourMap, wanted: Tensor, reach: int
) -> SideDrift | None:
    """side: the frames from the nearest on; ends: a keyframe is behind them. wanted: [12], the keyframe's values."""
    if not side:
        return None
    here, near, values = clip.cells[frame], clip.cells[side[0]], clip.values[list(side)]
    pairs = pairwise(side[: STEPS_BACK + 1])
    surfaces = [_size(_surface(clip.cells[n], clip.cells[m])) for n, m in pairs]
    step = colour_map(_heading(values), clip.values[frame])
    no_drift = max(SURPRISE * clip.surprise, HASTE * _haste(values, clip.values[frame]))
    no_surface = SURPRISE * _median(torch.tensor(surfaces))
    onto = _undo(near, here, step, no_drift, no_surface, _likeness(near, here))
    undo = ColourMap(
        at.matrix @ onto.matrix,
        at.matrix @ onto.shift + at.shift,
        torch.einsum("ij,jhw->ihw", at.matrix, onto.surface) + at.surface,
    )
    if _size(undo.change(near, undo.surface)) < UNSEEN:  # the two undo each other: frame k alone drifts
        undo = ColourMap(torch.eye(3), torch.zeros(3), torch.zeros_like(near))
    longest = min(reach, len(side)) + 1 if ends else reach + 1
    return SideDrift(undo, _ramp(_heading(values) - wanted, values, wanted, longest) if undo.tints else longest)


def _ramp(drift: Tensor, values: Tensor, wanted: Tensor, longest: int) -> int:
    """Frames over which the drift of a side fades: the half cosine nearest to the drift that its frames show.

    What frame d shows is the part of its values along the drift above a line from the keyframe's values to those of the
    far frame f, in 0..1: w(d) - w(f) d / f if the drift itself fades as w. One that does not fade by the far frame is
    given the longest.

    Args:
        drift: [12], of the values. values: [n,12] of the side, nearest first. wanted: [12]. longest: frames.
    """
    far = min(longest, len(values))
    if far < 2:
        return longest
    along = torch.arange(1, far) / far  # [far-1]
    line = wanted + along[:, None] * (values[far - 1] - wanted)
    shown = ((values[: far - 1] - line) @ drift / (drift @ drift)).clamp(0, 1)
    ramps = range(min(SHORTEST_RAMP, longest), longest + 1)
    weights = torch.tensor([[1.0] * far, *([ramp_weight(d, ramp) for d in range(1, far + 1)] for ramp in ramps)])
    expected = weights[:, :-1] - along * weights[:, -1:]
    return (longest, *ramps)[int((expected - shown).square().sum(dim=1).argmin())]


def _heading(values: Tensor) -> Tensor:
    """[12] that comes next, from [n,12] with the nearest frame first: its values plus the median of the last steps."""
    near = values[: STEPS_BACK + 1]
    return near[0] - near.diff(dim=0).median(dim=0).values if len(near) > 1 else near[0]


def _haste(values: Tensor, here: Tensor) -> float:
    """The surprise of the nearest frame of a side, if that of the keyframe's frame goes the same way; else 0.

    A clip that hastens towards a keyframe, or away from one, surprises by more from frame to frame; a flash turns back.
    values: [n,12], nearest first. here: [12], of frame k.
    """
    if len(values) < 2:
        return 0.0
    heading = _heading(values[1:])
    alike = (values[0] - heading) @ (here - _heading(values))
    return float(colour_map(heading, values[0])[2]) if alike > 0 else 0.0


def _surprises(values: Tensor) -> Tensor:
    """[n] sizes of the maps from where the frames before each frame head for, and those after it, to the frame."""
    count, span = len(values), STEPS_BACK + 1
    frames = [*range(3, count), *range(count - 3)]
    found = [_heading(values[max(0, n - span) : n].flip(0)) for n in range(3, count)]
    found += [_heading(values[n + 1 : n + 1 + span]) for n in range(count - 3)]
    return colour_map(torch.stack(found), values[frames])[2] if found else values.new_zeros(0)


def _median(sizes: Tensor) -> float:
    """The middle one, or 0 of none."""
    return float(sizes.median()) if len(sizes) else 0.0


def _likeness(these: Tensor, those: Tensor) -> float:
    """0..1, how surely two frames [3,h,w] show the same: from the correlation of their grey."""
    x, y = (cells.mean(dim=0) - cells.mean() for cells in (these, those))
    correlation = ((x * y).mean() + FLAT**2) / (((x * x).mean() + FLAT**2) * ((y * y).mean() + FLAT**2)).sqrt()
    share = min(max((float(correlation) - OTHER_PICTURE) / (SAME_PICTURE - OTHER_PICTURE), 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _undo(
    these: Tensor, those: Tensor, found: tuple[Tensor, Tensor, Tensor], usual: float, usual_surface: float, like: float
) -> ColourMap:
    """The map found from these cells to those and the surface of what it leaves, as far as they count."""
    matrix, shift, size = found
    share = like * _share(float(size), SMALLEST + usual)
    matrix = (torch.eye(3) + share * (matrix - torch.eye(3))).float()
    shift = (share * shift).float()
    surface = _surface(torch.einsum("ij,jhw->ihw", matrix, these) + shift[:, None, None], those)
    surface = surface * like * _share(_size(surface), SMALLEST_SURFACE + usual_surface)
    largest = float(surface.abs().max())
    return ColourMap(matrix, shift, surface * min(1.0, LARGEST_SURFACE / largest) if largest else surface)


def _share(size: float, no_drift: float) -> float:
    """The share that counts: nothing up to the size no_drift, 0.94 at twice that."""
    return max(0.0, 1 - (no_drift / size) ** 4) if size else 0.0


def _size(difference: Tensor) -> float:
    """Root mean square over cells and channels."""
    return float(difference.square().mean().sqrt())


def _surface(these: Tensor, those: Tensor) -> Tensor:
    """The quadratic in x and y by which most cells of [3,h,w] lie above those others, less its mean.

    Fitted together with a shift of the picture, which is left out: these - those = surface + shift . gradient(those).
    Least squares with Cauchy's weights 1 / (1 + (r / s)^2), s the median of |r|: a thing in another place pulls little.
    """
    rows, columns = those.shape[1:]
    if rows * columns < FEWEST_CELLS:
        return torch.zeros_like(those)
    y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
    places = torch.stack([x, y, x * x, x * y, y * y, torch.ones_like(x)]).expand(3, -1, -1, -1)
    slopes = [_slope(those, dimension)[:, None] for dimension in (1, 2)]
    terms = torch.cat([places, *slopes], dim=1).flatten(2).double()  # [3,8,P]
    target = (these - those).flatten(1).double()  # [3,P]
    weight = torch.ones_like(target)
    found = torch.zeros(3, 8, 1)
    for _ in range(FIT_ROUNDS):
        weighted = weight[:, None] * terms
        found = torch.linalg.lstsq(weighted @ terms.mT, weighted @ target[..., None], driver="gelsd").solution
        residual = target - (found.mT @ terms).squeeze(1)
        scale = residual.abs().median(dim=1, keepdim=True).values.clamp_min(0.1 / 255)
        weight = 1 / (1 + (residual / scale) ** 2)
    fitted = (found[:, :5].mT @ terms[:, :5]).reshape(3, rows, columns)
    return (fitted - fitted.mean(dim=(1, 2), keepdim=True)).float()


def _slope(cells: Tensor, dimension: int) -> Tensor:
    """Change of [3,h,w] from cell to cell along a dimension; 0 along a single cell."""
    return torch.gradient(cells, dim=dimension)[0] if cells.shape[dimension] > 1 else torch.zeros_like(cells)
