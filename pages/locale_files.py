"""locales/<language>/nodeDefs.json: names, descriptions and tooltips as the frontend reads them.

English is what the schema says; the other languages are written by hand, with the same keys.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def english(schemas: Sequence[Any]) -> dict[str, Any]:
    """The English entries of these schemas of the host's V3, in their order.

    {node id: {"display_name", "description", "inputs": {id: {"name", "tooltip"}}, "outputs": {"0": {"name"}}}}; an
    output has a "tooltip" too where the schema has one. The frontend reads a dot in an id as "_".
    """
    return {schema.node_id.replace(".", "_"): _entry(schema) for schema in schemas}


def file_text(entries: dict[str, Any]) -> str:
    """The entries as the file holds them."""
    return json.dumps(entries, ensure_ascii=False, indent=2) + "\n"


def _entry(schema: Any) -> dict[str, Any]:
    inputs = {
        item.id.replace(".", "_"): {"name": item.display_name or item.id, "tooltip": item.tooltip}
        for item in schema.inputs
    }
    outputs = {}
    for place, item in enumerate(schema.outputs):
        outputs[str(place)] = {"name": item.display_name or item.get_io_type()}
        if item.tooltip:
            outputs[str(place)]["tooltip"] = item.tooltip
    return {
        "display_name": schema.display_name,
        "description": schema.description,
        **({"inputs": inputs} if inputs else {}),
        "outputs": outputs,
    }
