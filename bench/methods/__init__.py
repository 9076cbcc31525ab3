"""The rows of ./dev bench quality. A module in this folder adds its methods by registering them; nothing else changes.

@method("cross-fade")
def cross_fade(world: DemoWorld, clip: Clip, seed: int) -> Tensor: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...demo.world import Clip
from ..demo_world import DemoWorld

# From the world's models, a clip (of which it may use only the two ends and the caption) and a seed: [N, H, W, 3]
Make = Callable[[DemoWorld, Clip, int], Tensor]


@dataclass(frozen=True)
class Method:
    """One row of the table."""

    name: str
    make: Make


_registered: list[Method] = []


def method(name: str) -> Callable[[Make], Make]:
    """Registers a function as a row under this name.

    Raises:
        ValueError: the name is taken.
    """

    def register(make: Make) -> Make:
        if any(item.name == name for item in _registered):
            raise ValueError(f"two methods are called {name!r}")
        _registered.append(Method(name, make))
        return make

    return register


def all_methods() -> list[Method]:
    """Every registered method, in order of the modules' names and then of their lines."""
    for module in sorted(item.name for item in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    return list(_registered)
