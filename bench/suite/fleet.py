"""The servers of a run: those that answer, are of one version, and can run the workflows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from .server import ComfyServer, ServerGoneError
from .workflow_file import Workflow, missing_on_server

LOCAL = "http://127.0.0.1:8188"  # where ComfyUI listens unless it is told otherwise


@dataclass
class Fleet:
    """Servers that answer. version: of their ComfyUI. left_out: a sentence for each that is not used."""

    version: str = ""
    servers: list[ComfyServer] = field(default_factory=list)
    nodes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def object_info(self) -> dict[str, Any]:
        """Every node that any of them has."""
        return {kind: spec for nodes in reversed(self.nodes.values()) for kind, spec in nodes.items()}

    def keep_able(self, workflows: Sequence[Workflow]) -> list[Workflow]:
        """The workflows that some server can run, and keeps the servers that can run all of those.

        Sentences on the others are added to `left_out`.
        """
        lacks = {
            (server.url, workflow.name): missing_on_server(workflow, self.nodes[server.url])
            for server in self.servers
            for workflow in workflows
        }
        usable = [one for one in workflows if any(not lacks[server.url, one.name] for server in self.servers)]
        for workflow in workflows:
            if workflow not in usable:
                wanting = min((lacks[server.url, workflow.name] for server in self.servers), key=len, default=[])
                self.left_out += [f"{workflow.name} cannot run on any server: {line}" for line in wanting]
        able = []
        for server in self.servers:
            wanting = [f"{one.name}: {line}" for one in usable for line in lacks[server.url, one.name]]
            if wanting:
                more = f" ({len(wanting) - 1} more like this)" if len(wanting) > 1 else ""
                self.left_out.append(f"{server.url} is not used. {wanting[0]}{more}")
            else:
                able.append(server)
        self.servers = able
        return usable


async def connected(urls: Sequence[str], session: aiohttp.ClientSession, version: str | None) -> Fleet:
    """Asks every server what it is.

    Args:
        version: of ComfyUI, that earlier results were made with; None for that of the first server that answers.
    """
    fleet = Fleet(version or "")
    for url in dict.fromkeys(one.rstrip("/") for one in urls):
        if not re.match(r"https?://[^/]", url):
            fleet.left_out.append(f"--server {url} is no address; write http://HOST:PORT, such as {LOCAL}.")
            continue
        server = ComfyServer(url, session)
        try:
            found, nodes = await server.version(), await server.object_info()
        except (ServerGoneError, ValueError, AttributeError) as error:
            gone = isinstance(error, ServerGoneError)
            fleet.left_out.append(str(error) if gone else f"{url} is no ComfyUI server: its answers are other ones.")
            continue
        fleet.version = fleet.version or found
        if found != fleet.version:
            already = "the results here were made on" if version else f"{fleet.servers[0].url} runs"
            fleet.left_out.append(
                f"{url} runs ComfyUI {found}, {already} {fleet.version}: it is not used, or numbers of both would mix."
            )
            continue
        fleet.servers.append(server)
        fleet.nodes[url] = nodes
    return fleet
