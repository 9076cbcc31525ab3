"""Extract and Load Backward Motion: every layout and kind of file, precision, use in a run, refused files."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pack.tests.plain_words import is_plain

PREFIX = "model.diffusion_model."
HOST_LAYERS = [f"input_blocks.{number}.1" for number in (1, 2, 4, 5, 7, 8)]
HOST_LAYERS += ["middle_block.1", *(f"output_blocks.{number}.1" for number in range(3, 12))]
THEIR_LAYERS = [f"down_blocks.{block}.attentions.{place}" for block in range(3) for place in range(2)]
THEIR_LAYERS += ["mid_block.attentions.0"]
THEIR_LAYERS += [f"up_blocks.{block}.attentions.{place}" for block in range(1, 4) for place in range(3)]
FIRST = "input_blocks.1.1.time_stack.0.attn1.{}.weight"


@pytest.fixture(scope="module")
def nodes(host):
    import pack.nodes.bidirectional as nodes

    return nodes


@pytest.fixture(scope="module")
def motion_folder(models_folder, nodes):
    folder = models_folder / "backward_motion"
    yield folder
    for path in folder.glob("*"):  # nothing for other test files to find
        path.unlink()


@pytest.fixture(scope="module")
def base(svd):
    """Part of an SVD UNet in the host's names: all its temporal attention, and a few others; of 5 MB."""
    state = svd.model.diffusion_model.state_dict()
    names = [name for name in state if ".time_stack.0.attn" in name or ".1.transformer_blocks.0.attn1.to_v" in name]
    return {name: state[name].clone() for name in (*names, "input_blocks.0.0.weight", "out.2.bias")}


@pytest.fixture(scope="module")
def tuned(base, motion):
    return {name: value + motion.get(name, 0) for name, value in base.items()}


@pytest.fixture(scope="module")
def expected(base, tuned, motion):
    return {name: tuned[name] - base[name] for name in motion}


def in_layout(state, layout):
    """A state dict in the host's names, a checkpoint's, or those of diffusers."""
    if layout == "host":
        return state
    if layout == "checkpoint":
        more = {"first_stage_model.decoder.conv_in.weight": torch.zeros(2), "conditioner.embedders.0.x": torch.ones(1)}
        return {**{PREFIX + name: value for name, value in state.items()}, **more}
    table = dict(zip(HOST_LAYERS, THEIR_LAYERS, strict=True))
    renamed = {}
    for name, value in state.items():
        layer = ".".join(name.split(".")[: 2 if name.startswith("middle") else 3])
        other = name.replace(layer, table.get(layer, "conv_" + layer)).replace(
            "time_stack.0", "temporal_transformer_blocks.0"
        )
        renamed[other] = value
    assert len(renamed) == len(state)
    return renamed


@pytest.fixture
def written(models_folder, tmp_path):
    """Writes weights where the host looks for UNets, in a folder of their own; gives the name that it knows."""

    def write(state, name="unet.safetensors", folder="diffusion_models"):
        path = models_folder / folder / tmp_path.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save = save_file if path.suffix == ".safetensors" else torch.save
        save({key: value.contiguous().clone() for key, value in state.items()}, path)
        return f"{tmp_path.name}/{name}"

    return write


@pytest.fixture
def extracted(nodes, written, motion_folder, tmp_path):
    """The deltas of two state dicts, or of files that were written, and the path of the file that holds them."""

    def extract(tuned, base, filename=None):
        filename = tmp_path.name if filename is None else filename
        tuned, base = (
            state if isinstance(state, str) else written(state, f"{name}.safetensors")
            for name, state in (("tuned", tuned), ("base", base))
        )
        deltas = nodes.ExtractBackwardMotion.execute(tuned, base, filename).args[0]
        return deltas, motion_folder / f"{filename.removesuffix('.safetensors')}.safetensors"

    return extract


def same(these, those):
    return these.keys() == those.keys() and all(torch.equal(these[key], those[key]) for key in these)


# extraction


@pytest.mark.parametrize("name", ["unet.safetensors", "unet.bin", "unet.pth"])
@pytest.mark.parametrize("layouts", [("diffusers", "checkpoint"), ("diffusers", "diffusers"), ("host", "host")])
def test_the_file_holds_the_32_differences_in_any_layout(
    nodes, written, extracted, tuned, base, expected, layouts, name
):
    files = [
        written(
            in_layout(state, layout), f"{place}_{name}", "checkpoints" if layout == "checkpoint" else "diffusion_models"
        )
        for place, (state, layout) in enumerate(zip((tuned, base), layouts, strict=True))
    ]
    deltas, path = extracted(*files)
    assert len(deltas) == 32
    assert same(deltas, expected)
    assert same(load_file(path), expected)
    assert same(nodes.LoadBackwardMotion.execute(path.name).args[0], expected)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "inbetween.backward_motion", "version": "1"}


@pytest.mark.parametrize("pick", [1, 2])
@pytest.mark.parametrize(
    "pattern",
    [
        "diffusion_pytorch_model-0000{}-of-00002.safetensors",
        "diffusion_pytorch_model.fp16-0000{}-of-00002.safetensors",
        "diffusion_pytorch_model-0000{}-of-00002.fp16.safetensors",  # diffusers' legacy_variant_file_re
        "diffusion_pytorch_model-0000{}-of-00002.bin",
    ],
)
def test_of_a_unet_in_shards_any_one_is_enough(written, extracted, tuned, base, expected, pattern, pick):
    """A matrix here, the next one there; beside them lies the base in one file."""
    state = in_layout(tuned, "diffusers")
    names = [
        written({key: state[key] for key in list(state)[number - 1 :: 2]}, pattern.format(number)) for number in (1, 2)
    ]
    deltas, _ = extracted(names[pick - 1], written(in_layout(base, "diffusers"), "diffusion_pytorch_model.safetensors"))
    assert same(deltas, expected)


def test_a_missing_shard_is_named(written, extracted, tuned, base):
    state = in_layout(tuned, "diffusers")
    name = written({key: state[key] for key in list(state)[::2]}, "unet-00002-of-00003.safetensors")
    written({key: state[key] for key in list(state)[1::2]}, "unet-00001-of-00003.safetensors")
    message = "unet-00002-of-00003.safetensors is one of 3 shards, but unet-00003-of-00003.safetensors is not beside it"
    with pytest.raises(ValueError, match=message):
        extracted(name, base)


@pytest.mark.parametrize(
    ("source", "other", "kept"),
    [
        (torch.float16, torch.float16, torch.float16),
        (torch.float16, torch.float32, torch.float16),
        (torch.float32, torch.float16, torch.float32),
        (torch.bfloat16, torch.bfloat16, torch.float32),
    ],
)
def test_the_file_has_the_fine_tune_s_precision(extracted, tuned, base, motion, source, other, kept):
    """16 bits hold the difference of two float16; bfloat16, which they would not, is kept in 32."""
    tuned, base = {k: v.to(source) for k, v in tuned.items()}, {k: v.to(other) for k, v in base.items()}
    deltas, path = extracted(tuned, base)
    for name, value in load_file(path).items():
        assert value.dtype == deltas[name].dtype == kept
        assert torch.equal(value, (tuned[name].float() - base[name].float()).to(kept))
    assert len(deltas) == len(motion)


def test_an_ending_is_not_doubled_and_the_loader_lists_the_file(nodes, extracted, tuned, base, tmp_path):
    _, path = extracted(tuned, base, f"{tmp_path.name}.safetensors")
    assert path.name == f"{tmp_path.name}.safetensors"
    assert path.exists()
    assert path.name in nodes.motion_files()
    combo = nodes.LoadBackwardMotion.define_schema().inputs[0]
    assert path.name in combo.options


def test_a_name_that_the_same_weights_have_is_fine_and_one_of_others_is_not(extracted, tuned, base):
    first, path = extracted(tuned, base)
    before = path.stat().st_mtime_ns
    again, _ = extracted(tuned, base)
    assert same(first, again)
    assert path.stat().st_mtime_ns == before
    other = {name: value * 2 for name, value in tuned.items()}
    with pytest.raises(
        ValueError, match=f"filename '{path.stem}' is taken by other weights in .*: choose another name"
    ):
        extracted(other, base)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("filename", ["sub/name", "../name", "/name", "", ".", "..", ".safetensors", "name/"])
def test_a_name_that_is_none_is_refused(extracted, tuned, base, filename, motion_folder):
    before = sorted(motion_folder.glob("**/*"))
    with pytest.raises(ValueError, match=f"filename is '{filename}': give a plain name such as svd_backward_motion"):
        extracted(tuned, base, filename)
    assert sorted(motion_folder.glob("**/*")) == before


@pytest.mark.parametrize("filename", ["a\0b", "a\nb", "a\tb", "\ud800"])
def test_a_name_that_cannot_be_shown_is_refused(extracted, tuned, base, filename):
    with pytest.raises(ValueError, match="filename is '.*': give a plain name such as svd_backward_motion") as error:
        extracted(tuned, base, filename)
    assert is_plain(str(error.value))


@pytest.mark.parametrize("filename", ["n" * 300, "\u6f22" * 100])
def test_a_name_longer_than_a_file_s_is_refused(extracted, tuned, base, filename):
    with pytest.raises(ValueError, match=f"filename has {len(filename)} letters, more than a file's name can have"):
        extracted(tuned, base, filename)


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "the disk is full"), (errno.EIO, "does not take it")])
def test_what_cannot_be_written_is_told_and_leaves_no_half_file(
    extracted, tuned, base, motion_folder, monkeypatch, number, reason
):
    """The disk takes a part and then no more."""
    real = Path.write_bytes

    def write(path, content):
        real(path, content[:100])
        raise OSError(number, os.strerror(number))

    before = sorted(motion_folder.glob("**/*"))
    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(ValueError, match=f"filename '.*' cannot be written to .*backward_motion: .*{reason}") as error:
        extracted(tuned, base)
    assert is_plain(str(error.value))
    assert sorted(motion_folder.glob("**/*")) == before


def test_a_file_in_place_of_the_folder_is_told(extracted, tuned, base, written, tmp_path, monkeypatch):
    import pack.patches.backward_motion_files_host as files

    sources = written(tuned, "tuned.safetensors"), written(base, "base.safetensors")
    shut = tmp_path / "shut"
    shut.write_text("")
    monkeypatch.setattr(files, "_target", lambda name: shut / f"{name}.safetensors")
    with pytest.raises(ValueError, match=f"filename '{tmp_path.name}' cannot be written to .*: a file lies where"):
        extracted(*sources)


def test_it_runs_again_when_its_file_is_gone_or_a_source_is_another(nodes, written, extracted, tuned, base, tmp_path):
    """The host runs a node again when its fingerprint is another."""
    names = written(tuned, "tuned.safetensors"), written(base, "base.safetensors"), tmp_path.name
    state = nodes.ExtractBackwardMotion.fingerprint_inputs
    _, path = extracted(*names)
    done = state(*names)
    assert state(*names) == done
    path.unlink()
    assert state(*names) != done
    extracted(*names)
    done = state(*names)
    written({name: value + 1 for name, value in tuned.items()}, "tuned.safetensors")
    assert state(*names) != done
    assert state("gone.safetensors", *names[1:]) == state(names[0], names[1], "a\0b") == state(None, *names[1:]) == ""


@pytest.mark.parametrize(("which", "name"), [(0, "finetuned_unet"), (1, "base_unet")])
def test_a_unet_that_is_no_svd_is_named_with_its_file_and_what_to_choose(extracted, tuned, base, which, name):
    """An image model has attention over space only."""
    states = [tuned, base]
    states[which] = {key: value for key, value in tuned.items() if "time_stack" not in key}
    message = f"^{name} '.*/{('tuned', 'base')[which]}.safetensors' is no SVD UNet: it lacks 32 of 32 .*Choose the"
    with pytest.raises(ValueError, match=message):
        extracted(*states)


def test_a_unet_that_lacks_some_is_named(extracted, tuned, base, motion_folder, tmp_path):
    lacking = {key: value for key, value in in_layout(tuned, "diffusers").items() if "mid_block" not in key}
    with pytest.raises(ValueError, match="finetuned_unet '.*' is no SVD UNet: it lacks 2 of 32 temporal"):
        extracted(lacking, base)
    assert not (motion_folder / f"{tmp_path.name}.safetensors").exists()


def test_a_base_of_another_width_is_named_with_both_sizes(extracted, tuned, base):
    wide = {key: torch.zeros(64, 64) if key == FIRST.format("to_out.0") else value for key, value in base.items()}
    with pytest.raises(ValueError, match=r"are of different sizes \(32x32 and 64x64\): choose the UNet that"):
        extracted(tuned, wide)


def test_weights_that_are_no_numbers_are_refused(extracted, tuned, base):
    broken = {key: torch.full_like(value, torch.nan) for key, value in tuned.items()}
    with pytest.raises(ValueError, match="differ by what is no number"):
        extracted(broken, base)


def test_a_file_that_is_gone_is_named(extracted, base):
    with pytest.raises(
        ValueError, match="file 'gone.safetensors' is neither in models/diffusion_models nor in models/"
    ):
        extracted("gone.safetensors", base)


@pytest.mark.parametrize("name", ["unet.safetensors", "unet.bin"])
def test_a_file_that_is_no_weights_file_is_named(written, extracted, base, models_folder, name):
    known = written({"a": torch.zeros(1)}, name)
    (models_folder / "diffusion_models" / known).write_text("<html>404</html>")
    with pytest.raises(ValueError, match=f"file '{name}' cannot be read as a weights file: it is") as error:
        extracted(known, base)
    assert is_plain(str(error.value))


class Harmful:
    """What a prepared torch file runs when it is loaded without care: here it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_torch_file_with_code_in_it_is_refused_and_not_run(written, extracted, base, models_folder, tmp_path):
    known = written({"a": torch.zeros(1)}, "unet.bin")
    torch.save({"a": torch.zeros(1), "b": Harmful(tmp_path / "made")}, models_folder / "diffusion_models" / known)
    with pytest.raises(ValueError, match="file 'unet.bin' cannot be read as a weights file"):
        extracted(known, base)
    assert not (tmp_path / "made").exists()


# loading


def test_an_extracted_file_moves_a_model_as_the_differences_do(
    nodes, extracted, tuned, base, expected, svd_inputs, gi, estimate
):
    _, path = extracted(in_layout(tuned, "diffusers"), in_layout(base, "checkpoint"))
    loaded, inputs = nodes.LoadBackwardMotion.execute(path.name).args[0], svd_inputs()
    ours = estimate(gi(inputs, cfg=1.0, backward_motion=loaded))
    assert torch.equal(ours, estimate(gi(inputs, cfg=1.0, backward_motion=expected)))
    assert not torch.allclose(ours, estimate(gi(inputs, cfg=1.0, backward_motion=None)), atol=1e-2)


def test_a_loader_knows_its_file_s_change(nodes, extracted, tuned, base):
    node = nodes.LoadBackwardMotion
    _, path = extracted(tuned, base)
    assert node.validate_inputs(path.name) is True
    before = node.fingerprint_inputs(path.name)
    assert node.fingerprint_inputs(path.name) == before
    save_file(load_file(path), path)
    os.utime(path, ns=(1, 1))
    assert node.fingerprint_inputs(path.name) != before


def test_a_file_that_is_not_there_is_told_before_the_graph_runs(nodes):
    node = nodes.LoadBackwardMotion
    told = node.validate_inputs("gone.safetensors")
    assert told.startswith("file 'gone.safetensors' is not in ")
    assert told.endswith(
        "Make it once with 'Extract Backward Motion' from the fine-tuned UNet of Generative Inbetweening."
    )
    assert node.validate_inputs(None) is True  # linked: known when the graph runs
    with pytest.raises(ValueError, match="file 'gone.safetensors' is not in .*backward_motion"):
        node.execute("gone.safetensors")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("unet", "holds no backward motion: 3 of its weights are of another kind. A whole UNet is turned into such a"),
        ("diffusers", "holds no backward motion: 32 of its weights are of another kind. A whole UNet is turned into"),
        ("lora", "holds no backward motion: 4 of its weights are of another kind. A whole UNet"),
        ("empty", "holds no backward motion: it is empty"),
        ("nan", "has weights that are no numbers"),
        ("text", "cannot be read as a weights file: it is damaged"),
    ],
)
def test_a_foreign_file_is_told(nodes, motion_folder, motion, base, tmp_path, content, message):
    states = {
        "unet": {"out.2.bias": base["out.2.bias"], "out.1": torch.ones(1), "out.0": torch.ones(1), **motion},
        "diffusers": in_layout(motion, "diffusers"),
        "lora": {f"lora_up.{letter}": torch.ones(1) for letter in "abcd"},
        "empty": {},
        "nan": {key: torch.full_like(value, torch.nan) for key, value in motion.items()},
    }
    motion_folder.mkdir(exist_ok=True)
    path = motion_folder / f"{tmp_path.name}.safetensors"
    if content == "text":
        path.write_text("<html>404</html>")
    else:
        save_file({key: value.contiguous() for key, value in states[content].items()}, path)
    with pytest.raises(ValueError, match=f"file '{path.name}' {message}"):
        nodes.LoadBackwardMotion.execute(path.name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("fewer", "made for another model: it lacks 1 of this model's 32 temporal attention matrices"),
        ("wider", "for a model of another width: a matrix is 64x64 there and 32x32 in this model"),
        ("foreign", "made for another model: 1 of its matrices are not in this model"),
    ],
)
def test_weights_of_another_architecture_are_refused_by_the_guider(svd_inputs, gi, motion, change, message):
    name, other = FIRST.format("to_v"), dict(motion)
    if change == "fewer":
        del other[name]
    elif change == "wider":
        other[name] = torch.zeros(64, 64)
    else:
        other["input_blocks.3.1.time_stack.0.attn1.to_v.weight"] = torch.zeros(32, 32)
    with pytest.raises(ValueError, match=f"the backward-motion file was .*{message}"):
        gi(svd_inputs(), backward_motion=other)
