"""The suite's CSV files, tables and curves: the right numbers in the right fields, whatever the names."""

import csv
import os
import re
from html import unescape

import numpy as np
import pytest
from PIL import Image

from pack.bench.suite import curves, tables
from pack.bench.suite.results import LPIPS, PSNR, TAIL, SetScore
from pack.bench.suite.statistics import mean_estimate, paired
from pack.bench.suite.tables import Cell, markdown_table, markdown_text, sections
from pack.bench.suite.whole_files import whole_file
from pack.bench.suite.write import write_results
from pack.tests.suite_results import FID, NASTY, WORKFLOWS, made_up, results_of, score


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def columns(table):
    """{column: {row's name: cell}}"""
    return {head: {row[0].text: row[place] for row in table.rows} for place, head in enumerate(table.columns) if place}


def test_the_csv_has_every_score_in_full(tmp_path):
    results = made_up()
    tables.write_scores_csv(results, tmp_path / "scores.csv")
    found, wanted = rows_of(tmp_path / "scores.csv"), list(results.clips())
    assert len(found) == len(wanted) == 2 * (8 * 3 - 1)
    for row, one in zip(found, wanted, strict=True):
        assert (row["clip"], row["kind"], row["workflow"]) == (one.clip, one.kind, one.workflow)
        assert (row["video"], row["truth"], int(row["length"])) == (one.video, one.truth, one.length)
        assert [int(row[f"made_{key}"]) for key in ("frames", "width", "height")] == list(one.made)
        assert float(row["seconds"]) == one.seconds
        assert {key: float(row[key]) if row[key] else None for key in one.scores} == one.scores
    assert "fid" not in found[0]
    assert found[0]["clip"] == NASTY and found[2]["workflow"] == NASTY


def test_the_csv_of_sets_tells_all_kinds_from_a_kind_without_a_name(tmp_path):
    sets = [SetScore("a", 5, None, "fid", 80.0, 4), SetScore("a", 5, "", "fid", None, 2)]
    tables.write_sets_csv(results_of([], sets=sets), tmp_path / "sets.csv")
    found = [(row["of"], row["kind"], row["value"], row["clips"]) for row in rows_of(tmp_path / "sets.csv")]
    assert found == [("all kinds", "", "80.0", "4"), ("one kind", "", "", "2")]


def test_a_cell_is_the_mean_with_its_interval():
    x, y = [17.0, 18.0, 19.5, 20.0, 16.0, 15.0, 21.0], [18.0, 19.0, 20.5, 21.0, 17.0, 16.5, 21.5]
    given = [
        score(name, f"c{n}", psnr=value, lpips=0.5)
        for n, pair in enumerate(zip(x, y, strict=True))
        for name, value in zip("ab", pair, strict=True)
    ]
    (section,) = sections(results_of(given))
    found = columns(section.means)
    low, high = mean_estimate(x).low, mean_estimate(x).high
    assert found["PSNR, dB ↑"]["a (baseline)"] == Cell(f"{np.mean(x):.2f}", f"[{low:.2f}, {high:.2f}]")
    assert found["PSNR, dB ↑"]["b"].best and found["PSNR, dB ↑"]["b"].differs
    assert found["LPIPS ↓"]["b"] == Cell("0.5000", "[0.5000, 0.5000]", best=True)
    assert found["LPIPS ↓"]["a (baseline)"].best, "written alike"
    assert [cell.text for cell in found["clips"].values()] == ["7", "7"]
    wins = columns(section.wins)
    change = paired(y, x, "higher").difference
    interval = f"{change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}]"
    assert wins["PSNR, dB ↑"] == {"b": Cell("7 of 7", interval, differs=True)}
    assert wins["LPIPS ↓"]["b"].text == "3.5 of 7"


def test_lower_is_better_where_it_is():
    given = [score(name, f"c{n}", lpips=value) for n in range(3) for name, value in (("a", 0.4), ("b", 0.3))]
    found = columns(sections(results_of(given, measures=[LPIPS]))[0].means)["LPIPS ↓"]
    assert [cell.best for cell in found.values()] == [False, True]


def test_a_measure_near_1_has_its_median_and_the_nearest_is_best():
    values = {"a": [1.3, 1.3, 9.0], "b": [0.8, 0.8, 0.1]}
    given = [score(name, f"c{n}", tail_jump=values[name][n]) for n in range(3) for name in "ab"]
    (section,) = sections(results_of(given, measures=[TAIL]))
    found = columns(section.means)["tail jump → 1"]
    assert [(cell.text, cell.best) for cell in found.values()] == [("1.30", False), ("0.80", True)]
    change = np.mean([0.2 - 0.3, 0.2 - 0.3, 0.9 - 8])
    assert columns(section.wins)["tail jump, distance from 1 ↓"]["b"].interval.startswith(f"{change:+.2f} [")


def test_bold_compares_the_clips_that_all_rows_have():
    """b has the better mean only because it lacks the hard clip."""
    given = [score("a", "easy", psnr=30.0), score("b", "easy", psnr=29.0), score("a", "hard", psnr=10.0)]
    (section,) = sections(results_of(given))
    found = columns(section.means)["PSNR, dB ↑"]
    assert [(cell.text, cell.best) for cell in found.values()] == [("20.00", True), ("29.00", False)]
    assert "b lacks 1 clip: its means are over the other 1, and bold leaves them out." in section.remarks


def test_a_single_clip_has_no_interval_and_no_star():
    (section,) = sections(results_of([score("a", psnr=20.0), score("b", psnr=25.0)]))
    found = columns(section.means)["PSNR, dB ↑"]
    assert list(found.values()) == [Cell("20.00"), Cell("25.00", best=True)]
    assert columns(section.wins)["PSNR, dB ↑"]["b"] == Cell("1 of 1", "+5.00")


def test_a_missing_number_is_a_dash_and_is_told():
    (section,) = sections(results_of([score("a", psnr=None, lpips=0.0), score("b", psnr=25.0, lpips=0.1)]))
    found = columns(section.means)["PSNR, dB ↑"]
    assert [cell.text for cell in found.values()] == ["—", "25.00"]
    assert not found["b"].best, "nothing to compare with"
    assert columns(section.wins)["PSNR, dB ↑"]["b"] == Cell("—")
    assert section.remarks == ["PSNR of a has no number on 1 clip, left out of the mean."]


def test_one_workflow_is_neither_bold_nor_compared():
    (section,) = sections(results_of([score("a", psnr=20.0)], ["a"]))
    assert section.wins is None
    assert section.means.rows[0][0].text == "a" and not any(cell.best for cell in section.means.rows[0])


def test_sets_are_bold_only_where_they_are_of_one_size():
    for sizes, best in (((4, 4), [False, True]), ((4, 3), [False, False])):
        sets = [SetScore(name, 5, None, "fid", 80.0 - n, sizes[n]) for n, name in enumerate("ab")]
        given = [score("a", psnr=1.0), score("b", psnr=1.0)]
        (section,) = sections(results_of(given, measures=[PSNR, FID], sets=sets))
        found = columns(section.means)["FID ↓"]
        assert [cell.text for cell in found.values()] == ["80.00", "79.00"]
        assert [cell.best for cell in found.values()] == best
        assert "FID ↓" not in section.wins.columns


def test_every_length_and_kind_has_its_own_table():
    made = sections(made_up(lengths=(9, 5)))
    assert [(section.length, section.clips) for section in made] == [(5, 8), (9, 8)]
    assert [table.title for table in made[0].kinds] == ["camera motion, 4 clips", "occlusion, 4 clips"]
    whole, kinds = columns(made[0].means), [columns(table) for table in made[0].kinds]
    assert whole["FID ↓"][WORKFLOWS[1]].text == kinds[0]["FID ↓"][WORKFLOWS[1]].text == "77.00"
    of_kind = [one.scores["ssim"] for one in made_up().clips() if (one.length, one.kind) == (5, "occlusion")]
    second = [value for place, value in enumerate(of_kind) if place in (1, 3, 6, 9)]
    assert kinds[1]["SSIM ↑"][WORKFLOWS[1]].text == f"{np.mean(second):.4f}"


def markdown_fields(line):
    """The fields of a line of a table, as a reader shows them."""
    cells = re.split(r"(?<!\\)\|", line.strip())[1:-1]
    return [unescape(re.sub(r"\\(.)", r"\1", cell.strip().replace("**", ""))) for cell in cells]


def test_markdown_shows_names_and_numbers_as_they_are():
    results = made_up()
    text = markdown_table(results)
    assert "<script" not in text and "<b>" not in text
    tabled = [markdown_fields(line) for line in text.splitlines() if line.startswith("| ")]
    names = {fields[0] for fields in tabled}
    assert names == {"workflow", f"{WORKFLOWS[0]} (baseline)", *WORKFLOWS[1:]}
    first = next(fields for fields in tabled if fields[0] == WORKFLOWS[1])
    cell = sections(results)[0].means.rows[1][2]
    assert cell.best and cell.differs and first[2] == f"{cell.text}* {cell.interval}"
    assert len({len(fields) for fields in tabled if len(fields) > 6}) == 1, "no name breaks a field in two"
    assert "## Left out" in text and text.index("## Notes") < text.index("## Left out")


@pytest.mark.parametrize("words", ["a_b _c_", "# no heading", "1. no list", "- no list", "$x$ ~~y~~ [z](w)", "a\nb"])
def test_markdown_text_is_shown_as_it_is(words):
    written = markdown_text(words)
    assert re.sub(r"\\(.)", r"\1", written) == " ".join(words.split())
    assert not re.match(r"[#\-] |\d+\. ", written)
    assert not re.search(r"(?<!\\)[$~\[*]|(?<![\\\w])_", written)


def test_numbers_and_snake_case_are_left_readable():
    assert markdown_text("17.99 kab_retro +0.3 -0.1") == "17.99 kab_retro +0.3 -0.1"


def test_nothing_scored_is_said():
    text = markdown_table(results_of([], left_out=["a.jpg is broken."]))
    assert "No clip has been scored." in text and "- a.jpg is broken." in text


def test_curves_are_means_over_clips_without_what_is_missing():
    given = [score("a", "c", psnr=20.0), score("a", "d", psnr=30.0), score("b", "d", psnr=25.0)]
    given[0].per_frame["psnr"][0] = given[1].per_frame["psnr"][0] = None
    given[0].per_frame["psnr"][1] = None
    found = curves.frame_means(results_of(given))[5]["psnr"]
    np.testing.assert_equal(found["a"], [np.nan, 30, 25, 25, 25])
    np.testing.assert_equal(found["b"], [25] * 5)


def test_no_two_of_many_lines_look_alike():
    names = [str(n) for n in range(31)]
    styles = curves.line_styles(names, "7")
    assert styles["7"] == ("black", "solid")
    assert len(set(styles.values())) == 31


def test_a_name_is_drawn_on_one_line_with_a_mark_for_what_the_font_lacks():
    assert curves.drawable("a\nb  $x$") == "a b $x$"
    assert curves.drawable("\u732b") == "?"
    assert len(curves.drawable("x" * 300)) == curves.LONGEST_NAME


def test_a_picture_of_one_frame_or_of_equal_numbers_can_be_drawn(tmp_path):
    for length in (1, 2):
        given = [score(name, length=length, psnr=20.0, lpips=None) for name in (NASTY, "x" * 300)]
        (path,) = curves.write_curves(results_of(given, [NASTY, "x" * 300]), tmp_path).values()
        assert Image.open(path).size[0] == 1200


def test_everything_is_written_and_what_an_earlier_run_left_is_removed(tmp_path):
    for name in ("page_2.html", "curves_7.png", "notes.txt", "page_of_mine.html"):
        (tmp_path / name).write_text("old")
    made = write_results(made_up(), tmp_path)
    names = ["scores.csv", "sets.csv", "table.md", "curves_5.png", "curves_9.png", "index.html"]
    assert [path.name for path in made] == names
    assert {path.name for path in tmp_path.iterdir()} == {*names, "notes.txt", "page_of_mine.html"}
    before = {path.name: path.read_bytes() for path in made}
    assert {path.name: path.read_bytes() for path in write_results(made_up(), tmp_path)} == before


def test_a_file_is_there_as_a_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), whole_file(path) as new:
        new.write_text("half")
        raise KeyError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]
    with whole_file(path) as new:
        new.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["a.txt"]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    path = tmp_path / "file" / "a.txt"
    with pytest.raises(OSError, match=r"a\.txt cannot be written: .*\. Make room for it, or choose another folder\."):
        with whole_file(path) as new:
            new.write_text("x")
    with pytest.raises(OSError, match="a.txt cannot be written: No space left on device"):
        with whole_file(tmp_path / "a.txt"):
            raise OSError(28, "No space left on device")
