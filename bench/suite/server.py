"""What the suite says to one ComfyUI server, over the host's own HTTP API and WebSocket."""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Callable
from typing import Any

import aiohttp

from ...demo.graphs import Graph
from ...demo.server import failure_text
from .workflow_file import OUTPUT, UPLOADS

ANSWER_SECONDS = 60  # for one request; a busy server answers slowly, a dead one refuses at once
SILENCE_SECONDS = 20  # without a message, after which the server is asked whether it still works on the prompt
LAST_MESSAGES = ("execution_success", "execution_error", "execution_interrupted")


class ServerGoneError(Exception):
    """A server does not answer, or has forgotten what it was asked for; another one may do it."""


class PromptFailedError(Exception):
    """The server cannot make this clip; the text is the host's, with the node's own sentence."""


class ComfyServer:
    """One server. Every method raises ServerGoneError where it does not answer."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        """url: http://host:port. session: closed by whoever opened it."""
        self.url = url.rstrip("/")
        self._session = session

    async def version(self) -> str:
        """Of its ComfyUI."""
        found = await self._get("/system_stats")
        return str(found.get("system", {}).get("comfyui_version", "unknown"))

    async def object_info(self) -> dict[str, Any]:
        """Its nodes and their inputs."""
        return await self._get("/object_info")

    async def upload(self, picture: bytes) -> str:
        """Puts a PNG into its input folder, under a name that is its content's; returns the name for Load Image."""
        form = aiohttp.FormData()
        name = f"{hashlib.sha256(picture).hexdigest()[:24]}.png"
        form.add_field("image", picture, filename=name, content_type="image/png")
        form.add_field("subfolder", UPLOADS)
        form.add_field("overwrite", "true")
        await self._ask("POST", "/upload/image", data=form)
        return f"{UPLOADS}/{name}"

    async def frames(self, graph: Graph, told: Callable[[float], None]) -> list[bytes]:
        """Runs a graph and returns the pictures of OUTPUT, PNG each, in order.

        Args:
            told: called with the share (0..1) of the running node's work that is done.
        Raises:
            PromptFailedError: the server refused the graph, or a node raised. Cancelled: the server's work is, too.
        """
        client, prompt_id = uuid.uuid4().hex, str(uuid.uuid4())
        try:
            async with self._session.ws_connect(f"{self.url}/ws?clientId={client}", heartbeat=30, max_msg_size=0) as ws:
                try:
                    await self._queue(graph, client, prompt_id)
                    await self._follow(ws, prompt_id, told)
                except asyncio.CancelledError:
                    await self._cancel(prompt_id)
                    raise
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._gone(error) from None
        return await self._collect(prompt_id)

    async def _queue(self, graph: Graph, client: str, prompt_id: str) -> None:
        """The name is ours, so that a prompt can be taken back before the server has answered."""
        body = {"prompt": graph, "client_id": client, "prompt_id": prompt_id}
        status, answer = await self._ask("POST", "/prompt", json=body, refusals=True)
        if status != 200:
            raise PromptFailedError(_refusal(answer.decode(errors="replace"), graph))

    async def _follow(self, ws: aiohttp.ClientWebSocketResponse, prompt_id: str, told: Callable[[float], None]) -> None:
        """Returns when the prompt is done, well or not."""
        while True:
            try:
                message = await ws.receive(timeout=SILENCE_SECONDS)
            except asyncio.TimeoutError:
                if await self._is_done(prompt_id):
                    return
                continue
            if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return await self._wait_without_messages(prompt_id)
            if message.type != aiohttp.WSMsgType.TEXT:
                continue  # previews are binary
            event = json.loads(message.data)
            data = event.get("data") or {}
            if data.get("prompt_id") != prompt_id:
                continue
            if event["type"] in LAST_MESSAGES:
                return
            if event["type"] == "progress_state":
                running = [node for node in data.get("nodes", {}).values() if node.get("state") == "running"]
                told(max((node["value"] / max(node["max"], 1) for node in running), default=0.0))

    async def _wait_without_messages(self, prompt_id: str) -> None:
        while not await self._is_done(prompt_id):
            await asyncio.sleep(2)

    async def _is_done(self, prompt_id: str) -> bool:
        if await self._get(f"/history/{prompt_id}"):
            return True
        queue = await self._get("/queue")
        known = {item[1] for part in ("queue_running", "queue_pending") for item in queue.get(part, [])}
        if prompt_id in known or await self._get(f"/history/{prompt_id}"):
            return prompt_id not in known
        raise ServerGoneError(f"{self.url} has forgotten the clip; was it started anew?")

    async def _collect(self, prompt_id: str) -> list[bytes]:
        """The pictures of a prompt that is done; the server then forgets the prompt, so that its memory stays small."""
        for _ in range(100):  # the last message comes shortly before the history has the prompt
            entry = (await self._get(f"/history/{prompt_id}")).get(prompt_id)
            if entry:
                break
            await asyncio.sleep(0.1)
        else:
            raise ServerGoneError(f"{self.url} has forgotten the clip; was it started anew?")
        try:
            if entry["status"]["status_str"] != "success":
                raise PromptFailedError(failure_text(entry))
            shown = entry["outputs"].get(OUTPUT, {}).get("images", [])
            return [(await self._ask("GET", "/view", params=one))[1] for one in shown]
        finally:
            await self._ask("POST", "/history", json={"delete": [prompt_id]})

    async def _cancel(self, prompt_id: str) -> None:
        """Takes the prompt off the server, whether it waits or runs; what others do there goes on."""
        try:
            await self._ask("POST", "/queue", json={"delete": [prompt_id]})
            running = (await self._get("/queue")).get("queue_running", [])
            if any(item[1] == prompt_id for item in running):
                await self._ask("POST", "/interrupt", json={"prompt_id": prompt_id})
        except ServerGoneError:
            pass  # then it does not work on it either

    async def _get(self, path: str) -> Any:
        return json.loads((await self._ask("GET", path))[1])

    async def _ask(self, method: str, path: str, refusals: bool = False, **sent: Any) -> tuple[int, bytes]:
        """(status, content) of an answer. refusals: an answer of 400 is the caller's to read."""
        try:
            timeout = aiohttp.ClientTimeout(ANSWER_SECONDS)
            async with self._session.request(method, self.url + path, timeout=timeout, **sent) as answer:
                content = await answer.read()
                if answer.status >= 400 and not (refusals and answer.status == 400):
                    said = content[:200].decode(errors="replace")
                    raise ServerGoneError(f"{self.url} answers {answer.status} to {path}: {said}")
                return answer.status, content
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._gone(error) from None

    def _gone(self, error: Exception) -> ServerGoneError:
        return ServerGoneError(f"{self.url} does not answer ({str(error) or type(error).__name__}).")


def _refusal(text: str, graph: Graph) -> str:
    """The host's refusal of a graph in a sentence: the first node's first complaint."""
    try:
        found = json.loads(text)
        for key, node in found.get("node_errors", {}).items():
            title = graph.get(key, {}).get("_meta", {}).get("title", node.get("class_type"))
            for error in node["errors"]:
                return f"{title}: {error['message']} ({error['details']})" if error["details"] else error["message"]
        return found["error"]["message"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return text[:300]
