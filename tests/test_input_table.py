"""The table of inputs on a node's page: what it says of an input, and that a hand-written meaning is never lost."""

from types import SimpleNamespace

import pytest

from pack.pages.input_table import Row, input_rows, section, takes, with_input_table

PAGE = """# A Node

Inputs are listed below.

## Inputs
| input | meaning |
|---|---|
| width, height | of the video |
| gone | an input that the node had once |

A sentence after the table.

## Output
| output | meaning |
|---|---|
| images | the video |
"""


def item(kind, **given):
    """An input as the host's schema has it; `template` makes it one that grows."""
    values = {"id": "x", "optional": False, "advanced": None, "min": None, "max": None, "step": None, "default": None}
    return SimpleNamespace(get_io_type=lambda: kind, **{**values, **given})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (item("IMAGE"), "IMAGE"),
        (item("IMAGE", optional=True), "IMAGE, optional"),
        (item("IMAGE,MASK"), "IMAGE or MASK"),
        (item("FLOAT", min=0.0, max=1.0, default=1.0, step=0.01), "FLOAT 0 to 1, default 1.0"),
        (item("FLOAT", min=1e-5, max=50.0, default=5e-4), "FLOAT 0.00001 to 50, default 0.0005"),
        (item("FLOAT", min=0.0, max=10000.0, default=0.0, advanced=True), "FLOAT, at least 0, default 0.0, advanced"),
        (item("INT", min=1, max=16384, default=81, step=1), "INT, at least 1, default 81"),
        (item("INT", min=16, max=16384, default=832, step=16), "INT, at least 16, in steps of 16, default 832"),
        (item("INT", min=-16384, max=16384, default=40), "INT, default 40"),
        (item("INT", min=-16384, max=-1, default=-1), "INT, at most -1, default -1"),
        (item("BOOLEAN", default=False, advanced=True), "BOOLEAN, default false, advanced"),
        (item("STRING", default="5-12"), "STRING, default 5-12"),
        (item("STRING", default=""), "STRING, default empty"),
        (item("COMBO", options=["crop", "pad"], default="crop"), "one of crop, pad; default crop"),
        (item("COMBO", options=["a", "b"], default="b", advanced=True), "one of a, b; default b; advanced"),
        (
            item("COMFY_AUTOGROW_V3", template=SimpleNamespace(input=item("IMAGE"), min=2)),
            "IMAGE, as many as you like, at least 2",
        ),
        (item("COMFY_AUTOGROW_V3", template=SimpleNamespace(input=item("IMAGE"), min=0)), "IMAGE, as many as you like"),
    ],
)
def test_what_an_input_takes(given, words):
    assert takes("AnyNode", given) == words


def test_a_list_of_this_machine_s_files_is_not_on_the_page():
    backbone = item("COMBO", id="backbone", options=["mine.pth"], default="mine.pth")
    assert takes("InbetweenLoadLPIPS", backbone) == "a file in models/lpips"


def test_the_rows_are_the_given_ones_and_meanings_stay_with_their_inputs():
    page = with_input_table(PAGE, [("images", "IMAGE"), ("height", "INT"), ("width", "INT")])
    assert input_rows(page) == [
        Row("images", "IMAGE", ""),
        Row("height", "INT", "of the video"),
        Row("width", "INT", "of the video"),
    ]


def test_everything_else_on_the_page_stays():
    page = with_input_table(PAGE, [("width", "INT")])
    assert page.split("## Inputs")[0] == PAGE.split("## Inputs")[0]
    assert page.split("\n\nA sentence")[1] == PAGE.split("\n\nA sentence")[1]


def test_twice_changes_nothing_more():
    rows = [("width", "one of a, b; default a"), ("images", "IMAGE")]
    page = with_input_table(PAGE, rows)
    assert with_input_table(page, rows) == page


def test_a_bar_inside_a_meaning_is_kept():
    page = PAGE.replace("of the video", r"a \| b")
    page = with_input_table(page, [("width", "INT")])
    assert input_rows(page) == [Row("width", "INT", r"a \| b")]


def test_a_page_without_a_table_gets_one_below_its_heading():
    page = with_input_table("# A Node\n\n## Inputs\n\n## Output\nNone.\n", [("width", "INT")])
    assert page == (
        "# A Node\n\n## Inputs\n| input | takes | meaning |\n|---|---|---|\n| width | INT | |\n\n## Output\nNone.\n"
    )
    assert input_rows(page) == [Row("width", "INT", "")]


def test_a_table_further_down_is_another_one():
    page = with_input_table("## Inputs\n\n## Output\n| output |\n|---|\n| images |\n", [("width", "INT")])
    assert "| images |" in page
    assert "| width | INT | |" in section(page, "Inputs")


def test_a_page_without_the_heading_is_told():
    with pytest.raises(ValueError, match="no heading '## Inputs'"):
        with_input_table("# A Node\n", [])
