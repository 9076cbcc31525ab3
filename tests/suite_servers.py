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
