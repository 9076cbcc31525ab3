"""Extract and Load Backward Motion: every layout and kind of file, precision, use in a run, refused files."""

import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

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


@pytest.mark.parametrize(("which", "name"), [(0, "finetuned_unet"), (1, "base_unet")])
def test_a_unet_that_is_no_svd_is_named_with_the_first_matrices_it_lacks(extracted, tuned, base, which, name):
    """An image model has attention over space only."""
    states = [tuned, base]
    states[which] = {key: value for key, value in tuned.items() if "time_stack" not in key}
    first = f"{FIRST.format('to_v')}, {FIRST.format('to_out.0')}, input_blocks.2.1.time_stack.0.attn1.to_v.weight"
    with pytest.raises(ValueError, match=f"{name} is no SVD UNet: it lacks 32 of 32 .*, first {first} and 29 more"):
        extracted(*states)


def test_a_unet_that_lacks_some_is_named_with_them(extracted, tuned, base, motion_folder, tmp_path):
    lacking = {key: value for key, value in in_layout(tuned, "diffusers").items() if "mid_block" not in key}
    first = "middle_block.1.time_stack.0.attn1.to_v.weight, middle_block.1.time_stack.0.attn1.to_out.0.weight .or"
    with pytest.raises(ValueError, match=f"finetuned_unet is no SVD UNet: it lacks 2 of 32 .*, first {first}"):
        extracted(lacking, base)
    assert not (motion_folder / f"{tmp_path.name}.safetensors").exists()


def test_a_base_of_another_width_is_named_with_both_shapes(extracted, tuned, base):
    wide = {key: torch.zeros(64, 64) if key == FIRST.format("to_out.0") else value for key, value in base.items()}
    message = rf"of different sizes, first {FIRST.format('to_out.0')}: \[32, 32\] and \[64, 64\]"
    with pytest.raises(ValueError, match=message):
        extracted(tuned, wide)


def test_a_file_that_is_gone_is_named(extracted, base):
    with pytest.raises(
        ValueError, match="file 'gone.safetensors' is neither in models/diffusion_models nor in models/"
    ):
        extracted("gone.safetensors", base)


@pytest.mark.parametrize("name", ["unet.safetensors", "unet.bin"])
def test_a_file_that_is_no_weights_file_is_named(written, extracted, base, models_folder, name):
    known = written({"a": torch.zeros(1)}, name)
    (models_folder / "diffusion_models" / known).write_text("<html>404</html>")
    with pytest.raises(ValueError, match=f"{name} cannot be read as a weights file .*"):
        extracted(known, base)


class Harmful:
    """What a prepared torch file runs when it is loaded without care: here it makes a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_torch_file_with_code_in_it_is_refused_and_not_run(written, extracted, base, models_folder, tmp_path):
    known = written({"a": torch.zeros(1)}, "unet.bin")
    torch.save({"a": torch.zeros(1), "b": Harmful(tmp_path / "made")}, models_folder / "diffusion_models" / known)
    with pytest.raises(ValueError, match="unet.bin cannot be read as a weights file"):
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
        ("unet", "holds no backward motion: it has out.0, out.1, out.2.bias. A whole UNet is turned into such a"),
        ("diffusers", "holds no backward motion: it has (down|mid|up)_blocks?.*, .*, .* A whole UNet is turned into"),
        ("lora", "holds no backward motion: it has lora_up.a, lora_up.b, lora_up.c. A whole UNet"),
        ("empty", "holds no backward motion: it has no tensors"),
        ("text", "cannot be read as safetensors .*"),
    ],
)
def test_a_foreign_file_is_told(nodes, motion_folder, motion, base, tmp_path, content, message):
    states = {
        "unet": {"out.2.bias": base["out.2.bias"], "out.1": torch.ones(1), "out.0": torch.ones(1), **motion},
        "diffusers": in_layout(motion, "diffusers"),
        "lora": {f"lora_up.{letter}": torch.ones(1) for letter in "abcd"},
        "empty": {},
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
        ("fewer", f"made for another model: it lacks {FIRST.format('to_v')}. This model has 32 temporal attention"),
        ("wider", rf"for a model of another width: {FIRST.format('to_v')} is \[64, 64\] there and \[32, 32\] in this"),
        ("foreign", "made for another model: it has input_blocks.3.1.time_stack.0.attn1.to_v.weight. This model has"),
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
