"""ComfyUI's page in a browser, used as a person uses it: by its side bar, its cards and its Run button."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

# What the host's own page says of a user who has saved nothing yet; everything else in the console is a failure.
NOT_THERE_YET = {
    "/user.css",  # the user's style sheet
    "/api/userdata/user.css",
    "/api/userdata?dir=workflows",  # the user's own workflows,
    "/api/userdata?dir=subgraphs",  # subgraphs
    "/api/userdata/comfy.templates.json",  # and node templates
}
HOST_S_OWN = {"ComfyApp graph accessed before initialization"}  # the order in which the page starts

UNCLUTTERED = {"Comfy.Minimap.Visible": False, "Comfy.Graph.CanvasInfo": False}  # settings, for pictures
# ten pictures a second: without a graphics card, sixty take as much of the CPU as a small model
DRAW_SELDOM = """window.requestAnimationFrame = draw => setTimeout(() => draw(performance.now()), 100);
window.cancelAnimationFrame = clearTimeout;"""
PROBLEMS = """() => app.graph._nodes.flatMap(node => {
  const found = [], told = text => found.push(`${node.title}: ${text}`);
  if (!LiteGraph.registered_node_types[node.type]) told(`${node.type} is missing`);
  if (node.has_errors) told("red");
  for (const widget of node.widgets ?? []) {
    const {values, min, max} = widget.options ?? {};
    const listed = typeof values === "function" ? values(widget, node) : values;
    if (widget.type === "combo" && listed && !listed.includes(widget.value)) told(`no ${widget.name} ${widget.value}`);
    if (widget.type === "number" && (widget.value < min || widget.value > max)) told(`${widget.name} ${widget.value}`);
  }
  for (const name of Object.keys(node.constructor.nodeData?.input?.required ?? {})) {
    const slot = node.inputs?.find(input => input.name === name);
    if (slot && !slot.widget && slot.link == null) told(`${name} is not linked`);
  }
  return found;
})"""
OVERLAPS = """() => {
  const boxes = app.graph._nodes.map(node => [node.title, ...node.getBounding()]), found = [];
  boxes.forEach(([title, x, y, w, h], place) => boxes.slice(0, place).forEach(([other, x2, y2, w2, h2]) => {
    if (x < x2 + w2 && x2 < x + w && y < y2 + h2 && y2 < y + h) found.push(`${title} and ${other}`);
  }));
  return found;
}"""
VIDEOS = """() => app.graph._nodes.filter(node => node.type === "SaveVideo").map(node => {
  const shown = node.widgets.find(widget => widget.name === "video-preview")?.element?.querySelector("video");
  return shown?.readyState >= 2 ? [shown.videoWidth, shown.videoHeight, shown.duration] : null;
})"""
# inside a subgraph a value may come from the node that uses it
SET_VALUE = """([name, item, value]) => {
  const put = (node, item) => {
    const widget = node.widgets.find(widget => widget.name === item);
    widget.value = value;
    widget.callback?.(value);
  };
  const level = (graph, user) => graph.nodes.map(node => {
    let found = node.subgraph ? level(node.subgraph, node) : 0;
    if ([node.type, node.title].includes(name)) {
      const link = graph.getLink(node.inputs.find(input => input.widget?.name === item)?.link);
      if (user && link?.origin_id === graph.inputNode.id) put(user, graph.inputs[link.origin_slot].name);
      else put(node, item);
      found += 1;
    }
    return found;
  }).reduce((sum, found) => sum + found, 0);
  return level(app.graph, null);
}"""
FRAME = """([titles, left, top, width, height]) => {
  const wanted = [...app.graph._nodes, ...app.graph._groups].filter(
    item => titles.length ? titles.includes(item.title) : item.type !== "MarkdownNote");
  const boxes = wanted.map(item => [...item.boundingRect]);
  const [x, y] = [0, 1].map(axis => Math.min(...boxes.map(box => box[axis])));
  const [w, h] = [0, 1].map(axis => Math.max(...boxes.map(box => box[axis] + box[axis + 2])) - [x, y][axis]);
  const scale = Math.min(width / w, height / h), canvas = app.canvas.canvas.getBoundingClientRect();
  app.canvas.ds.scale = scale;
  app.canvas.ds.offset = [(left - canvas.x) / scale - x, (top - canvas.y) / scale - y];
  app.graph.setDirtyCanvas(true, true);
  return [w * scale, h * scale];
}"""


class ComfyPage:
    """One page of a browser on a running server."""

    def __init__(self, browser: Any, server: Any, width: int = 1600, height: int = 900, without: str = "") -> None:
        """browser: Playwright's. server: a `demo.server.Server`. width, height: of the page, pixels.

        without: scripts below this address are left out of what the server lists.
        """
        self.server = server
        self.errors: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(600_000)
        self.page.add_init_script(DRAW_SELDOM)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        if without:
            scripts = [path for path in server.get("/extensions") if not path.startswith(without)]
            self.page.route("**/api/extensions", lambda route: route.fulfill(json=scripts))
        self.page.goto(server.address, wait_until="domcontentloaded")
        self.page.wait_for_function("window.app?.graph")
        self.templates_button.wait_for()

    @property
    def templates_button(self) -> Any:
        return self.page.locator(".templates-tab-button")

    @property
    def cards(self) -> Any:
        return self.page.get_by_test_id("template-workflows-content")

    def card(self, name: str) -> Any:
        return self.page.get_by_test_id(f"template-workflow-{name}")

    def browse_templates(self, category: str) -> None:
        """Opens the template browser with the side bar's button and chooses a category in its list."""
        self.templates_button.click()
        self.choose_category(category)

    def choose_category(self, category: str) -> None:
        self.page.get_by_role("dialog").get_by_text(category, exact=True).first.click()

    def open_card(self, name: str, nodes: int) -> None:
        """Clicks on a template's card and waits until its graph is there. nodes: how many it has."""
        self.card(name).click()
        self.cards.wait_for(state="hidden")
        opened = "([name, nodes]) => app.extensionManager.workflow.activeWorkflow?.filename.startsWith(name)"
        pictures = 'app.graph._nodes.every(node => node.type !== "LoadImage" || node.imgs?.[0]?.complete)'
        self.page.wait_for_function(f"{opened} && app.graph._nodes.length === nodes && {pictures}", arg=[name, nodes])

    def problems(self) -> list[str]:
        """Missing nodes, red ones, values that no list has or that are out of range, inputs that lack their link."""
        found = self.page.evaluate(PROBLEMS)
        if "triangle-alert" in self.page.get_by_test_id("queue-button-icon").get_attribute("class"):
            found.append("Run warns: a node, a model or a picture is missing")
        for name, shown in (("error-overlay", "an error is shown"), ("template-workflows-content", "cards are open")):
            found += [shown] * self.page.get_by_test_id(name).count()
        return found

    def overlaps(self) -> list[str]:
        """Pairs of nodes that lie over each other, titles included."""
        return self.page.evaluate(OVERLAPS)

    def api_graph(self) -> dict[str, Any]:
        """What the page would send to the server."""
        return self.page.evaluate("async () => (await app.graphToPrompt()).output")

    def set_values(self, values: Mapping[str, Any]) -> None:
        """Sets widgets as `demo.graphs.with_values` does: {"InbetweenKeyframes.width": 96}, by class or title."""
        for key, value in values.items():
            name, _, item = key.rpartition(".")
            assert self.page.evaluate(SET_VALUE, [name, item, value]), f"no node is called {name!r}"

    def press_run(self) -> str:
        """The id of the prompt that the Run button sends."""
        asked = lambda answer: urlsplit(answer.url).path == "/api/prompt" and answer.request.method == "POST"  # noqa: E731
        with self.page.expect_response(asked) as answer:
            self.page.get_by_test_id("queue-button").click()
        told = answer.value.json()
        assert answer.value.ok, told
        return told["prompt_id"]

    def videos(self, *titles: str) -> list[tuple[int, int, float]]:
        """Width, height (pixels) and length (seconds) that each SaveVideo node plays; waits until all do.

        titles: what to move the view to, as in `frame`; a video outside of it is not loaded.
        """
        self.frame(*titles)
        self.page.wait_for_function(f"() => ({VIDEOS})().every(video => video)")
        return [tuple(video) for video in self.page.evaluate(VIDEOS)]

    def frame(self, *titles: str) -> dict[str, float]:
        """Moves the view to some groups or nodes, or to the whole graph but its note. The place in the page, pixels."""
        left, top, size = 70, 95, self.page.viewport_size  # below and beside the page's bars
        room = [left, top, size["width"] - left - 20, size["height"] - top - 70]
        width, height = self.page.evaluate(FRAME, [list(titles), *room])
        self.page.wait_for_timeout(1000)  # links and texts are drawn a moment later
        return {"x": left - 5, "y": top - 5, "width": width + 10, "height": height + 10}

    def graph_picture(self) -> bytes:
        """A PNG of the whole graph without its note, with nothing of the page around it."""
        before = self.page.viewport_size
        self.page.set_viewport_size({"width": 2560, "height": 1440})  # nodes far away are drawn without their texts
        picture = self.page.screenshot(clip=self.frame())
        self.page.set_viewport_size(before)
        return picture

    def close(self) -> None:
        self.page.context.close()

    def _note(self, message: Any) -> None:
        address = urlsplit(message.location.get("url", ""))
        asked = address.path + (f"?{address.query.split('&')[0]}" if address.query else "")
        # a card without its picture has a test of its own
        not_there = asked in NOT_THERE_YET or (asked.startswith("/api/workflow_templates/") and asked.endswith(".jpg"))
        if message.type != "error" or message.text in HOST_S_OWN or ("404" in message.text and not_there):
            return
        self.errors.append(f"{message.text} {asked}")
