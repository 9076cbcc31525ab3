"""Clips of the demo world as tensors to train on."""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor

from ..demo import world

GREY = 0.5  # what a condition clip shows where no keyframe is known


def to_signed(frames: Tensor) -> Tensor:
    """[..., H, W, 3] in 0..1 to [..., 3, H, W] in -1..1; a clip's frames stay before its channels."""
    return frames.movedim(-1, -3) * 2 - 1


def clip_batch(random: Random, count: int, length: int, grey_share: float, side: int = world.SIZE) -> Tensor:
    """Pieces of training clips.

    Args:
        random: where everything that is drawn comes from.
        count, length: B clips of N frames, N at most world.LENGTH.
        grey_share: of the clips, the share that shows grey but for a few keyframes, as a model's condition does.
        side: of the square that is cut out of each clip, at the same place in all of its frames, pixels.
    Returns:
        [B, 3, N, side, side] float32, -1..1.
    """
    pieces = []
    for _ in range(count):
        frames = world.clip(random.choice(world.TRAIN)).frames
        begin = random.randrange(world.LENGTH - length + 1)
        top, left = (random.randrange(world.SIZE - side + 1) for _ in range(2))
        piece = frames[begin : begin + length, top : top + side, left : left + side]
        if length > 1 and random.random() < grey_share:
            piece = keyframes_on_grey(piece, drawn_keyframes(random, length))
        pieces.append(to_signed(piece))
    return torch.stack(pieces).transpose(1, 2)


def drawn_keyframes(random: Random, length: int) -> list[int]:
    """Frames that a condition knows: the first; the last for four of five; one or two between, where there is room.

    Frames between are where the pack's placements put them: the last frame of a latent frame (snap), any of its four
    (exact), or all four (repeat4).
    """
    known = [0]
    latents = list(range(1, (length - 1) // 4))
    if latents:
        for latent in sorted(random.sample(latents, min(len(latents), random.choice((1, 2))))):
            held = range(4 * latent - 3, 4 * latent + 1)
            known += random.choice(([held[-1]], [random.choice(held)], list(held)))
    if random.random() < 0.8:
        known.append(length - 1)
    return known


def keyframes_on_grey(frames: Tensor, known: list[int]) -> Tensor:
    """The clip with every frame grey that is not known."""
    clip = torch.full_like(frames, GREY)
    clip[known] = frames[known]
    return clip
