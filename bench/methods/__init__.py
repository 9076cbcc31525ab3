"""The rows of ./dev bench quality. A module in this folder adds its methods by registering them; nothing else changes.

@method("hold first")
def hold_first(world: DemoWorld, pair: Pair, seed: int) -> Tensor: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...demo.world import LENGTH
from ..demo_world import DemoWorld, Pair

# From the world's models, a pair of pictures and a seed: frames [N, H, W, 3] in 0..1.
Make = Callable[[DemoWorld, Pair, int], Tensor]


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        make: gets a Pair, or the whole Clip if sees_truth.
        sees_truth: this is no method but a bound that knows the answer.
        length: frames of its clips; another length shows the same motion in fewer or more frames.
    """

    name: str
    make: Callable[[DemoWorld, Any, int], Tensor]
    sees_truth: bool = False
    length: int = LENGTH


_registered: list[Method] = []


def method(name: str, sees_truth: bool = False, length: int = LENGTH) -> Callable[[Make], Make]:
    """Registers a function as a row under this name.

    Raises:
        ValueError: the name is taken.
    """

    def register(make: Make) -> Make:
        if any(item.name == name for item in _registered):
            raise ValueError(f"two methods are called {name!r}")
        _registered.append(Method(name, make, sees_truth, length))
        return make

    return register


def all_methods() -> list[Method]:
    """Every registered method, in order of the modules' names and then of their lines."""
    for module in sorted(item.name for item in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    return list(_registered)
