"""A ComfyUI server of our own on 127.0.0.1."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from .client import ComfyClient, PromptError, ServerGoneError

__all__ = ["PortTakenError", "PromptError", "Server"]

ROOT = Path(__file__).resolve().parents[1]
PACK_FOLDER = "comfyui-inbetween"
HANGS_AFTER = 1800.0  # seconds; much more than a slow machine needs for anything that is waited for here
PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


END_WITH_PARENT = _end_with_parent if sys.platform == "linux" else None


class PortTakenError(Exception):
    """Another program listens where the server was to."""


class Server(ComfyClient):
    """ComfyUI in a process of its own, ended when the `with` block ends; where Linux is, also with whoever began it."""

    def __init__(self, base: Path, output: Path | None = None, port: int = 0, scratch: Path | None = None) -> None:
        """A server, not yet started.

        Args:
            base: a private folder for models/, input/, custom_nodes/; with `scratch`, a ComfyUI's own folder.
            output: where results go, base/output if None.
            port: 0 for a free one.
            scratch: a private folder for all that a server of `base` writes; it runs on the GPU where there is one.
        """
        self.base, self._own = base, scratch is None
        self.output = output or (scratch or base) / "output"
        self.temp = (scratch or base) / "temp"
        self.log = (scratch or base) / "server.log"
        self.port = port or _free_port()
        self._process: subprocess.Popen | None = None
        super().__init__(f"http://127.0.0.1:{self.port}", HANGS_AFTER)

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
        if self._own:
            for folder in ("custom_nodes", "input", "models", "user"):
                (self.base / folder).mkdir(parents=True, exist_ok=True)
            pack = self.base / "custom_nodes" / PACK_FOLDER
            if not pack.exists():
                pack.symlink_to(ROOT, target_is_directory=True)
        for folder in (self.output, self.temp):
            folder.mkdir(parents=True, exist_ok=True)
        host = Path(os.environ["COMFYUI_PATH"])
        command = [
            *(sys.executable, str(host / "main.py"), "--listen", "127.0.0.1", "--port", str(self.port)),
            *("--base-directory", str(self.base), "--output-directory", str(self.output)),
            *("--temp-directory", str(self.temp.parent)),  # the host itself adds temp/
            *("--database-url", "sqlite:///:memory:", "--disable-api-nodes"),
            *(["--cpu"] if self._own or not _has_gpu() else []),
        ]
        with open(self.log, "w") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=self.base, preexec_fn=END_WITH_PARENT
            )
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

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _gone(self, error: Exception) -> ServerGoneError:
        gone = super()._gone(error)
        ended = self._process is not None and self._process.poll() is not None
        return ServerGoneError(f"{gone} It ended:\n{self.log_tail()}") if ended else gone

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + HANGS_AFTER
        while time.monotonic() < end:
            if self._process is not None and self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}:\n{self.log_tail()}")
            try:
                self.version()
                return
            except ServerGoneError:
                time.sleep(0.2)
        raise TimeoutError(f"the server was not ready after {HANGS_AFTER:.0f} s:\n{self.log_tail()}")


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
