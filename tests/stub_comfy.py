"""A server that speaks as much of ComfyUI's HTTP API and WebSocket as a client needs, and makes videos by arithmetic.

    python tests/stub_comfy.py --port 9000 --seconds 0.05 --version 0.30.0

Its one model, StubVideo, fades from the first picture to the last and adds noise of the seed. A caption with the word
"refused" is refused, one with "broken" raises, and one with "deadly" ends the server.
"""

import argparse
import asyncio
import contextlib
import io
import json
import os
import uuid

import numpy as np
from aiohttp import WSMsgType, web
from PIL import Image


def node(required, name):
    return {"input": {"required": required}, "input_order": {"required": list(required)}, "display_name": name}


NODES = {
    "LoadImage": node({"image": [["first.png"], {"image_upload": True}]}, "Load Image"),
    "CLIPTextEncode": node({"text": ["STRING", {}]}, "CLIP Text Encode (Prompt)"),
    "InbetweenKeyframes": node({"width": ["INT", {}], "height": ["INT", {}], "length": ["INT", {}]}, "Keyframes"),
    "RandomNoise": node({"noise_seed": ["INT", {"control_after_generate": True}]}, "RandomNoise"),
    "StubVideo": node({"weights": [["small", "large"], {}], "noise": ["NOISE"]}, "Stub Video"),
    "CreateVideo": node({"images": ["IMAGE"], "fps": ["FLOAT", {}]}, "Create Video"),
    "PreviewImage": node({"images": ["IMAGE"]}, "Preview Image"),
}


def workflow(amount=20, weights="small", **titles):
    """A graph in the API's format. amount: of noise, 0 to 255. titles: other ones, by node id."""
    named = {"n1": "First picture", "n2": "Last picture", "n3": "Prompt", **titles}
    nodes = {
        "n1": ("LoadImage", {"image": "first.png"}),
        "n2": ("LoadImage", {"image": "last.png"}),
        "n3": ("CLIPTextEncode", {"text": "a dancer"}),
        "n4": ("InbetweenKeyframes", {"width": 832, "height": 480, "length": 81, "a": ["n1", 0], "b": ["n2", 0]}),
        "n5": ("RandomNoise", {"noise_seed": 1}),
        "n6": ("StubVideo", {"weights": weights, "amount": amount, "x": ["n3", 0], "y": ["n4", 0], "z": ["n5", 0]}),
        "n7": ("CreateVideo", {"images": ["n6", 0], "fps": 16}),
    }
    shown = {key: {"title": named.get(key) or NODES[kind]["display_name"]} for key, (kind, _) in nodes.items()}
    return {key: {"class_type": kind, "inputs": given, "_meta": shown[key]} for key, (kind, given) in nodes.items()}


class Stub:
    def __init__(self, options):
        self.options, self.queue, self.running = options, asyncio.Queue(), None
        self.uploads, self.history, self.videos, self.sockets, self.deleted = {}, {}, {}, {}, set()
        self.stop = asyncio.Event()

    async def work(self):
        while True:
            prompt_id, graph, client = await self.queue.get()
            if prompt_id in self.deleted:
                continue
            self.running = prompt_id
            status, outputs = await self.made(prompt_id, graph, client)
            self.running = None
            self.history[prompt_id] = {"outputs": outputs, "status": status}
            await self.send(client, status["last"], {"prompt_id": prompt_id})

    async def made(self, prompt_id, graph, client):
        text = next(one["inputs"]["text"] for one in graph.values() if one["class_type"] == "CLIPTextEncode")
        if "deadly" in text:
            os._exit(1)
        self.stop.clear()
        for share in range(1, 5):
            await self.send(client, "progress_state", {"prompt_id": prompt_id, "nodes": {"n6": state(share)}})
            try:
                await asyncio.wait_for(self.stop.wait(), self.options.seconds / 4)
                return {"status_str": "error", "last": "execution_interrupted", "messages": []}, {}
            except asyncio.TimeoutError:
                pass
        if "broken" in text:
            said = {"node_type": "StubVideo", "exception_message": "the caption is broken\n"}
            return {"status_str": "error", "last": "execution_error", "messages": [["execution_error", said]]}, {}
        frames = self.video(graph)
        self.videos[prompt_id] = frames
        shown = [{"filename": f"{prompt_id}.{n}", "subfolder": "", "type": "temp"} for n in range(len(frames))]
        (key,) = (key for key, one in graph.items() if one["class_type"] == "PreviewImage")
        return {"status_str": "success", "last": "execution_success", "messages": []}, {key: {"images": shown}}

    def video(self, graph):
        by_kind = {one["class_type"]: one["inputs"] for one in graph.values()}
        size, seed = by_kind["InbetweenKeyframes"], by_kind["RandomNoise"]["noise_seed"]
        by_title = {one["_meta"]["title"]: one["inputs"] for one in graph.values()}
        ends = [self.uploads[by_title[f"{which} picture"]["image"]] for which in ("First", "Last")]
        first, last = (np.asarray(Image.open(io.BytesIO(end)).convert("RGB")).astype(float) for end in ends)
        assert first.shape == (size["height"], size["width"], 3)
        share = np.linspace(0, 1, size["length"])[:, None, None, None]
        noise = np.random.default_rng(seed).normal(size=(size["length"], *first.shape))
        noise *= by_kind["StubVideo"]["amount"] * share * (1 - share)
        return np.clip((1 - share) * first + share * last + noise, 0, 255).round().astype(np.uint8)

    async def send(self, client, kind, data):
        socket = self.sockets.get(client)
        if socket is not None and not socket.closed:
            with contextlib.suppress(ConnectionError):  # who asked is gone; what was asked for is made all the same
                await socket.send_str(json.dumps({"type": kind, "data": data}))

    async def listen(self, request):
        socket = self.sockets[request.query["clientId"]] = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                break
        del self.sockets[request.query["clientId"]]
        return socket

    async def upload(self, request):
        form = await request.post()
        self.uploads[f"{form['subfolder']}/{form['image'].filename}"] = form["image"].file.read()
        return web.json_response({"name": form["image"].filename})

    async def prompt(self, request):
        body = await request.json()
        texts = [one["inputs"].get("text", "") for one in body["prompt"].values()]
        if any("refused" in text for text in texts):
            error = {"message": "Value not in list", "details": "text: 'refused'"}
            found = {"n3": {"errors": [error], "class_type": "CLIPTextEncode"}}
            return web.json_response({"error": {"message": "invalid"}, "node_errors": found}, status=400)
        prompt_id = body.get("prompt_id") or uuid.uuid4().hex
        await self.queue.put((prompt_id, body["prompt"], body["client_id"]))
        return web.json_response({"prompt_id": prompt_id})

    async def view(self, request):
        prompt_id, _, number = request.query["filename"].partition(".")
        file = io.BytesIO()
        Image.fromarray(self.videos[prompt_id][int(number)]).save(file, "PNG", compress_level=1)
        return web.Response(body=file.getvalue())

    async def forget(self, request):
        for prompt_id in (await request.json())["delete"]:
            self.history.pop(prompt_id, None), self.videos.pop(prompt_id, None)
        return web.Response()

    async def one_history(self, request):
        found = self.history.get(request.match_info["id"])
        return web.json_response({request.match_info["id"]: found} if found else {})

    async def queued(self, request):
        waiting = [[0, item[0]] for item in self.queue._queue if item[0] not in self.deleted]
        return web.json_response({"queue_running": [[0, self.running]] * bool(self.running), "queue_pending": waiting})

    async def delete(self, request):
        self.deleted |= set((await request.json()).get("delete", ()))
        return web.Response()

    async def interrupt(self, request):
        if (await request.json()).get("prompt_id") == self.running:
            self.stop.set()
        return web.Response()


def state(share):
    return {"state": "running", "value": share, "max": 4}


async def serve(options):
    stub, app = Stub(options), web.Application(client_max_size=2**30)
    stats = {"system": {"comfyui_version": options.version}}
    get = {
        "/system_stats": lambda request: answer(stats),
        "/object_info": lambda request: answer(NODES),
        "/history/{id}": stub.one_history,
        "/queue": stub.queued,
        "/view": stub.view,
        "/ws": stub.listen,
    }
    post = {
        "/upload/image": stub.upload,
        "/prompt": stub.prompt,
        "/history": stub.forget,
        "/queue": stub.delete,
        "/interrupt": stub.interrupt,
    }
    app.add_routes([web.get(path, call) for path, call in get.items()])
    app.add_routes([web.post(path, call) for path, call in post.items()])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", options.port).start()
    await stub.work()


async def answer(value):
    return web.json_response(value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=0.02)
    parser.add_argument("--version", default="0.30.0")
    asyncio.run(serve(parser.parse_args()))
