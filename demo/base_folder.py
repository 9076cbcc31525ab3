"""A server's private folder: models linked from where they lie, the demo world's nodes, and pictures to start from."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from torch import Tensor

from . import world

ROOT = Path(__file__).resolve().parents[1]
WORLD_MODELS = ROOT / "demo" / "models"
WORLD_NODES = ROOT / "demo" / "world_nodes"
# tell the host of the stand-ins that it does not know
SMALL_MODELS = ("small_clip_vision", "small_llama", "small_seedvr2", "small_svd")
LAST_FRAMING = (190, 30, 580, 255)  # the part of first.jpg that last.jpg shows, pixels
DISC_SEED = 1_000_005  # of the template's pair: a validation clip in which one disc moves far


def prepared_base(base: Path, *models: Path) -> Path:
    """A server's folder with the models of some folders, the demo world's nodes, the small models, and input pictures.

    first.png and last.png are the two photographs that the shipped workflows ask for; middle_1.png, middle_2.png and
    middle_3.png the framings that the same camera move passes through at frames 28, 52 and 68 of 81.
    world_<kind>_first.png and _last.png are the ends of the demo world's held-out pairs, world_disc_first.png and
    _last.png those of its template.
    """
    for folder in models:
        link_models(folder, base / "models")
    (base / "custom_nodes").mkdir()
    (base / "custom_nodes" / "inbetween-demo-world").symlink_to(WORLD_NODES, target_is_directory=True)
    for name in SMALL_MODELS:
        link = base / "custom_nodes" / f"inbetween-{name.replace('_', '-')}"
        link.symlink_to(ROOT / "demo" / name, target_is_directory=True)
    (base / "input").mkdir()
    first, last = (Image.open(ROOT / "demo" / "pictures" / f"{name}.jpg") for name in ("first", "last"))
    middle = {f"middle_{number}": framing(first, frame / 80) for number, frame in enumerate((28, 52, 68), 1)}
    pictures = {"first": first, **middle, "last": last}
    pairs = {pair_name(clip): clip for clip in held_out_pairs()} | {"world_disc": world.clip(DISC_SEED)}
    for name, clip in pairs.items():
        pictures[f"{name}_first"], pictures[f"{name}_last"] = picture(clip.frames[0]), picture(clip.frames[-1])
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
    """The first test clip of each kind that moves, and not evenly."""
    kinds = [kind for kind in world.KINDS if kind != "near-static"]
    clips = {kind: (world.clip(seed) for seed in world.seeds(world.TEST, kind)) for kind in kinds}
    return [next(clip for clip in clips[kind] if clip.pace != "evenly") for kind in kinds]


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
