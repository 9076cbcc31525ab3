"""A server's private folder: models linked from where they lie, the demo world's nodes, and pictures to start from."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from torch import Tensor

from . import world

ROOT = Path(__file__).resolve().parents[1]
WORLD_MODELS = ROOT / "demo" / "models"
WORLD_NODES = ROOT / "demo" / "world_nodes"
SMALL_SVD = ROOT / "demo" / "small_svd"
LAST_FRAMING = (190, 30, 580, 255)  # the part of first.jpg that last.jpg shows, pixels


def prepared_base(base: Path, *models: Path) -> Path:
    """A server's folder with the models of some folders, the demo world's nodes, the small SVD, and input pictures.

    first.png and last.png are the two photographs that the shipped workflows ask for; middle_1.png and middle_2.png the
    framings that the same camera move passes through at frames 28 and 52 of 81. world_<kind>_first.png and _last.png
    are the ends of the demo world's held-out pairs.
    """
    for folder in models:
        link_models(folder, base / "models")
    (base / "custom_nodes").mkdir()
    (base / "custom_nodes" / "inbetween-demo-world").symlink_to(WORLD_NODES, target_is_directory=True)
    (base / "custom_nodes" / "inbetween-small-svd").symlink_to(SMALL_SVD, target_is_directory=True)
    (base / "input").mkdir()
    first, last = (Image.open(ROOT / "demo" / "pictures" / f"{name}.jpg") for name in ("first", "last"))
    pictures = {"first": first, "middle_1": framing(first, 28 / 80), "middle_2": framing(first, 52 / 80), "last": last}
    for clip in held_out_pairs():
        for end, frame in (("first", clip.frames[0]), ("last", clip.frames[-1])):
            pictures[f"{pair_name(clip)}_{end}"] = picture(frame)
    for name, shown in pictures.items():
        shown.save(base / "input" / f"{name}.png")
    return base


def link_models(source: Path, target: Path) -> None:
    """Links every model file of a folder into another, so that several folders make one."""
    for path in source.rglob("*"):
        if path.suffix in (".safetensors", ".pth"):
            link = target / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())


def held_out_pairs() -> list[world.Clip]:
    """The first test clip of each kind that moves."""
    return [world.clip(next(world.seeds(world.TEST, kind))) for kind in world.KINDS if kind != "near-static"]


def pair_name(clip: world.Clip) -> str:
    return "world_" + clip.kind.replace(" ", "_")


def picture(frame: Tensor) -> Image.Image:
    """[H, W, 3] in 0..1."""
    return Image.fromarray((frame * 255).round().byte().numpy())


def framing(first: Image.Image, share: float) -> Image.Image:
    """What the camera sees after a share (0..1) of its move from the first picture's framing to the last one's."""
    whole = (0, 0, *first.size)
    box = [start + share * (end - start) for start, end in zip(whole, LAST_FRAMING, strict=True)]
    return first.resize(first.size, Image.Resampling.LANCZOS, box)
