"""What every node of the pack is made from: its inputs are looked at before it runs, by its own schema.

The host checks what is typed into a widget, and not what comes over a link.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from comfy_api.latest import io

from .input_checks import check_thing, checked_choice, checked_number, checked_switch, checked_text

NO_MEMORY = ("DefaultCPUAllocator", "Storage size calculation overflowed")  # how torch says it of the computer's memory


class FileInput(io.Combo.Input):
    """A choice among files of this machine; whoever reads the file says what is wrong with it."""


class CheckedNode(io.ComfyNode):
    """A node whose execute sees only values of its schema's kinds, and numbers inside their ranges."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        own = cls.__dict__.get("execute")
        if own is not None and not hasattr(own.__func__, "__wrapped__"):  # the host's copy of a class has it already
            cls.execute = classmethod(_checked(own.__func__))  # type: ignore[method-assign, assignment]


def _checked(execute: Callable[..., io.NodeOutput]) -> Callable[..., io.NodeOutput]:
    """execute, with its arguments checked against the schema of the class that it is called for."""
    signature = inspect.signature(execute)

    @functools.wraps(execute)
    def run(cls: type[io.ComfyNode], *values: Any, **named: Any) -> io.NodeOutput:
        given = signature.bind(cls, *values, **named).arguments
        schema = cls.define_schema()
        for item in schema.inputs:
            if item.id in given:
                given[item.id] = _checked_value(item, given[item.id], bool(schema.is_input_list))
        try:
            return execute(**given)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
                raise ValueError(
                    "this does not fit into the computer's memory: use a smaller width, height, length or batch_size."
                ) from error
            raise  # a device's memory too, which the host frees and tells of

    return run


def _checked_value(item: Any, value: Any, is_list: bool, name: str = "") -> Any:
    """The value as the node takes it.

    Args:
        item: an input of a schema. is_list: the host gives a list of values for each input. name: of a slot that grew.
    Raises:
        ValueError: a value of another kind, or outside the input's range.
    """
    name = name or item.id
    if isinstance(item, io.Autogrow.Input) and isinstance(value, dict):
        return {slot: _checked_value(item.template.input, one, is_list, slot) for slot, one in value.items()}
    if is_list and isinstance(value, list):
        if not value and not item.optional and name == item.id:
            raise ValueError(f"{name} is an empty list: connect one thing.")
        return [_checked_one(item, one, name) for one in value]
    return _checked_one(item, value, name)


def _checked_one(item: Any, value: Any, name: str) -> Any:
    if isinstance(item, io.Int.Input | io.Float.Input):
        return checked_number(name, value, item.min, item.max, isinstance(item, io.Int.Input))
    if isinstance(item, io.Combo.Input):
        return checked_choice(name, value, () if isinstance(item, FileInput) else item.options)
    if isinstance(item, io.Boolean.Input):
        return checked_switch(name, value)
    if isinstance(item, io.String.Input):
        return checked_text(name, value)
    if value is None and item.optional:
        return None
    check_thing(name, value, item.get_io_type())
    return value
