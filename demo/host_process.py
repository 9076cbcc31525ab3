"""Starts the host inside this process, on the CPU, without a server: for tests and measurements."""

import asyncio
from pathlib import Path
from types import ModuleType


def start_host(base_directory: Path) -> ModuleType:
    """ComfyUI's `nodes` module with all core nodes registered.

    Args:
        base_directory: where the host looks for models/ and writes output/; made if it is missing.
    Raises:
        RuntimeError: a core node module that this pack uses could not be loaded.
    """
    import comfy.options  # noqa: F401 - first: argument parsing stays off, a test runner's arguments are its own
    from comfy.cli_args import args

    args.cpu = True
    args.base_directory = str(base_directory)
    (base_directory / "custom_nodes").mkdir(parents=True, exist_ok=True)

    import utils.install_util  # before `nodes`, which puts comfy/ and so another `utils` on the path
    import utils.json_util  # noqa: F401
    from server import PromptServer

    import nodes

    PromptServer.instance = _NoServer()
    failed = asyncio.run(nodes.init_extra_nodes(init_custom_nodes=False, init_api_nodes=False))
    unexpected = set(failed) - {"nodes_glsl.py"}  # the oldest host's only; it wants another OpenGL binding
    if unexpected:
        raise RuntimeError(f"core node modules failed to load: {', '.join(sorted(unexpected))}")
    return nodes


class _NoServer:
    """Stands where core extensions expect the server: takes every route and message, does nothing."""

    client_id = None
    last_node_id = None

    def __getattr__(self, name):
        return self

    def __call__(self, *arguments, **options):
        return arguments[0] if len(arguments) == 1 and callable(arguments[0]) else self
