"""A procedural video world with exact ground truth: textured shapes that move, turn, grow and hide on moving grounds.

Every clip is a pure function of its seed. It has two labels. The four kinds follow TGI-Bench's labels; a kind is the
seed's rest by four, so any four seeds in a row hold one clip of each. The six paces say how motion is spread over the
clip's time; they take turns every four seeds, so that any 24 seeds in a row hold every kind at every pace.

symbol   here       shape            unit
N        length     --               video frames
H = W    SIZE       --               pixels
--       frames     [N, H, W, 3]     RGB, 0..1
--       moving     [N, H, W]        true where shapes are, were or will be (see Clip)
--       moment     [N]              share of the clip's time, 0 at the first frame, 1 at the last
--       way        [N]              share of the clip's motion that is done by then, `paced`

The path is what two pictures can tell: a shape on an arc looks along it, and every texture has a front and a back, so
that its heading can be read. The pace is not: the caption names it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

SIZE = 64  # pixels, height and width
LENGTH = 33  # video frames: 9 latent frames of a Wan VAE
FPS = 16.0
KINDS = ("large motion", "linear motion", "occlusion", "near-static")
PACES = ("evenly", "easing", "early", "late", "halting", "overshooting")
COLOURS = {
    "red": (0.85, 0.16, 0.14),
    "orange": (0.95, 0.55, 0.12),
    "yellow": (0.95, 0.88, 0.25),
    "green": (0.16, 0.62, 0.22),
    "cyan": (0.20, 0.78, 0.85),
    "blue": (0.14, 0.25, 0.80),
    "purple": (0.55, 0.18, 0.72),
    "white": (0.93, 0.93, 0.90),
    "black": (0.08, 0.08, 0.10),
}
SHAPES = ("disc", "square", "triangle", "bar")
TEXTURES = ("striped", "spotted", "plain")
DIRECTIONS = ("right", "down", "left", "up")
_PAIRS = (
    *(("right", "left"), ("down", "up"), ("clockwise", "counterclockwise"), ("grows", "shrinks")),
    *(("early", "late"), ("overshooting", "recoiling")),
)
_OPPOSITES = {word: other for pair in _PAIRS for word, other in (pair, pair[::-1])}
# the seeds of each split; no seed is in two of them
TRAIN = range(0, 1_000_000)
VALIDATION = range(1_000_000, 1_000_256)
TEST = range(2_000_000, 2_000_256)
EDGE = 1.5  # pixels over which an outline fades


@dataclass(frozen=True)
class Clip:
    """One clip and what is known of it.

    Attributes:
        frames: [N, H, W, 3] float32, RGB in 0..1.
        moving: [N, H, W] bool: a moving shape is here now (hidden or not), or was in the first frame, or will be in
            the last one. That is where a cross-fade is most wrong, ghosts included. The ground pans too, by less, and
            counts in measures of the whole frame.
        kind: one of KINDS. pace: one of PACES.
        caption: what happens, in the words of WORDS.
        seed: the seed that gives this clip again.
    """

    frames: Tensor
    moving: Tensor
    kind: str
    pace: str
    caption: str
    seed: int


@dataclass(frozen=True)
class Shape:
    """A textured shape and where it is at each moment; positions and sizes in pixels, angles in radians."""

    outline: str
    texture: str
    colours: tuple[str, str]
    radius: float
    period: float  # of the texture, pixels
    start: tuple[float, float]  # x, y
    heading: float  # of the first step, 0 is right, a quarter turn is down
    distance: float  # along the path, pixels
    bend: float  # how far the heading turns on the way; 0 is a line
    turn: float  # how far the shape turns beside its heading
    growth: float  # size at the end over size at the start


def clip(seed: int, length: int = LENGTH) -> Clip:
    """The clip of this seed. Shorter or longer lengths show the same motion in fewer or more frames.

    Args:
        seed: any integer >= 0; TRAIN, VALIDATION and TEST say which belong where.
        length: N, video frames, >= 2.
    Raises:
        ValueError: length is below 2.
    Cost: about 15 ms for 33 frames on one core.
    """
    if length < 2:
        raise ValueError(f"length must be at least 2 frames, got {length}")
    random = Random(f"inbetween world {seed}")
    kind, pace = KINDS[seed % len(KINDS)], PACES[seed // len(KINDS) % len(PACES)]
    way = paced(torch.linspace(0, 1, length), pace)
    frames, ground = _background(random, kind, way)
    shapes, front = _cast(random, kind)
    covered = torch.zeros(length, SIZE, SIZE, dtype=torch.bool)
    for shape in shapes:
        colour, alpha = _drawn(shape, way)
        frames = frames + alpha[..., None] * (colour - frames)
        covered |= alpha > 0.5
    if front is not None:
        colour, alpha = _drawn(front, way)
        frames = frames + alpha[..., None] * (colour - frames)
    moving = covered | covered[:1] | covered[-1:]
    return Clip(frames.clamp(0, 1), moving, kind, pace, _caption(kind, pace, shapes, front, ground), seed)


def paced(moment: Tensor, pace: str) -> Tensor:
    """How much of a motion is done at each moment: 0 at moment 0 and 1 at moment 1.

    evenly m; easing m^2 (3 - 2 m), slow at both ends; early 1 - (1 - m)^2.5; late m^2.5; halting easing over the first
    and the last 0.35, still between; overshooting 1 + 2.7 (m - 1)^3 + 1.7 (m - 1)^2, which passes the end by a tenth at
    0.58 and returns (Penner's back easing). Source: ours, after steps measured on public clips.

    Args:
        moment: any shape, 0..1.
        pace: one of PACES.
    Raises:
        ValueError: no such pace.
    """
    if pace == "evenly":
        return moment
    if pace == "easing":
        return moment**2 * (3 - 2 * moment)
    if pace == "early":
        return 1 - (1 - moment) ** 2.5
    if pace == "late":
        return moment**2.5
    if pace == "halting":
        steps = [paced(((moment - begin) / 0.35).clamp(0, 1), "easing") for begin in (0, 0.65)]
        return sum(steps) / 2
    if pace == "overshooting":
        return 1 + 2.7 * (moment - 1) ** 3 + 1.7 * (moment - 1) ** 2
    raise ValueError(f"pace must be one of {', '.join(PACES)}, got {pace!r}")


def reversed_caption(caption: str) -> str:
    """What is said of the same clip played backwards."""
    return re.sub(r"[\w-]+", lambda word: _OPPOSITES.get(word[0], word[0]), caption)


def seeds(split: range, kind: str | None = None) -> Iterator[int]:
    """The seeds of a split, of one kind or of all."""
    return (seed for seed in split if kind is None or KINDS[seed % len(KINDS)] == kind)


def _cast(random: Random, kind: str) -> tuple[list[Shape], Shape | None]:
    """The moving shapes from back to front, and what stands before them."""
    if kind == "large motion":
        bends = random.random() < 0.6
        shapes = [
            _shape(
                random,
                radius=random.uniform(11, 16),
                distance=random.uniform(28, 42),
                bend=random.choice((-1, 1)) * random.uniform(0.6, 1.9) if bends else 0.0,
                turn=0.0 if bends else random.uniform(-1.2, 1.2),
                growth=math.exp(random.uniform(-0.35, 0.35)),
            )
        ]
        if random.random() < 0.35:
            shapes.insert(0, _shape(random, radius=random.uniform(7, 10), distance=random.uniform(20, 34)))
        return shapes, None
    if kind == "linear motion":
        return [
            _shape(random, radius=random.uniform(9, 14), distance=random.uniform(14, 26))
            for _ in range(random.choice((1, 1, 2)))
        ], None
    if kind == "occlusion":
        heading = random.uniform(0, 2 * math.pi)
        across = random.uniform(-8, 8)
        mover = _shape(
            random,
            radius=random.uniform(8.5, 11),
            heading=heading,
            distance=random.uniform(38, 46),
            middle=(SIZE / 2 - across * math.sin(heading), SIZE / 2 + across * math.cos(heading)),
        )
        pillar = Shape(
            outline="pillar",
            texture=random.choice(("striped", "plain")),
            colours=_two_colours(random),
            radius=random.uniform(8, 11),
            period=random.uniform(18, 26),
            start=(SIZE / 2, SIZE / 2),
            heading=heading + random.uniform(-0.3, 0.3),
            distance=0.0,
            bend=0.0,
            turn=0.0,
            growth=1.0,
        )
        return [mover], pillar
    return [
        _shape(
            random, radius=random.uniform(10, 16), distance=random.uniform(0.5, 3.5), turn=random.uniform(-0.15, 0.15)
        )
    ], None


def _shape(
    random: Random,
    radius: float,
    distance: float,
    bend: float = 0.0,
    turn: float = 0.0,
    growth: float = 1.0,
    heading: float | None = None,
    middle: tuple[float, float] | None = None,
) -> Shape:
    heading = random.uniform(0, 2 * math.pi) if heading is None else heading
    if middle is None:
        middle = (SIZE / 2 + random.uniform(-7, 7), SIZE / 2 + random.uniform(-7, 7))
    across, along = _travelled(torch.tensor(0.5), heading, distance, bend)
    return Shape(
        outline=random.choice(SHAPES),
        texture=random.choice(TEXTURES),
        colours=_two_colours(random),
        radius=radius,
        period=random.uniform(11, 16),
        start=(middle[0] - float(across), middle[1] - float(along)),
        heading=heading,
        distance=distance,
        bend=bend,
        turn=turn,
        growth=growth,
    )


def _two_colours(random: Random) -> tuple[str, str]:
    first, second = random.sample(sorted(COLOURS), 2)
    return first, second


def _travelled(way: Tensor, heading: float, distance: float, bend: float) -> tuple[Tensor, Tensor]:
    """Pixels along x and y since the start: a line, or an arc on which the heading turns evenly by `bend`."""
    if bend == 0:
        return way * distance * math.cos(heading), way * distance * math.sin(heading)
    radius = distance / bend
    angle = heading + bend * way
    return radius * (angle.sin() - math.sin(heading)), radius * (math.cos(heading) - angle.cos())


def _drawn(shape: Shape, way: Tensor) -> tuple[Tensor, Tensor]:
    """The colour [N, H, W, 3] and the coverage [N, H, W] of one shape."""
    x_way, y_way = _travelled(way, shape.heading, shape.distance, shape.bend)
    angle = shape.heading + (shape.bend + shape.turn) * way
    size = shape.growth**way
    row = torch.arange(SIZE) + 0.5
    x = row[None, None, :] - (shape.start[0] + x_way)[:, None, None]
    y = row[None, :, None] - (shape.start[1] + y_way)[:, None, None]
    cosine, sine = (angle.cos() / size)[:, None, None], (angle.sin() / size)[:, None, None]
    u, v = x * cosine + y * sine, y * cosine - x * sine  # pixels in the shape's own frame; u points ahead
    outside = _distance_outside(shape, u, v) * size[:, None, None]
    alpha = (0.5 - outside / EDGE).clamp(0, 1)
    share = (0.5 + 0.5 * _pattern(shape.texture, u, v, shape.period)) * 0.6 + 0.4 * (
        0.5 - 0.5 * u / shape.radius
    ).clamp(0, 1)
    return _mixed(shape.colours, share), alpha


def _distance_outside(shape: Shape, u: Tensor, v: Tensor) -> Tensor:
    """Pixels from the outline, negative inside."""
    r = shape.radius
    if shape.outline == "disc":
        return (u**2 + v**2).sqrt() - r
    if shape.outline == "square":
        return torch.maximum(u.abs(), v.abs()) - 0.9 * r
    if shape.outline == "triangle":  # points ahead
        return torch.maximum(-u - 0.6 * r, 0.5 * u + 0.866 * v.abs() - 0.6 * r)
    if shape.outline == "bar":
        return torch.maximum(u.abs() - 1.15 * r, v.abs() - 0.6 * r)
    return u.abs() - r  # a pillar, from edge to edge of the frame


def _pattern(texture: str, u: Tensor, v: Tensor, period: float) -> Tensor:
    """A pattern in -1..1."""
    wave = 2 * math.pi / period
    if texture == "striped":
        return (wave * u).sin()
    if texture == "spotted":
        return (wave * u).cos() * (wave * v).cos()
    return torch.zeros_like(u)


def _mixed(colours: tuple[str, str], share: Tensor) -> Tensor:
    first, second = (torch.tensor(COLOURS[name]) for name in colours)
    return first + share[..., None] * (second - first)


def _background(random: Random, kind: str, way: Tensor) -> tuple[Tensor, str]:
    """Waves of two colours that pan, and the name of the stronger colour."""
    first, second = _two_colours(random)
    pans = {"large motion": (4, 12), "linear motion": (0, 8), "occlusion": (0, 4), "near-static": (0, 1)}[kind]
    distance, heading = random.uniform(*pans), random.uniform(0, 2 * math.pi)
    row = torch.arange(SIZE) + 0.5
    x = row[None, None, :] - (way * distance * math.cos(heading))[:, None, None]
    y = row[None, :, None] - (way * distance * math.sin(heading))[:, None, None]
    waves = torch.zeros(len(way), SIZE, SIZE)
    for _ in range(3):
        direction, phase = random.uniform(0, 2 * math.pi), random.uniform(0, 2 * math.pi)
        wave = 2 * math.pi / random.uniform(20, 44)
        waves = waves + (wave * (x * math.cos(direction) + y * math.sin(direction)) + phase).sin()
    share = (0.35 + 0.2 * waves).clamp(0, 1)
    return _mixed((first, second), share), first


def _caption(kind: str, pace: str, shapes: list[Shape], front: Shape | None, ground: str) -> str:
    parts = [f"{kind} {pace} :"]
    for shape in reversed(shapes):
        x_way, y_way = _travelled(torch.tensor(1.0), shape.heading, shape.distance, shape.bend)
        direction = DIRECTIONS[round(math.atan2(float(y_way), float(x_way)) / (math.pi / 2)) % 4]
        parts.append(f"a {shape.texture} {shape.colours[0]} and {shape.colours[1]} {shape.outline} moves {direction}")
        if shape.bend or shape.turn:
            parts.append("turns clockwise" if shape.bend + shape.turn > 0 else "turns counterclockwise")
        if shape.growth != 1:
            parts.append("grows" if shape.growth > 1 else "shrinks")
    if front is not None:
        parts.append(f"behind a {front.colours[0]} pillar")
    parts.append(f"on {ground} ground")
    return " ".join(parts)
