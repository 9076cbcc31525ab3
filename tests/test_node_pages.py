"""The nodes' pages: where the frontend looks for them, about nodes that exist, naming every input."""

import re
from pathlib import Path

import pytest

from pack.tests.contract import CONTRACT

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "web" / "docs").glob("*/en.md"))


def test_there_are_pages():
    assert len(PAGES) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_a_page_is_about_a_node_and_names_its_inputs(page):
    inputs, _ = CONTRACT[page.parent.name]
    names = [re.split("[=?]", item)[0] for item in inputs]
    text = page.read_text()
    assert [name for name in names if name not in text] == []
    assert text.startswith("# ")


def test_the_frontend_is_told_where_they_are():
    assert 'WEB_DIRECTORY = "./web"' in (ROOT / "__init__.py").read_text()
