"""The servers of a run, an actor of Ray each: those that are given, or one started for each GPU of the cluster."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ...demo.client import ComfyClient, PromptError, ServerGoneError, refusal
from ...demo.graphs import Graph
from ...demo.server import Server
from .clip_frames import source_digest, source_state, truth_frames
from .clips import SuiteClip
from .records import VideoFiles, key_of, write_record
from .video_files import decoded_pictures, encoded_picture, write_exactly
from .workflow_file import FIRST, LAST, OUTPUT, UPLOADS, Workflow, missing_on_server

LOCAL = "http://127.0.0.1:8188"  # where ComfyUI listens unless it is told otherwise
SHORTEST = 3  # frames that can be judged
Start = Callable[[Path], Server]  # a server that is not started yet, with a folder for all that it writes


@dataclass(frozen=True)
class Making:
    """A clip for one workflow. graph: filled but for the pictures. of: what the video depends on, without them."""

    clip: SuiteClip
    files: VideoFiles
    graph: Graph
    of: Mapping[str, Any]
    fps: float
    prompt_id: str


class ComfyWorker:
    """One server. Another thread may ask for `share` while a clip is made."""

    def __init__(self, address: str | None, start: Start | None = None, threads: int = 1) -> None:
        """address: of a server; None to start one, with so many threads."""
        self._share, self._scratch = 0.0, None
        if address is None:
            os.environ["OMP_NUM_THREADS"] = str(threads)  # Ray's own is 1
            self._scratch = Path(tempfile.mkdtemp(prefix="inbetween-suite-"))
            self._server = start(self._scratch)
            self._server.start()
        else:
            self._server = ComfyClient(address)
        where = f" on {ray.util.get_node_ip_address()}" if self._scratch else ""
        self._name = self._server.address + where

    def told(self) -> tuple[str, str, dict[str, Any]]:
        """Its name for a person, the version of its ComfyUI, its nodes. Raises ServerGoneError, ValueError."""
        try:
            nodes = self._server.get("/object_info")
            return self._name, self._server.version(), dict(nodes)
        except (AttributeError, TypeError) as error:
            raise ValueError(str(error)) from None

    def make(self, work: Making) -> None:
        """Makes a clip and keeps its frames and its record.

        Raises:
            ServerGoneError: it went away over it. PromptError: it cannot make it. ClipError, ValueError: nobody can.
            OSError: the results cannot be written.
        """
        self._share = 0.0
        clip, of = work.clip, work.of
        source = {"state": source_state(clip), "digest": source_digest(clip)}
        of = {**of, "pictures": source["digest"]}
        truth = truth_frames(clip, *of["size"])  # all, so that a broken one costs no server's time
        names = {
            mark: self._server.upload(encoded_picture(truth[at]), UPLOADS) for mark, at in ((FIRST, 0), (LAST, -1))
        }
        began = time.monotonic()
        shown = self._shown(with_pictures(work.graph, names), work.prompt_id)
        seconds = time.monotonic() - began
        frames = decoded_pictures(shown)
        if len(frames) < SHORTEST:
            raise ValueError(f"the workflow gave {len(frames)} frames, at least {SHORTEST} can be judged.")
        write_exactly(work.files.exact, frames, work.fps, key_of(of))
        size = {"frames": len(frames), "width": frames.shape[2], "height": frames.shape[1], "server": self._name}
        write_record(
            work.files.record, {"made": {"of": of, **size, "seconds": seconds}, "source": source, "scores": {}}
        )

    def _shown(self, graph: Graph, prompt_id: str) -> list[bytes]:
        """The pictures of OUTPUT, PNG each, in order; the server then forgets the prompt."""
        try:
            try:
                entry = self._server.run(graph, self._follow, prompt_id)
            except PromptError as error:
                raise PromptError(refusal(str(error), graph)) from None
            return [self._server.image(one) for one in entry["outputs"].get(OUTPUT, {}).get("images", [])]
        finally:
            self._forget(prompt_id)

    def _forget(self, prompt_id: str) -> None:
        try:
            self._server.forget(prompt_id)
        except ServerGoneError:
            pass  # then it has

    def _follow(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "progress_state":
            running = [node for node in data.get("nodes", {}).values() if node.get("state") == "running"]
            self._share = max((node["value"] / max(node["max"], 1) for node in running), default=0.0)

    def share(self) -> float:
        """Of the running node's work that is done, 0 to 1."""
        return self._share

    def cancel(self, prompt_id: str) -> None:
        """Takes a clip off the server."""
        self._server.cancel(prompt_id)

    def back(self, waits: Sequence[float]) -> None:
        """Asks a server that went away until it answers. waits: seconds before each question, then the last one."""
        for wait in itertools.chain(waits, itertools.repeat(waits[-1])):
            time.sleep(wait)
            try:
                if isinstance(self._server, Server) and not self._server.running:
                    self._server.start()
                self._server.version()
                return
            except (ServerGoneError, RuntimeError):
                continue

    def close(self) -> None:
        """Ends the server if it was started here."""
        if self._scratch:
            self._server.stop()
            shutil.rmtree(self._scratch, ignore_errors=True)


def with_pictures(graph: Graph, names: Mapping[str, str]) -> Graph:
    """A graph with the names of pictures in place of their marks."""

    def put(value: Any) -> Any:
        return names.get(value, value) if isinstance(value, str) else value

    return {
        key: {**node, "inputs": {name: put(value) for name, value in node["inputs"].items()}}
        for key, node in graph.items()
    }


@dataclass
class Fleet:
    """Servers that answer, by name: their actors. version: of their ComfyUI. left_out: a sentence on each other one."""

    version: str = ""
    workers: dict[str, Any] = field(default_factory=dict)
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
            (server, one.name): missing_on_server(one, self.nodes[server])
            for server in self.workers
            for one in workflows
        }
        usable = [one for one in workflows if any(not lacks[server, one.name] for server in self.workers)]
        for one in workflows:
            if one not in usable:
                wanting = min((lacks[server, one.name] for server in self.workers), key=len, default=[])
                self.left_out += [f"{one.name} cannot run on any server: {line}" for line in wanting]
        for server in list(self.workers):
            if wanting := [f"{one.name}: {line}" for one in usable for line in lacks[server, one.name]]:
                more = f" ({len(wanting) - 1} more like this)" if len(wanting) > 1 else ""
                self.left_out.append(f"{server} is not used. {wanting[0]}{more}")
                end_worker(self.workers.pop(server))
        return usable

    def close(self) -> None:
        """Ends every actor, and the servers that they started."""
        while self.workers:
            end_worker(self.workers.popitem()[1])


def end_worker(worker: Any) -> None:
    """Ends an actor, and the server that it started."""
    ray.wait([worker.close.remote()], timeout=15)
    ray.kill(worker)


def connected(fleet: Fleet, urls: Sequence[str], start: Start) -> None:
    """Takes an actor for every server into the fleet, if it answers; all must be of the first one's version.

    Args:
        urls: of servers that run; without one, `start` is used on every GPU of the cluster.
    """
    actor = ray.remote(ComfyWorker)
    always = {"num_cpus": 0, "max_restarts": -1, "max_concurrency": 2}
    asked: dict[str, Any] = {}
    if urls:
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        for url in dict.fromkeys(one.rstrip("/") for one in urls):
            if re.match(r"https?://[^/]", url):
                asked[url] = actor.options(scheduling_strategy=here, **always).remote(url)
            else:
                fleet.left_out.append(f"--server {url} is no address; write http://HOST:PORT, such as {LOCAL}.")
    else:
        cores, gpus = (int(ray.cluster_resources().get(name, 0)) for name in ("CPU", "GPU"))
        started = actor.options(num_gpus=1, scheduling_strategy="SPREAD", **always)
        for number in range(gpus):
            asked[f"GPU {number}"] = started.remote(None, start, max(1, cores // gpus))
    for url, told, worker in [(url, worker.told.remote(), worker) for url, worker in asked.items()]:
        if sentence := _refused(fleet, url, told, worker):
            fleet.left_out.append(sentence)
            end_worker(worker)


def _refused(fleet: Fleet, url: str, told: Any, worker: Any) -> str:
    """Takes a server into the fleet, or says why not."""
    try:
        name, version, nodes = ray.get(told)
    except ServerGoneError as error:
        return str(error.cause)
    except ValueError:
        return f"{url} is no ComfyUI server: its answers are other ones."
    except ray.exceptions.RayError as error:
        return f"{url} cannot be used: {str(error).strip().splitlines()[-1]}"
    fleet.version = fleet.version or version
    if version != fleet.version:
        other = f"{next(iter(fleet.workers))} runs {fleet.version}"
        return f"{name} runs ComfyUI {version}, {other}: it is not used, or numbers of both would mix."
    fleet.workers[name], fleet.nodes[name] = worker, nodes
    return ""
