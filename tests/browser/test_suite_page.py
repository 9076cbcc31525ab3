"""The suite's page in a browser, from disk: videos play in step, and rows are sorted and chosen."""

import av
import pytest
from PIL import Image

from pack.bench.suite.write import write_results
from pack.tests.suite_results import KINDS, NASTY, made_up

TIMES = "row => [...row.querySelectorAll('video')].map(video => [video.currentTime, video.paused])"
PLAYING = "row => [...row.querySelectorAll('video')].every(video => !video.paused && video.currentTime > 0.1)"


def write_video(path, length):
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for n in range(length):
            frame = av.VideoFrame.from_image(Image.new("RGB", (96, 64), (20 * n, 90, 160)))
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("suite results")
    results = made_up(clips=4)
    for one in results.clips():
        for name in (one.video, one.truth):
            if not (made / name).exists():
                write_video(made / name, one.length)
    write_results(results, made)
    return made


@pytest.fixture
def opened(browser, folder):
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.set_default_timeout(600_000)
    troubles = []
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: request.url.startswith(("file:", "data:")) or troubles.append(request.url))
    page.goto((folder / "index.html").as_uri())
    yield page
    page.context.close()
    assert troubles == []


def names(page):
    return page.locator(".clip:visible").evaluate_all("rows => rows.map(row => [row.dataset.clip, row.dataset.length])")


def wait_for(page, row, condition):
    page.wait_for_function(f"row => ({condition})(row)", arg=row.element_handle())


def test_the_videos_of_a_row_play_in_step_while_it_is_on_screen(opened):
    first, last = opened.locator(".clip").first, opened.locator(".clip").last
    first.scroll_into_view_if_needed()
    wait_for(opened, first, PLAYING)
    times = [time for time, _ in first.evaluate(TIMES)]
    assert len(times) == 4 and (max(times) - min(times) < 0.15 or max(times) - min(times) > 0.3)  # or begun anew
    assert last.evaluate(TIMES)[0] == [0, True], "not on screen"
    last.scroll_into_view_if_needed()
    wait_for(opened, last, PLAYING)
    wait_for(opened, first, "row => [...row.querySelectorAll('video')].every(video => video.paused)")


def test_the_slider_shows_one_frame_of_all_videos_and_keys_move_it(opened):
    row = opened.locator(".clip[data-length='9']").first
    row.scroll_into_view_if_needed()
    slider = row.get_by_role("slider")
    slider.evaluate("slider => { slider.value = 3; slider.dispatchEvent(new Event('input')); }")
    at = "row => [...row.querySelectorAll('video')].every(v => v.paused && Math.abs(v.currentTime - {}) < 0.02)"
    wait_for(opened, row, at.format(0.35))
    assert row.locator(".controls output").text_content() == "frame 4 of 9"
    slider.press("ArrowRight")
    wait_for(opened, row, at.format(0.45))
    assert slider.get_attribute("aria-valuetext") == "frame 5 of 9"
    button = row.get_by_role("button")
    button.press("Enter")
    wait_for(opened, row, "row => [...row.querySelectorAll('video')].every(video => !video.paused)")
    button.press("Enter")
    wait_for(opened, row, "row => [...row.querySelectorAll('video')].every(video => video.paused)")


def test_rows_are_sorted_and_chosen(opened):
    before = names(opened)
    assert len(before) == 8
    opened.locator("#order").select_option("name")
    assert [name for name, _ in names(opened)] == [NASTY] * 2 + [f"clip {n:05d}" for n in (1, 1, 2, 2, 3, 3)]
    opened.locator("#order").select_option("kind")
    kinds = opened.locator(".clip").evaluate_all("rows => rows.map(row => row.dataset.kind)")
    assert kinds == [KINDS[0]] * 4 + [KINDS[1]] * 4
    opened.locator("#order").select_option("disagreement")
    assert names(opened) == before
    opened.locator("#kind").select_option(KINDS[1])
    opened.locator("#length").select_option("9")
    assert sorted(names(opened)) == [["clip 00001", "9"], ["clip 00003", "9"]]
    assert opened.locator("#count").text_content() == "2 of 8 rows"
    shown = opened.locator(".clip:visible").first
    shown.scroll_into_view_if_needed()
    wait_for(opened, shown, PLAYING)
