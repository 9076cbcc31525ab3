"""Which other node runs the model, or a part of it, in a way of its own. Pure.

A node can put its own code in the place of the host's: on a module, on its class, or by another class. Code tells by
the module that it was written in where it comes from; the host names a pack's modules by the pack's folder.
"""

from __future__ import annotations

import re
from typing import Any

FORWARDS = ("forward", "_forward", "forward_orig")  # what the host calls a module's own code
HOST = ("comfy", "comfy_api", "comfy_extras", "torch", "functools")
PACK = re.compile(r"custom_nodes[./\\]+([^./\\]+)")  # a dot in the folder's name is written _x_


def replacing_node(network: Any) -> str | None:
    """Whose code runs in the place of the host's in a network, its blocks or their attention, see `node_of`."""
    blocks = [block for name in ("blocks", "double_blocks", "single_blocks") for block in getattr(network, name, ())]
    attentions = [getattr(block, name, None) for block in blocks for name in ("self_attn", "cross_attn")]
    codes = [
        code
        for module in (network, *blocks, *attentions)
        for code in (type(module), *(getattr(module, name, None) for name in FORWARDS))
    ]
    return next(filter(None, map(node_of, codes)), None)


def node_of(code: Any) -> str | None:
    """Where a class or function is from: "a node of <pack>", "another node", or None for the host and what is none."""
    origin = getattr(getattr(code, "func", code), "__module__", None)  # of a partial its function's
    if not isinstance(origin, str) or origin.split(".")[0] in (*HOST, "builtins"):
        return None
    packs = PACK.findall(origin)
    return f"a node of {packs[-1].replace('_x_', '.')}" if packs else "another node"
