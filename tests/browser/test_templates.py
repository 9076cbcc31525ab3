"""Every template in the real page: opened by its card, nothing missing, red or covered, and Run makes its videos."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from pack.demo.graphs import api_graph, with_values
from pack.demo.server import PACK_FOLDER
from pack.tests.browser.comfy_page import UNCLUTTERED, ComfyPage
from pack.tests.browser.pictures import write_thumbnail
from pack.tests.server.workflow_results import LARGE, check_results
from pack.tests.small_sizes import small_sizes

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {PACK_FOLDER: ROOT / "workflows", "inbetween-demo-world": ROOT / "demo" / "world_nodes" / "workflows"}
SIZE = "picture => [picture.naturalWidth, picture.naturalHeight]"
TEMPLATES = [(category, path) for category, folder in FOLDERS.items() for path in sorted(folder.glob("*.json"))]


@dataclass(frozen=True)
class Opened:
    """A template's graph in the page."""

    path: Path
    flow: dict
    page: ComfyPage


@pytest.fixture(scope="module")
def page(browser, server):
    server.post("/settings", {"Comfy.TutorialCompleted": True, **UNCLUTTERED})
    opened = ComfyPage(browser, server)
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=TEMPLATES, ids=lambda template: template[1].stem)
def opened(request, page, pictures_wanted):
    category, path = request.param
    flow = json.loads(path.read_text())
    page.errors.clear()
    page.browse_templates(category)
    page.open_card(path.stem, len(flow["nodes"]))
    if pictures_wanted:
        write_thumbnail(path.with_suffix(".jpg"), page)
    return Opened(path, flow, page)


def test_the_page_starts_without_an_error_of_ours(browser, server):
    page = ComfyPage(browser, server)
    page.page.wait_for_timeout(2000)
    errors = list(page.errors)
    page.close()
    assert errors == []


def test_nothing_is_missing_or_red(opened):
    assert opened.page.problems() == []
    assert opened.page.errors == []


def test_no_node_lies_over_another(opened):
    assert opened.page.overlaps() == []


def test_the_page_sends_the_graph_that_the_tests_know(opened, object_info):
    """tests/data/workflows holds what an earlier page made of the file; for the demo world it is our conversion."""
    stored = ROOT / "tests" / "data" / "workflows" / f"{opened.path.stem}.api.json"
    expected = json.loads(stored.read_text()) if stored.exists() else api_graph(opened.flow, object_info)
    assert parts(opened.page.api_graph()) == parts(expected)


def parts(graph):
    """Classes, values and links."""
    return {key: (node["class_type"], node["inputs"]) for key, node in graph.items()}


def test_run_makes_the_videos(opened, object_info, server):
    if opened.path.stem in LARGE:
        pytest.skip("tests/server runs this very graph")
    graph = api_graph(opened.flow, object_info)
    sizes = small_sizes(graph)
    opened.page.set_values(sizes)
    assert opened.page.api_graph() == with_values(opened.page.api_graph(), sizes)
    outputs = server.wait(opened.page.press_run())["outputs"]
    if "demo" not in opened.path.stem:
        titles = {key: node["_meta"]["title"] for key, node in graph.items()}
        check_results(opened.path.stem, {titles[key]: value for key, value in outputs.items()}, server)
    videos = opened.page.videos()
    assert len(videos) == sum(node["class_type"] == "SaveVideo" for node in graph.values()) > 0
    assert all(width * height and seconds > 0.4 for width, height, seconds in videos)
    assert opened.page.problems() == opened.page.overlaps() == opened.page.errors == []


@pytest.mark.parametrize("category", FOLDERS)
def test_the_cards_show_their_pictures(category, browser, server):
    paths = [path for folder, path in TEMPLATES if folder == category]
    missing = [path.stem for path in paths if not path.with_suffix(".jpg").exists()]
    assert not missing, "./dev test tests/browser --pictures makes them"
    page = ComfyPage(browser, server)
    page.browse_templates(category)
    shown, stored = {}, {}
    for path in paths:
        card = page.card(path.stem)
        card.scroll_into_view_if_needed()
        card.locator("img[src^=blob]").wait_for()
        shown[path.stem] = tuple(
            card.locator("img").evaluate("picture => [picture.naturalWidth, picture.naturalHeight]")
        )
        with Image.open(path.with_suffix(".jpg")) as picture:
            stored[path.stem] = picture.size
    page.close()
    assert shown == stored
