"""Pictures of the page for people: the template cards' and the walkthrough's. Written with --pictures alone."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from torch import Tensor

from .comfy_page import ComfyPage

WIDTH, BAND, GAP = 640, 210, 6  # pixels; the band holds the pictures that the graph begins with
GROUND = (20, 20, 20)
LIMIT, PAGE_LIMIT = 60_000, 120_000  # bytes


def write_thumbnail(path: Path, page: ComfyPage) -> None:
    """A card's picture: the keyframes that the open graph loads, and under them the graph."""
    graph = Image.open(io.BytesIO(page.graph_picture())).convert("RGB")
    graph = graph.resize((WIDTH, round(graph.height * WIDTH / graph.width)), Image.Resampling.LANCZOS)
    band = _side_by_side([Image.open(file).convert("RGB") for file in _loaded(page)])
    whole = Image.new("RGB", (WIDTH, band.height + GAP + graph.height), GROUND)
    whole.paste(band, ((WIDTH - band.width) // 2, 0))
    whole.paste(graph, (0, band.height + GAP))
    write_jpeg(path, whole)


def write_page(path: Path, page: ComfyPage) -> None:
    """What the page shows now."""
    page.page.wait_for_timeout(1500)  # what slides in has come to rest
    write_jpeg(path, Image.open(io.BytesIO(page.page.screenshot())).convert("RGB"), PAGE_LIMIT)


def write_strip(path: Path, frames: list[Tensor]) -> None:
    """Frames [H, W, 3] in 0..1, side by side."""
    pictures = [Image.fromarray((frame * 255).round().byte().numpy()) for frame in frames]
    write_jpeg(path, _side_by_side(pictures, 2 * WIDTH), PAGE_LIMIT)


def write_jpeg(path: Path, picture: Image.Image, limit: int = LIMIT) -> None:
    """Writes the best JPEG below a size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in range(90, 30, -5):
        picture.save(path, quality=quality, optimize=True)
        if path.stat().st_size <= limit:
            return
    raise ValueError(f"{path.name} of {picture.size} does not fit into {limit} bytes")


def _loaded(page: ComfyPage) -> list[Path]:
    """The files of the graph's LoadImage nodes, row by row."""
    names = page.page.evaluate("""() => app.graph._nodes.filter(node => node.type === "LoadImage")
      .sort((a, b) => a.pos[1] - b.pos[1] || a.pos[0] - b.pos[0]).map(node => node.widgets[0].value)""")
    return [page.server.base / "input" / name for name in names]


def _side_by_side(pictures: list[Image.Image], width: int = WIDTH) -> Image.Image:
    """One row of pictures of equal height, at most so wide and BAND high."""
    shapes = [picture.width / picture.height for picture in pictures]
    height = min(BAND, int((width - GAP * (len(pictures) - 1)) / sum(shapes)))
    row = [
        picture.resize((int(height * shape), height), Image.Resampling.LANCZOS)
        for picture, shape in zip(pictures, shapes, strict=True)
    ]
    band = Image.new("RGB", (sum(picture.width + GAP for picture in row) - GAP, height), GROUND)
    left = 0
    for picture in row:
        band.paste(picture, (left, 0))
        left += picture.width + GAP
    return band
