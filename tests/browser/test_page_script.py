"""What the pack's script does in the page: timeline, toast of an error, folded inputs; and the page without it."""

import json
import random

import pytest

from pack.demo.server import PACK_FOLDER
from pack.frames.keyframe_places import placed_frame
from pack.tests.browser.comfy_page import UNCLUTTERED, ComfyPage
from pack.tests.browser.storyboard_graph import BOARD, PREVIEW, storyboard_graph

VALUE = "([id, name]) => app.graph.getNodeById(id).widgets.find(widget => widget.name === name).value"
INTO_SUBGRAPH = "id => { app.graph.convertToSubgraph(new Set([app.graph.getNodeById(id)])) }"
OPEN_SUBGRAPH = """() => {
  const user = app.graph.nodes.find(node => node.subgraph);
  app.canvas.openSubgraph(user.subgraph, user);
}"""


class Board:
    """The page with a storyboard in it, used by pointer and keys."""

    def __init__(self, page: ComfyPage) -> None:
        self.comfy, self.page = page, page.page
        self.page.set_default_timeout(60_000)  # nothing here waits for a model

    def open(self, at="even", pictures=3, **extra):
        self.comfy.errors.clear()
        graph = storyboard_graph(at, pictures)
        self.page.evaluate("graph => app.loadGraphData(graph)", {**graph, "extra": extra})
        self.page.wait_for_function("id => app.graph.getNodeById(id)", arg=BOARD)
        self.comfy.frame("Storyboard")

    def value(self, name="at", node=BOARD):
        return self.page.evaluate(VALUE, [node, name])

    @property
    def timeline(self):
        return self.page.get_by_test_id("inbetween-timeline").first

    def picture(self, number):
        return self.timeline.locator(f'[data-number="{number}"]')

    def shows(self, *frames):
        """Waits until the timeline shows the pictures on these frames."""
        self.page.wait_for_function(
            """frames => {
              const timeline = document.querySelector("[data-testid=inbetween-timeline]");
              const shown = [...timeline.querySelectorAll(".picture .frame")].map(item => Number(item.textContent));
              return JSON.stringify(shown) === JSON.stringify(frames);
            }""",
            arg=list(frames),
        )

    def drag(self, number, by):
        """Drags a picture by some frames, one after the other; the values of `at` on the way."""
        box, track = self.picture(number).bounding_box(), self.timeline.locator(".track").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + 20
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        seen = []
        for step in range(1, abs(by) + 1):
            self.page.mouse.move(x + track["width"] / 80 * step * (1 if by > 0 else -1), y)
            seen.append(self.value())
        self.page.mouse.up()
        return seen

    def press(self, number, *keys):
        self.picture(number).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def undo(self, key="Control+z"):
        self.page.wait_for_timeout(500)  # a step is remembered a moment after it was made
        self.page.keyboard.press(key)

    def run(self, server):
        return server.wait(self.comfy.press_run())

    def fails(self):
        """Runs the graph, waits for its own toast and gives the text."""
        self.page.evaluate("document.querySelectorAll('.inbetween-go-to-node').forEach(button => button.remove())")
        self.page.get_by_test_id("queue-button").click()
        self.button.wait_for()
        return self.button.locator("xpath=..").inner_text()

    @property
    def button(self):
        return self.page.locator(".inbetween-go-to-node").last


def opened(browser, server, **settings):
    server.post("/settings", {"Comfy.TutorialCompleted": True, **UNCLUTTERED, "Comfy.Locale": "en", **settings})
    return Board(ComfyPage(browser, server, 1440, 900))


@pytest.fixture(scope="module", params=[False, True], ids=["classic", "nodes-2.0"])
def board(request, browser, server):
    found = opened(browser, server, **{"Comfy.VueNodes.Enabled": request.param})
    yield found
    found.comfy.close()
    server.post("/settings", {"Comfy.VueNodes.Enabled": False, "Comfy.Locale": "en"})


@pytest.fixture
def vue(board):
    return board.page.evaluate("LiteGraph.vueNodesMode === true")


def test_a_dragged_picture_writes_its_frame_at_every_moment(board):
    board.open()
    board.shows(0, 40, 80)
    assert board.drag(2, 10) == [f"0, {frame}, 80" for frame in range(41, 51)]
    board.shows(0, 50, 80)
    assert board.drag(1, -5) == ["0, 50, 80"] * 5, "no picture leaves the video"
    assert board.drag(3, -30)[-1] == "0, 50, 51", "nor does one go where another is"
    assert board.page.evaluate("id => [...app.graph.getNodeById(id).pos]", BOARD) == [320, 40]
    assert board.comfy.errors == []


def test_keys_move_a_picture_and_no_key_reaches_the_canvas(board):
    board.open("0, 50%, -1")
    board.press(2, "ArrowRight", "ArrowRight", "ArrowLeft")
    assert board.value() == "0, 41, -1", "what was not moved stays as it was written"
    board.press(2, "Shift+ArrowLeft")
    assert board.value() == "0, 37, -1"
    board.press(1, "ArrowLeft", "Delete", "Backspace")
    assert board.value() == "0, 37, -1"
    assert board.page.evaluate("app.graph.nodes.length") == 5
    board.press(3, *["ArrowLeft"] * 2)
    assert board.value() == "0, 37, 78"
    board.timeline.locator(".even").click()
    assert board.value() == "even"
    board.shows(0, 40, 80)
    assert board.comfy.errors == []


def test_the_dots_stand_on_the_grid_and_two_in_one_place_are_marked(board):
    board.open("0, 41, 43")
    board.shows(0, 41, 43)
    dots = board.timeline.locator(".dot")
    assert dots.evaluate_all("dots => dots.map(dot => [dot.style.left, dot.className])") == [
        ["0%", "dot"],
        ["50%", "dot"],
        ["55%", "dot"],
    ]
    board.press(3, "ArrowLeft")
    board.shows(0, 41, 42)
    board.press(2, "ArrowRight")
    assert board.value() == "0, 43, 42", "the key steps over another picture"
    board.shows(0, 43, 42)
    assert dots.evaluate_all("dots => dots.map(dot => dot.className)") == ["dot", "dot clash"]
    board.page.evaluate("id => { app.graph.getNodeById(id).widgets.find(w => w.name === 'length').value = 82 }", BOARD)
    dots.first.wait_for(state="detached")


def test_a_text_that_does_not_fit_is_said_under_the_ruler(board):
    told = board.timeline.locator(".told.wrong")
    for at, waits, words in (
        ("0, 50x, 80", 2, "“50x” is no place"),
        ("0, 81, 1", 2, "81 is outside"),
        ("0, 1", 3, "2 places for 3"),
    ):
        board.open(at)
        told.filter(has_text=words).wait_for()
        board.press(waits, "ArrowRight")
        told.wait_for(state="detached")


def test_undo_and_redo_show_what_the_text_says(board):
    board.open("0, 40, 80")
    board.press(2, "ArrowRight")
    board.shows(0, 41, 80)
    board.undo()
    board.shows(0, 40, 80)
    assert board.value() == "0, 40, 80"
    board.undo("Control+y")
    board.shows(0, 41, 80)
    assert board.comfy.errors == []


def test_it_survives_saving_copying_and_subgraphs(board):
    board.open("0, 44, -1")
    saved = board.page.evaluate("app.graph.serialize()")
    (stored,) = [node for node in saved["nodes"] if node["id"] == BOARD]
    assert stored["widgets_values"] == ["0, 44, -1", 1, 832, 480, 81, 16, "crop"]
    assert set(board.comfy.api_graph()[str(BOARD)]["inputs"]) == {
        *("at", "strength", "width", "height", "length", "fps", "fit"),
        *(f"pictures.picture_{slot}" for slot in (1, 2, 3)),
    }
    board.page.evaluate("saved => app.loadGraphData(saved)", saved)
    board.shows(0, 44, 80)
    board.page.evaluate(
        """id => {
      app.canvas.copyToClipboard([app.graph.getNodeById(id)]);
      app.canvas.pasteFromClipboard();
    }""",
        BOARD,
    )
    copies = "app.graph.nodes.filter(node => node.type === 'InbetweenStoryboard').map(node => node.widgets[0].value)"
    assert board.page.evaluate(copies) == ["0, 44, -1"] * 2
    board.open("0, 44, -1")
    board.page.evaluate(INTO_SUBGRAPH, BOARD)
    board.page.evaluate(OPEN_SUBGRAPH)
    board.page.evaluate("app.canvas.centerOnNode(app.canvas.graph.nodes[0])")
    board.shows(0, 44, 80)
    board.press(2, "ArrowRight")
    assert board.page.evaluate("app.canvas.graph.nodes[0].widgets[0].value") == "0, 45, -1"
    board.page.evaluate("app.canvas.setGraph(app.rootGraph ?? app.graph)")
    assert board.comfy.errors == []


def test_a_run_shows_the_strip_on_the_node(board, vue, server):
    middle = 41 if vue else 42  # what was made once is not told of again
    board.open(f"0, {middle}, 80")
    outputs = board.run(server)["outputs"]
    assert outputs[str(BOARD)]["frames"] == [0, middle, 80]
    assert len(outputs[str(BOARD)]["images"]) == len(outputs[str(PREVIEW)]["images"]) == 1
    board.page.wait_for_function("id => app.nodeOutputs?.[id]?.images?.length === 1", arg=str(BOARD))
    assert board.comfy.errors == []


def test_in_app_mode_the_timeline_is_part_of_the_form(board):
    board.open(linearData={"inputs": [[1, "image"], [BOARD, "at"], [BOARD, "timeline"]], "outputs": [PREVIEW]})
    mode = "mode => { app.extensionManager.workflow.activeWorkflow.activeMode = mode }"
    board.page.evaluate(mode, "app")
    board.page.get_by_test_id("app-mode-widget-item").get_by_test_id("inbetween-timeline").wait_for()
    assert board.drag(2, 10)[-1] == "0, 50, 80"
    field = board.page.get_by_test_id("app-mode-widget-item").nth(1).locator("input")
    assert field.input_value() == "0, 50, 80"
    board.page.evaluate("id => { app.graph.getNodeById(id).widgets[0].value = 'middle' }", BOARD)
    board.page.get_by_test_id("linear-run-button").get_by_role("button", name="Run").click()
    board.button.wait_for()
    board.button.click()
    board.page.get_by_test_id("queue-button").wait_for()
    assert board.page.evaluate("Object.keys(app.canvas.selected_nodes)") == [str(BOARD)]
    assert board.comfy.errors == []


@pytest.mark.parametrize(
    ("at", "off", "sentence"),
    [
        ("0, 50x, -1", 0, 'at has "50x", which is no place.'),
        ("even", 2, "picture_3 is empty because"),
        ("0, 40, 2.5s", 0, "at puts pictures 2 and 3 both on frame 40"),
    ],
)
def test_an_error_is_a_toast_with_a_button_that_goes_to_the_node(board, at, off, sentence):
    board.open(at)
    board.page.evaluate("mode => { app.graph.getNodeById(3).mode = mode }", off)
    board.page.evaluate("app.canvas.ds.offset = [-5000, -5000]; app.canvas.setDirty(true, true)")
    assert sentence in board.fails()
    board.button.click()
    board.page.wait_for_function(
        """id => {
          const {canvas} = app, [x, y, width, height] = canvas.visible_area, node = app.graph.getNodeById(id);
          const inside = x < node.pos[0] && y < node.pos[1] && node.pos[0] < x + width && node.pos[1] < y + height;
          return inside && String(Object.keys(canvas.selected_nodes)) === String(id);
        }""",
        arg=BOARD,
    )
    assert board.comfy.errors == []


def test_the_button_opens_the_subgraph_that_the_node_is_in(board):
    board.open("0, 1")
    board.page.evaluate(INTO_SUBGRAPH, BOARD)
    assert "at has 2 places for 3 pictures" in board.fails()
    board.button.click()
    board.page.wait_for_function("app.canvas.graph.nodes.some(node => node.type === 'InbetweenStoryboard')")
    assert not board.page.evaluate("app.canvas.graph === (app.rootGraph ?? app.graph)")
    board.page.evaluate("app.canvas.setGraph(app.rootGraph ?? app.graph)")


def test_another_pack_s_error_gets_no_toast(board):
    board.open()
    board.page.evaluate("""() => {
      const detail = {node_id: "1", node_type: "LoadImage", exception_message: "no", traceback: []};
      window.comfyAPI.api.api.dispatchEvent(new CustomEvent("execution_start", {detail: {}}));
      document.querySelectorAll(".inbetween-go-to-node").forEach(button => button.remove());
      window.comfyAPI.api.api.dispatchEvent(new CustomEvent("execution_error", {detail}));
    }""")
    board.page.wait_for_timeout(1500)
    assert board.page.locator(".inbetween-go-to-node").count() == 0


def added(board, *types):
    """New nodes, as from the node search; their ids."""
    return board.page.evaluate(
        """types => types.map((type, place) => {
          const node = LiteGraph.createNode(type);
          node.pos = [100 + 400 * place, 700];
          app.graph.add(node);
          return Number(node.id);
        })""",
        list(types),
    )


CONNECT = "([from, to, name]) => { app.graph.getNodeById(from).connect(0, app.graph.getNodeById(to), name) }"


def test_advanced_inputs_are_folded_behind_one_line(board, vue):
    board.open()
    (node,) = added(board, "InbetweenKeyframeAttention")
    shown = """id => app.graph.getNodeById(id).widgets
      .filter(widget => !widget.hidden && !widget.options?.advanced).map(widget => widget.name)"""
    height = "id => app.graph.getNodeById(id).size[1]"
    values = "id => app.graph.getNodeById(id).serialize().widgets_values.length"
    assert board.page.evaluate(values, node) == 14
    if vue:  # folds by itself
        assert board.page.evaluate(shown, node) == ["strength"]
        return
    visible = """id => app.graph.getNodeById(id).widgets
      .filter(widget => app.graph.getNodeById(id).isWidgetVisible(widget)).map(widget => widget.label ?? widget.name)"""
    assert board.page.evaluate(visible, node) == ["strength", "more settings"]
    folded = board.page.evaluate(height, node)
    press = "id => app.graph.getNodeById(id).widgets.at(-1).callback()"
    board.page.evaluate(press, node)
    assert len(board.page.evaluate(visible, node)) == 15
    assert board.page.evaluate(height, node) > folded + 200
    board.page.evaluate("id => { app.graph.getNodeById(id).widgets[1].value = false }", node)
    board.page.evaluate(press, node)
    assert board.page.evaluate(visible, node) == ["strength", "more settings (1 changed)"]
    assert board.page.evaluate(height, node) == folded
    saved = json.loads(json.dumps(board.page.evaluate("app.graph.serialize()")))
    board.page.evaluate("saved => app.loadGraphData(saved)", saved)
    assert board.page.evaluate(visible, node) == ["strength", "more settings (1 changed)"]
    assert board.page.evaluate("([id]) => app.graph.getNodeById(id).widgets[1].value", [node]) is False
    assert board.comfy.errors == []


def test_a_new_add_keyframe_starts_in_the_widest_gap(board):
    board.open("0, 20, 80")
    one, two, three, back = added(board, *["InbetweenAddKeyframe"] * 3, "InbetweenReverseKeyframes")
    board.page.evaluate(CONNECT, [BOARD, one, "keyframes"])
    assert board.value("frame", one) == 50
    board.page.evaluate(CONNECT, [one, back, "keyframes"])
    board.page.evaluate(CONNECT, [back, two, "keyframes"])
    assert board.value("frame", two) == 15, "0, 30, 60 and 80, backwards"
    board.page.evaluate("id => { app.graph.getNodeById(id).widgets[0].value = 7 }", three)
    board.page.evaluate(CONNECT, [two, three, "keyframes"])
    assert board.value("frame", three) == 7, "a number that was chosen stays"
    saved = board.page.evaluate("app.graph.serialize()")
    board.page.evaluate("saved => app.loadGraphData(saved)", saved)
    board.page.evaluate(CONNECT, [BOARD, one, "keyframes"])
    assert [board.value("frame", node) for node in (one, two, three)] == [50, 15, 7]
    assert board.comfy.errors == []


@pytest.mark.parametrize("node", ["InbetweenKeyframes", "InbetweenStoryboard"])
def test_length_steps_by_four_and_a_typed_one_stays(board, node):
    board.open()
    (made,) = added(board, node)
    set_length = """([id, value]) => {
      const widget = app.graph.getNodeById(id).widgets.find(widget => widget.name === "length");
      widget.value = value;
      widget.callback(value);
      return [widget.value, widget.options.step2];
    }"""
    assert board.page.evaluate(set_length, [made, 14]) == [14, 4]
    assert board.page.evaluate(set_length, [made, 81]) == [81, 4]


def test_the_page_reads_places_as_the_node_does(board):
    chance = random.Random(3)
    texts = [f"{chance.uniform(0, 100):.{chance.randint(0, 4)}f}%" for _ in range(60)]
    texts += [f"{chance.uniform(0, 4.9):.{chance.randint(0, 4)}f}s" for _ in range(60)]
    texts += [str(chance.randint(-90, 90)) for _ in range(60)]
    texts += [
        "50 %",
        "+4",
        "1.",
        ".5s",
        "40.5",
        "x",
        "",
        "even",
        "101%",
        "-1%",
        "9s",
        "-0.1s",
        "1e1",
        "\uff15\uff10\uff05",
        "5S",
    ]
    for length, fps in ((81, 16.0), (14, 7.0), (121, 23.976)):
        expected = []
        for text in texts:
            try:
                expected.append(placed_frame(text, length, fps))
            except ValueError:
                expected.append(None)
        found = board.page.evaluate(
            f"""async ([texts, length, fps]) => {{
              const {{places, frameOf}} = await import("/extensions/{PACK_FOLDER}/keyframe_places.js");
              const frames = texts.map(text => frameOf(places(text)[0] ?? "", length, fps));
              return frames.map(frame => Number.isInteger(frame) ? frame : null);
            }}""",
            [texts, length, fps],
        )
        assert found == expected


@pytest.mark.parametrize(
    ("locale", "button", "hint"), [("zh", "前往节点", "拖动图像"), ("ja", "ノードへ移動", "画像をドラッグ")]
)
def test_the_script_speaks_the_page_s_language(locale, button, hint, browser, server):
    board = opened(browser, server, **{"Comfy.Locale": locale})
    try:
        board.open()
        assert hint in board.timeline.inner_text()
        board.open("0, 1")
        assert button in board.fails()
        assert board.comfy.errors == []
    finally:
        board.comfy.close()
        server.post("/settings", {"Comfy.Locale": "en"})


def test_without_the_script_the_text_works(browser, server):
    """The page is told of every script but ours."""
    settings = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": False}
    server.post("/settings", {**settings, **UNCLUTTERED, "Comfy.Locale": "en"})
    comfy = ComfyPage(browser, server, 1440, 900, without=f"/extensions/{PACK_FOLDER}/")
    try:
        board = Board(comfy)
        board.open("0, 25%, -1")
        assert board.page.get_by_test_id("inbetween-timeline").count() == 0
        assert board.run(server)["outputs"][str(BOARD)]["frames"] == [0, 20, 80]
        assert comfy.errors == []
    finally:
        comfy.close()
