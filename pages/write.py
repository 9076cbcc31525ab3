"""./dev pages: writes what the schemas say into the nodes' pages (web/docs) and into locales/en/nodeDefs.json.

In a page it is the table of inputs: its rows, their order and the column `takes`. The column `meaning` stays as it is;
where an input is new it is empty, and is named below, to be written by hand.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from ..demo.host_process import start_host
from .input_table import expected_rows, input_rows, with_input_table
from .locale_files import english, file_text

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./dev pages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="inbetween-pages-") as folder:
        start_host(Path(folder))
        from ..nodes import NODES

        schemas = [node.GET_SCHEMA() for node in NODES]
    to_do = []
    for schema in schemas:
        page = page_path(schema.node_id)
        if not page.exists():
            to_do.append(f"{named(page)} is not there")
            continue
        try:
            text = with_input_table(page.read_text(encoding="utf-8"), expected_rows(schema))
        except ValueError as error:
            to_do.append(f"{named(page)}: {error}")
            continue
        write(page, text)
        to_do += [f"{named(page)}: {row.name} has no meaning yet" for row in input_rows(text) if not row.meaning]
    write(ROOT / "locales" / "en" / "nodeDefs.json", file_text(english(schemas)))
    print("\n".join(to_do) or "every input of every node is described")
    return 1 if to_do else 0


def page_path(node_id: str) -> Path:
    """Where the frontend looks for a node's page."""
    return ROOT / "web" / "docs" / node_id / "en.md"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def write(path: Path, text: str) -> None:
    """Writes a file that differs, and says so."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"written: {named(path)}")
