"""The nodes' pages: one for every node, where the frontend looks for it, with all its parts and naming every input."""

import re
from pathlib import Path

import pytest

from pack.pages.input_table import input_rows, section
from pack.tests.contract import CONTRACT

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Inputs", "Outputs?", "Cost", "Messages")


def page_of(node_id: str) -> str:
    return (ROOT / "web" / "docs" / node_id / "en.md").read_text(encoding="utf-8")


def test_every_node_has_a_page_and_every_page_a_node():
    assert {path.parent.name for path in (ROOT / "web" / "docs").glob("*/en.md")} == set(CONTRACT)


@pytest.mark.parametrize("node_id", CONTRACT)
def test_the_table_has_the_inputs_of_the_node_in_order_and_says_what_each_means(node_id):
    inputs, _ = CONTRACT[node_id]
    rows = input_rows(page_of(node_id))
    assert [row.name for row in rows] == [re.split("[=?]", item)[0] for item in inputs]
    assert [row.name for row in rows if not row.meaning or not row.takes] == []


@pytest.mark.parametrize("node_id", CONTRACT)
def test_a_page_names_every_output(node_id):
    _, outputs = CONTRACT[node_id]
    text = section(page_of(node_id), "Outputs?")
    names = [item.split(":")[0] for item in outputs]
    assert [name for name in names if not re.search(rf"(?<!\w){name}(?!\w)", text)] == []


@pytest.mark.parametrize("node_id", CONTRACT)
def test_a_page_has_all_its_parts(node_id):
    page = page_of(node_id)
    assert page.startswith("# ")
    assert [name for name in PARTS if not section(page, name).strip()] == []
    assert re.search(r"^Sources?: |\bours\.$", page, re.M)


@pytest.mark.parametrize("node_id", CONTRACT)
def test_the_rows_of_a_table_have_as_many_cells_as_its_head(node_id):
    """Else the help panel drops what is beyond, or shows the table as text."""
    tables = re.findall(r"(?:^\|.*\n)+", page_of(node_id) + "\n", re.M)
    wrong = []
    for table in tables:
        lines = table.splitlines()
        cells = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
        wrong += [line for line, number in zip(lines, cells, strict=True) if number != cells[0]]
        assert re.fullmatch(r"(\|:?-+:?)+\|", lines[1])
    assert wrong == []


def test_the_frontend_is_told_where_they_are():
    assert 'WEB_DIRECTORY = "./web"' in (ROOT / "__init__.py").read_text()
