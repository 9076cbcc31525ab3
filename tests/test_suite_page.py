"""The suite's page as text: what is on it, in which order, and that no name leaves its place."""

from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from pack.bench.suite import page
from pack.bench.suite.results import KEYFRAMES, LPIPS, PSNR, SSIM
from pack.bench.suite.write import write_results
from pack.tests.suite_results import NASTY, WORKFLOWS, made_up, results_of, score

VOID = {"meta", "link", "input", "img"}


class Read(HTMLParser):
    """Tags with their attributes, the text of each, and whether they close as they should."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.setdefault(self.open[-1] if self.open else "", []).append(data.strip())

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def read(path):
    found = Read(path.read_text(encoding="utf-8"))
    assert found.open == []
    return found


def clips_of(found):
    return [one for one in found.all("article") if one["class"] == "clip"]


def test_the_page_asks_for_nothing_but_files_beside_it(tmp_path):
    write_results(made_up(), tmp_path)
    found = read(tmp_path / "index.html")
    for tag, attributes in found.tags:
        for key in ("src", "href"):
            address = attributes.get(key, "")
            assert address.startswith(("./", "page_", "index.html", "data:,")) or not address, (tag, address)
    assert len(found.all("script")) == 1 and "src" not in found.all("script")[0]
    assert "url(" not in page.STYLE.read_text() and "@import" not in page.STYLE.read_text()


def test_names_stay_in_their_places(tmp_path):
    results = made_up()
    write_results(results, tmp_path)
    found = read(tmp_path / "index.html")
    assert found.texts["h1"] == [NASTY]
    assert NASTY in found.texts["h3"] and f"<i>caption</i> of {NASTY}" in found.texts["p"]
    assert set(found.texts["strong"]) == {"truth", *WORKFLOWS}
    assert NASTY in {one["data-clip"] for one in clips_of(found)}
    assert not found.all("i") and "alert" not in "".join(found.texts["script"])
    files = {unquote(urlsplit(one["src"]).path) for one in found.all("video")}
    wanted = {f"./{path}" for one in results.clips() for path in (one.video, one.truth)}
    assert files == wanted


def test_rows_come_by_disagreement_and_ties_by_length_and_name(tmp_path):
    spread = {"calm": (0.3, 0.3), "torn": (0.1, 0.5), "lone": (0.2, None), "mild": (0.2, 0.3)}
    given = [
        score(name, clip, lpips=value, psnr=20.0)
        for clip, values in spread.items()
        for name, value in zip("ab", values, strict=True)
    ]
    write_results(results_of(given), tmp_path)
    rows = clips_of(read(tmp_path / "index.html"))
    assert [row["data-clip"] for row in rows] == ["torn", "mild", "calm", "lone"]
    assert [row["data-apart"] for row in rows][2:] == ["0.0", ""]
    assert float(rows[0]["data-apart"]) == pytest.approx(np.std([0.1, 0.5]))


def test_disagreement_is_of_the_best_measure_there_is():
    assert page.disagreement_measure([PSNR, SSIM, LPIPS]) is LPIPS
    assert page.disagreement_measure([KEYFRAMES, PSNR, SSIM]) is SSIM
    assert page.disagreement_measure([PSNR]) is PSNR
    assert page.disagreement_measure([KEYFRAMES]) is None
    assert page.disagreement([score("a", psnr=1.0), score("b", psnr=3.0)], PSNR) == 1.0
    assert page.disagreement([score("a", psnr=1.0), score("b", psnr=float("inf"))], PSNR) is None
    assert page.disagreement([score("a", psnr=1.0)], None) is None


def test_a_video_that_is_left_out_has_an_empty_place(tmp_path):
    write_results(results_of([score("b", psnr=20.0)]), tmp_path)
    found = read(tmp_path / "index.html")
    assert [one["aria-label"] for one in found.all("video")] == ["clip: truth", "clip: b"]
    assert found.texts["strong"] == ["truth", "a", "b"]
    assert found.texts["div"] == ["left out"]
    assert all({"muted", "loop", "playsinline"} <= set(one) and one["preload"] == "none" for one in found.all("video"))


def test_the_numbers_beneath_a_video_are_its_own_and_the_best_is_bold(tmp_path):
    given = [score("a", psnr=20.0, lpips=0.1), score("b", psnr=25.0, lpips=0.2)]
    write_results(results_of(given), tmp_path)
    found = read(tmp_path / "index.html")
    assert found.texts["dd"] == ["20.00 dB", "0.2000"]
    assert [text for text in found.texts["b"] if "dB" in text or "0.1000" in text][-2:] == ["0.1000", "25.00 dB"]


def test_many_clips_are_spread_over_linked_pages(tmp_path):
    made = write_results(made_up(clips=105, lengths=(5, 9)), tmp_path)
    assert [path.name for path in made[-3:]] == ["index.html", "page_2.html", "page_3.html"]
    pages = [read(path) for path in made[-3:]]
    rows = [row for found in pages for row in clips_of(found)]
    assert [len(clips_of(found)) for found in pages] == [100, 100, 10]
    assert len({(row["data-clip"], row["data-length"]) for row in rows}) == 210
    apart = [float(row["data-apart"]) for row in rows]
    assert apart == sorted(apart, reverse=True)
    for found in pages:
        links = {one["href"].split("#")[0] for one in found.all("a")}
        assert len(links) == 2 and all((tmp_path / link).exists() for link in links)
    assert "table" in dict(pages[0].tags) and "table" not in dict(pages[1].tags)
    assert any("rows 101 to 200 of 210" in text for text in pages[1].texts["p"])


def test_tables_curves_notes_and_what_is_left_out_are_on_the_first_page(tmp_path):
    write_results(made_up(), tmp_path)
    found = read(tmp_path / "index.html")
    assert len(found.all("table")) == 2 * (1 + 2 + 1)
    assert [one["src"] for one in found.all("img")] == ["./curves_5.png", "./curves_9.png"]
    assert all(name in one["alt"] for one in found.all("img") for name in WORKFLOWS)
    assert {f"note {NASTY}", f"{NASTY}: the file is broken"} <= set(found.texts["li"])


def test_everything_that_can_be_moved_has_a_name(tmp_path):
    write_results(made_up(), tmp_path)
    found = read(tmp_path / "index.html")
    for tag in ("button", "input", "video"):
        assert found.all(tag) and all(one["aria-label"] for one in found.all(tag))


def test_a_page_without_clips_says_so(tmp_path):
    write_results(results_of([], left_out=["a.jpg is broken."]), tmp_path)
    found = read(tmp_path / "index.html")
    assert "No clip has been scored." in found.texts["p"] and not found.all("script") and not found.all("select")


def test_a_disk_that_is_full_is_told_in_a_sentence(tmp_path, monkeypatch):
    def full(**place):
        return open("/dev/full", "wb+", buffering=0)

    monkeypatch.setattr(page.tempfile, "TemporaryFile", full)
    with pytest.raises(OSError, match=r"cannot be written: No space left on device\. Make room"):
        page.write_pages(made_up(), [], {}, tmp_path)
