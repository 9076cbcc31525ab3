"""Pages and English locale against the schemas: `./dev pages` would change nothing; a title is the node's name."""

import json
import re

import pytest

from pack.pages.input_table import expected_rows, with_input_table
from pack.pages.locale_files import english, file_text
from pack.pages.write import ROOT, page_path
from pack.tests.contract import CONTRACT


@pytest.fixture(scope="module")
def schemas(host):
    from pack.nodes import NODES

    return {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in NODES)}


@pytest.mark.parametrize("node_id", CONTRACT)
def test_the_table_of_inputs_is_what_the_schema_says(schemas, node_id):
    """If it is not: ./dev pages."""
    page = page_path(node_id).read_text(encoding="utf-8")
    assert with_input_table(page, expected_rows(schemas[node_id])) == page


@pytest.mark.parametrize("node_id", CONTRACT)
def test_a_page_bears_the_node_s_name(schemas, node_id):
    assert page_path(node_id).read_text(encoding="utf-8").splitlines()[0] == f"# {schemas[node_id].display_name}"


def test_the_english_locale_is_what_the_schemas_say(schemas):
    """If it is not: ./dev pages, and bring the other languages up to date."""
    path = ROOT / "locales" / "en" / "nodeDefs.json"
    assert path.read_text(encoding="utf-8") == file_text(english(list(schemas.values())))


def says(text: str, option: str) -> bool:
    """Whether an option is in a text as a word of its own; `snap_full` does not say `snap`."""
    return re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text, re.ASCII) is not None


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_options_keep_their_names_in_translated_tooltips(schemas, language):
    """The widget shows `snap` in every language, so a tooltip has to say `snap`."""
    translated = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    missing = [
        f"{node_id}.{item.id}: {option}"
        for node_id, schema in schemas.items()
        for item in schema.inputs
        for option in getattr(item, "options", None) or []
        if says(item.tooltip, option) and not says(translated[node_id]["inputs"][item.id]["tooltip"], option)
    ]
    assert missing == []
