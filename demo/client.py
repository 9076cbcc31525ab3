"""What a client says to a ComfyUI server: the host's HTTP API, and its WebSocket for what happens meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

ANSWER_SECONDS = 60.0  # for one request; a busy server answers slowly, a dead one refuses at once
SILENCE_SECONDS = 20.0  # without a message, after which the server is asked whether it still works on the prompt
LAST_MESSAGES = ("execution_success", "execution_error", "execution_interrupted")

OnEvent = Callable[[str, dict[str, Any]], None]


class PromptError(Exception):
    """The server refused a graph or an error ended it; the text is the host's, with the node's own sentence."""


class ServerGoneError(Exception):
    """The server does not answer, or has forgotten what it was asked for."""


class ComfyClient:
    """One server. Every method raises ServerGoneError where it does not answer."""

    def __init__(self, address: str, patience: float = ANSWER_SECONDS) -> None:
        """address: http://host:port. patience: seconds for one request."""
        self.address, self._patience = address.rstrip("/"), patience

    def get(self, path: str, raw: bool = False) -> Any:
        """What the server answers to GET, decoded from JSON unless raw."""
        body = self._ask(path)
        return body if raw else json.loads(body)

    def post(self, path: str, value: Any) -> Any:
        """POSTs JSON. Raises PromptError with the server's explanation where it refuses."""
        text = self._ask(path, json.dumps(value).encode(), "application/json")
        return json.loads(text) if text else None

    def version(self) -> str:
        """Of its ComfyUI."""
        return str(self.get("/system_stats").get("system", {}).get("comfyui_version", "unknown"))

    def upload(self, picture: bytes, folder: str) -> str:
        """Puts a PNG into a folder of its input, under a name that is its content's; that name for Load Image."""
        name, line = f"{hashlib.sha256(picture).hexdigest()[:24]}.png", uuid.uuid4().hex
        head = f'--{line}\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
        fields = "".join(head % (key, "") + f"{value}\r\n" for key, value in (("subfolder", folder), ("overwrite", 1)))
        file = head % ("image", f'; filename="{name}"\r\nContent-Type: image/png')
        body = (fields + file).encode() + picture + f"\r\n--{line}--\r\n".encode()
        self._ask("/upload/image", body, f"multipart/form-data; boundary={line}")
        return f"{folder}/{name}"

    def run(self, graph: Mapping[str, Any], on_event: OnEvent, prompt_id: str | None = None) -> dict[str, Any]:
        """Queues a graph, passes on what the server says of it as it happens, and returns its history entry.

        Args:
            on_event: called with the host's message types ("executing", "progress_state", ...) and their data.
            prompt_id: a UUID by which the prompt can be taken back; None for a new one.
        Raises:
            PromptError: the server refused the graph, or a node raised.
        """
        prompt_id = prompt_id or str(uuid.uuid4())
        asyncio.run(self._follow(graph, on_event, prompt_id))
        return self.wait(prompt_id)

    async def _follow(self, graph: Mapping[str, Any], on_event: OnEvent, prompt_id: str) -> None:
        """Returns after the prompt's last message, or where messages cease."""
        client = uuid.uuid4().hex
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"{self.address}/ws?clientId={client}", max_msg_size=0) as messages,
            ):
                self.post("/prompt", {"prompt": graph, "client_id": client, "prompt_id": prompt_id})
                while True:
                    try:
                        message = await messages.receive(timeout=SILENCE_SECONDS)
                    except asyncio.TimeoutError:
                        if self._history(prompt_id):
                            return
                        continue
                    if message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                        return
                    if message.type != aiohttp.WSMsgType.TEXT:
                        continue  # previews are binary
                    event = json.loads(message.data)
                    kind, data = event["type"], event.get("data") or {}
                    if data.get("prompt_id") not in (None, prompt_id):
                        continue
                    on_event(kind, data)
                    if kind in LAST_MESSAGES:
                        return
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
            raise self._gone(error) from None

    def wait(self, prompt_id: str) -> dict[str, Any]:
        """The history entry of a prompt, once it is done: outputs per node id, and messages.

        Raises:
            PromptError: a node raised; the text is "node type: message".
        """
        while not (entry := self._history(prompt_id)):
            time.sleep(0.1)
        if entry["status"].get("status_str") != "success":
            raise PromptError(failure_text(entry))
        return entry

    def _history(self, prompt_id: str) -> dict[str, Any] | None:
        """The entry of a prompt that is done; None while it waits or runs. ServerGoneError where nobody knows it."""
        for last_try in (False, True):
            if entry := self.get(f"/history/{prompt_id}").get(prompt_id):
                return entry
            queue = self.get("/queue")
            if prompt_id in {item[1] for part in ("queue_running", "queue_pending") for item in queue.get(part, [])}:
                return None
            if last_try:
                raise ServerGoneError(f"{self.address} has forgotten the prompt; was it started anew?")
        return None

    def forget(self, prompt_id: str) -> None:
        """Takes a prompt that is done out of the history, so that the server's memory stays small."""
        self.post("/history", {"delete": [prompt_id]})

    def cancel(self, prompt_id: str) -> None:
        """Takes a prompt off the server, whether it waits or runs; what others do there goes on."""
        try:
            self.post("/queue", {"delete": [prompt_id]})
            if any(item[1] == prompt_id for item in self.get("/queue").get("queue_running", [])):
                self.post("/interrupt", {"prompt_id": prompt_id})
        except ServerGoneError:
            pass  # then it does not work on it either

    def image(self, found: Mapping[str, str]) -> bytes:
        """The file behind one entry of a node's "images" output."""
        return self.get(f"/view?{urllib.parse.urlencode(found)}", raw=True)

    def _ask(self, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        request = urllib.request.Request(self.address + path, body, {"Content-Type": kind} if body else {})
        try:
            with urllib.request.urlopen(request, timeout=self._patience) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            if error.code == 400:
                raise PromptError(said) from None
            raise ServerGoneError(f"{self.address} answers {error.code} to {path}: {said[:200]}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._gone(error) from None

    def _gone(self, error: Exception) -> ServerGoneError:
        said = getattr(error, "reason", None) or error
        return ServerGoneError(f"{self.address} does not answer ({str(said) or type(error).__name__}).")


def failure_text(entry: Mapping[str, Any]) -> str:
    """Why a prompt failed, from its history entry: "node type: message"."""
    for name, message in entry["status"]["messages"]:
        if name == "execution_error":
            return f"{message['node_type']}: {message['exception_message'].strip()}"
        if name == "execution_interrupted":
            return f"{message['node_type']}: interrupted"
    return json.dumps(entry["status"])


def refusal(text: str, graph: Mapping[str, Any]) -> str:
    """The host's refusal of a graph in a sentence: the first node's first complaint. Any other text stays as it is."""
    try:
        found = json.loads(text)
        for key, node in found.get("node_errors", {}).items():
            title = graph.get(key, {}).get("_meta", {}).get("title", node.get("class_type"))
            for error in node["errors"]:
                return f"{title}: {error['message']} ({error['details']})" if error["details"] else error["message"]
        return found["error"]["message"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return text
