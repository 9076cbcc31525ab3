"""What the server tells the browser of the nodes' names in other languages."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("language", ["en", "zh", "ja"])
def test_names_and_tooltips_reach_the_browser(server, language):
    told = server.get("/i18n")[language]["nodeDefs"]
    ours = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    assert {name: told.get(name) for name in ours} == ours
