"""Names and tooltips in other languages: complete, really translated, with the numbers and names of the English."""

import json
import re
from pathlib import Path

import pytest

from pack.tests.contract import CONTRACT

ROOT = Path(__file__).resolve().parents[1]
KANA, HAN = r"[\u3041-\u30ff]", r"[\u4e00-\u9fff]"
NUMBER = r"\d+(?:\.\d+)?"
# what no language translates: with two capitals, a digit or an underscore in it (I2V, UNet, cfg_schedule, vgg16)
TECHNICAL = r"(?<![\w/.-])(?=\w*(?:[A-Z]\w*[A-Z]|\d|_))[A-Za-z][\w+]*"
TRANSLATED = ["zh", "ja"]


def entries(language: str) -> dict:
    return json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))


def texts(value: object, place: str = "") -> dict[str, str]:
    """Every text of a locale by its place, such as "InbetweenKeyframes.inputs.fit.tooltip"."""
    if isinstance(value, str):
        return {place: value}
    return {
        key: text for name, item in value.items() for key, text in texts(item, f"{place}.{name}".strip(".")).items()
    }


def plain(display_name: str) -> str:
    """A node's name without the method's in brackets, as other texts use it."""
    return re.split(r"\s*[(\uff08]", display_name)[0]


@pytest.mark.parametrize("language", ["en", *TRANSLATED])
def test_all_nodes_with_all_their_inputs_and_outputs_are_there_in_order(language):
    found = entries(language)
    assert list(found) == list(CONTRACT)
    for node_id, (inputs, outputs) in CONTRACT.items():
        assert list(found[node_id]["inputs"]) == [re.split("[=?]", item)[0] for item in inputs]
        assert list(found[node_id]["outputs"]) == [str(place) for place in range(len(outputs))]


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_keys_are_those_of_the_english_file(language):
    assert list(texts(entries(language))) == list(texts(entries("en")))


@pytest.mark.parametrize("language", ["en", *TRANSLATED])
def test_no_text_is_empty_or_has_what_the_frontend_takes_for_syntax(language):
    """It reads @, {, } and | as links, values and plurals."""
    assert [
        place for place, text in texts(entries(language)).items() if not text.strip() or set("@{}|") & set(text)
    ] == []


@pytest.mark.parametrize("language", ["en", *TRANSLATED])
def test_the_file_is_written_as_the_tool_writes_it(language):
    raw = (ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8")
    assert raw == json.dumps(json.loads(raw), ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize("language", TRANSLATED)
@pytest.mark.parametrize("kept", [NUMBER, TECHNICAL], ids=["numbers", "names of models, files and inputs"])
def test_what_no_language_translates_is_in_the_translation(language, kept):
    translated = texts(entries(language))
    lost = {}
    for place, text in texts(entries("en")).items():
        missing = set(re.findall(kept, text, re.ASCII)) - set(re.findall(kept, translated[place], re.ASCII))
        if missing and not place.endswith(".name"):
            lost[place] = sorted(missing)
    assert lost == {}


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_node_that_is_spoken_of_is_called_by_its_translated_name(language):
    english, translated = entries("en"), entries(language)
    names = {
        plain(entry["display_name"]): plain(translated[node_id]["display_name"]) for node_id, entry in english.items()
    }
    names = {name: other for name, other in names.items() if " " in name}  # "Keyframes" is a word like any other
    assert len(names) > 15
    theirs = texts(translated)
    wrong = [
        f"{place}: {name} is {other}"
        for place, text in texts(english).items()
        for name, other in names.items()
        if name in text and other not in theirs[place]
    ]
    assert wrong == []


@pytest.mark.parametrize(("language", "own"), [("zh", HAN), ("ja", KANA)])
def test_every_text_is_in_its_language(language, own):
    """Names may be of one script alone, or stay (VAE, fps); sentences may not, and Chinese has no kana."""
    english = texts(entries("en"))
    for place, text in texts(entries(language)).items():
        assert language == "ja" or not re.search(KANA, text), place
        if place.endswith("name"):
            assert re.search(f"{HAN}|{KANA}", text) or text.casefold() in (english[place], "cfg++"), place
        else:
            assert re.search(own, text), place


def test_two_nodes_or_two_inputs_of_one_node_never_share_a_name():
    for language in ("en", *TRANSLATED):
        found = entries(language)
        names = [entry["display_name"] for entry in found.values()]
        assert len(set(names)) == len(names)
        for entry in found.values():
            for part in ("inputs", "outputs"):
                shown = [item["name"] for item in entry[part].values()]
                assert len(set(shown)) == len(shown), entry["display_name"]
