"""The rows of ./dev bench quality. A module in this folder adds its methods by registering them; nothing else changes.

@method("hold first")
def hold_first(scene: Scene) -> Tensor: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...demo.world import LENGTH
from ..scene import Scene

Make = Callable[[Scene], Tensor]  # frames [N, H, W, 3] in 0..1
FLF2V, I2V, T2V = "flf2v", "i2v", "t2v"
REACH_LIMITED = "flf2v, reach 1 (constructed)"
FIRST_LAST = "first-last only"


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        base: of whose model it is, as DemoWorld names them; None where no transformer is asked.
        against: the row of the same base and length that it is compared with; None for none.
        sees_truth: this is no method but a bound that knows the answer.
        length: frames of its clips; another length shows the same motion in fewer or more frames.
    """

    name: str
    make: Make
    base: str | None
    against: str | None
    sees_truth: bool
    length: int

    @property
    def group(self) -> str:
        """Base and length, as the title of a table."""
        frames = "" if self.length == LENGTH else f", {self.length} frames"
        return f"{self.base or 'no transformer'}{frames}"


_registered: list[Method] = []


def method(
    name: str,
    base: str | None = None,
    against: str | None = FIRST_LAST,
    sees_truth: bool = False,
    length: int = LENGTH,
) -> Callable[[Make], Make]:
    """Registers a function as a row under this name.

    Raises:
        ValueError: the name is taken in this group.
    """

    def register(make: Make) -> Make:
        compared = None if base is None or name == against else against
        made = Method(name, make, base, compared, sees_truth, length)
        if any((item.group, item.name) == (made.group, name) for item in _registered):
            raise ValueError(f"two methods of {made.group} are called {name!r}")
        _registered.append(made)
        return make

    return register


def all_methods() -> list[Method]:
    """Every registered method, in order of the modules' names and then of their lines."""
    for module in sorted(item.name for item in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{module}")
    return list(_registered)
