"""Stub servers in processes of their own, and what a test reads from a finished run."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from pack.bench.suite.servers import ComfyWorker
from pack.bench.suite.video_files import encoded_picture
from pack.bench.suite.workflow_file import OUTPUT
from pack.demo.client import ServerGoneError

STUB = Path(__file__).with_name("stub_comfy.py")


class StubServer:
    """One `stub_comfy.py`. seconds: for each clip."""

    def __init__(self, seconds=0.02, version="0.30.0"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, str(STUB), "--port", str(port), "--seconds", str(seconds), "--version", version]
        self.process = subprocess.Popen(command)
        while self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.url}/system_stats", timeout=600).close()
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise RuntimeError("the stub server did not start")

    def queue(self):
        with urllib.request.urlopen(f"{self.url}/queue", timeout=600) as answer:
            found = json.loads(answer.read())
        return found["queue_running"] + found["queue_pending"]

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


def score_rows(folder):
    """scores.csv without the seconds, which differ from run to run."""
    with open(folder / "scores.csv", newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


class PlayedServer:
    """Stands for a client and its server: makes noise, or fails in a way of its own.

    how: "refused" fails at every clip, "broken once" gives no pictures, "lost once" goes away over its first clip, and
    "ends once" ends its process. once: a file that is there when that has happened.
    """

    def __init__(self, how: str, seconds: float, once: Path):
        self.how, self.seconds, self.once = how, seconds, once

    def _first_time(self, how: str) -> bool:
        first = self.how == how and not self.once.exists()
        if first:
            self.once.touch()
        return first

    def upload(self, picture, folder):
        if self.how == "refused":
            raise ServerGoneError("its disk is full")
        return "first.png"

    def run(self, graph, on_event, prompt_id):
        time.sleep(self.seconds)
        if self._first_time("ends once"):
            os._exit(1)
        if self._first_time("lost once"):
            raise ServerGoneError("it was started anew")
        length = 5 * (not self._first_time("broken once"))
        return {"outputs": {OUTPUT: {"images": [*range(length)] or ["no picture"] * 5}}}

    def image(self, one):
        if one == "no picture":
            return b"<html>"
        return encoded_picture(np.random.default_rng(one).integers(0, 256, (32, 32, 3), dtype=np.uint8))

    def forget(self, prompt_id):
        pass

    cancel = forget

    def version(self):
        return "0"


class PlayedWorker(ComfyWorker):
    def __init__(self, how, seconds, once):
        self._share, self._scratch, self._name = 0.0, None, how
        self._server = PlayedServer(how, seconds, once)
