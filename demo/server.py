"""A ComfyUI server of our own on 127.0.0.1, and the few HTTP calls that a client needs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[1]
PACK_FOLDER = "comfyui-inbetween"
HANGS_AFTER = 1800.0  # seconds; much more than a slow machine needs for anything that is waited for here


class PromptError(Exception):
    """The server refused a graph or an error ended it; the text is the host's, with the node's own sentence."""


class PortTakenError(Exception):
    """Another program listens where the server was to."""


class Server:
    """ComfyUI in a process of its own, ended when the `with` block ends."""

    def __init__(self, base: Path, output: Path | None = None, port: int = 0) -> None:
        """base: a private folder for models/, input/, custom_nodes/. output: where results go, base/output if None."""
        self.base = base
        self.output = output or base / "output"
        self.log = base / "server.log"
        self.port = port or _free_port()
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the process and returns when it answers.

        Raises:
            PortTakenError: another program has the port. RuntimeError: it ended; the text has the end of its log.
            TimeoutError: it never answered.
        """
        if _is_taken(self.port):
            raise PortTakenError(f"port {self.port} is taken by another program")
        for folder in ("custom_nodes", "input", "models", "user", "temp"):
            (self.base / folder).mkdir(parents=True, exist_ok=True)
        self.output.mkdir(parents=True, exist_ok=True)
        pack = self.base / "custom_nodes" / PACK_FOLDER
        if not pack.exists():
            pack.symlink_to(ROOT, target_is_directory=True)
        host = Path(os.environ["COMFYUI_PATH"])
        command = [
            *(sys.executable, str(host / "main.py"), "--cpu", "--listen", "127.0.0.1", "--port", str(self.port)),
            *("--base-directory", str(self.base), "--output-directory", str(self.output)),
            *("--database-url", "sqlite:///:memory:", "--disable-api-nodes"),
        ]
        with open(self.log, "w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self.base)
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends our own process, by its id."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """Ends our own process, by its id, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, raw: bool = False) -> Any:
        """What the server answers to GET, decoded from JSON unless raw."""
        with urllib.request.urlopen(f"{self.address}{path}", timeout=HANGS_AFTER) as answer:
            body = answer.read()
        return body if raw else json.loads(body)

    def post(self, path: str, value: Any) -> Any:
        """POSTs JSON. Raises PromptError with the server's explanation where it refuses."""
        body = json.dumps(value).encode()
        request = urllib.request.Request(f"{self.address}{path}", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=HANGS_AFTER) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise PromptError(error.read().decode()) from None
        return json.loads(text) if text else None

    def wait(self, prompt_id: str, timeout: float = HANGS_AFTER) -> dict[str, Any]:
        """The history entry of a finished prompt: outputs per node id, and messages.

        Raises:
            PromptError: a node raised; the text is "node type: message". TimeoutError: not done in time.
        """
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            if entry and entry["status"].get("completed"):
                return entry
            if entry and entry["status"].get("status_str") == "error":
                raise PromptError(failure_text(entry))
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}:\n{self.log_tail()}")
            time.sleep(0.1)
        raise TimeoutError(f"prompt {prompt_id} was not done after {timeout:.0f} s:\n{self.log_tail()}")

    def run(self, graph: dict[str, Any], on_event: Callable[[str, dict[str, Any]], None]) -> dict[str, Any]:
        """Queues a graph, passes on what the server says of it as it happens, and returns its history entry.

        on_event: called with the host's message types ("executing", "progress_state", "executed", ...) and their data.
        Raises:
            PromptError: the server refused the graph, or a node raised.
        """
        return asyncio.run(self._run(graph, on_event))

    async def _run(self, graph: dict[str, Any], on_event: Callable[[str, dict[str, Any]], None]) -> dict[str, Any]:
        client = uuid.uuid4().hex
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{self.address}/ws?clientId={client}", max_msg_size=0) as messages:
                prompt_id = self.post("/prompt", {"prompt": graph, "client_id": client})["prompt_id"]
                async for message in messages:
                    if message.type != aiohttp.WSMsgType.TEXT:
                        continue  # previews are binary
                    event = json.loads(message.data)
                    kind, data = event["type"], event.get("data", {})
                    if data.get("prompt_id") not in (None, prompt_id):
                        continue
                    on_event(kind, data)
                    if kind in ("execution_success", "execution_error", "execution_interrupted"):
                        break
        return self.wait(prompt_id)

    def image(self, found: dict[str, str]) -> bytes:
        """The file behind one entry of a node's "images" output."""
        return self.get(f"/view?{urllib.parse.urlencode(found)}", raw=True)

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _wait_until_ready(self, timeout: float = HANGS_AFTER) -> None:
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}:\n{self.log_tail()}")
            try:
                self.get("/system_stats")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        raise TimeoutError(f"the server was not ready after {timeout:.0f} s:\n{self.log_tail()}")


def failure_text(entry: dict[str, Any]) -> str:
    """Why a prompt failed, from its history entry: "node type: message"."""
    for name, message in entry["status"]["messages"]:
        if name == "execution_error":
            return f"{message['node_type']}: {message['exception_message'].strip()}"
        if name == "execution_interrupted":
            return f"{message['node_type']}: interrupted"
    return json.dumps(entry["status"])


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
