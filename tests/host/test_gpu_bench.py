"""./dev bench gpu: everything but the device, on a CPU with small models."""

import gc
import io
import math
import re
from collections import deque
from contextlib import redirect_stdout
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

pytestmark = pytest.mark.workshop

VIDEO = (64, 48, 17)
STEPS = [
    "plain",
    "Keyframe Attention, after its window",
    "Keyframe Attention, in its window",
    "Temporal RoPE",
    "both, after the window",
    "both, in the window",
    "Keyframe Attention, mean of a run",
    "Temporal RoPE, mean of a run",
    "both, mean of a run",
]
DIRECTIONS = [
    "plain, one direction",
    "fused, no maps (TRF)",
    "fused, maps of up blocks",
    "fused, all maps and weights (GI)",
]
ANCHORS = ["VAE encode", "VAE decode", "LPIPS scoring", "selection and plot", "all of it"]


@pytest.fixture(scope="module")
def sizes(host):
    from pack.bench.gpu import Sizes
    from pack.bench.wan_cost import WanSize

    return Sizes(
        wans=(WanSize("Wan thin", 24, 1, 4, 48, text=16), WanSize("Wan wide", 72, 3, 4, 96, text=16, remark="Odd.")),
        videos=(VIDEO,),
        svd_channels=64,
        svd_video=(64, 64, 3),
        guidances=(3.0,),
        vae_width=4,
        backbones=("alex", "squeeze"),
        repeats=1,
    )


@pytest.fixture(scope="module")
def done(sizes, tmp_path_factory):
    """A whole run: what it returned, printed and wrote."""
    from pack.bench.gpu import measure

    folder, printed = tmp_path_factory.mktemp("results"), io.StringIO()
    with redirect_stdout(printed):
        code = measure(sizes, folder)
    files = {path.name: path.read_text() for path in folder.iterdir()}
    return SimpleNamespace(code=code, printed=printed.getvalue(), files=files, sections=sections(printed.getvalue()))


@pytest.fixture
def runs(sizes):
    from pack.bench.wan_cost import WanRuns, random_wan

    return WanRuns(random_wan(sizes.wans[0]), VIDEO)


def sections(text):
    """Title -> text of every section."""
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return {title.split(",")[0]: body for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def table(section):
    """(columns, {row: [numbers]}) of a section's table."""
    lines = [line for line in section.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return rows[0][1:], {row[0]: [float(cell.rstrip("x")) for cell in row[1:]] for row in rows[2:]}


def ratios(columns, rows):
    """The numbers of every column that is a ratio of seconds."""
    places = [place for place, name in enumerate(columns) if name.startswith("to ") and "peak" not in name]
    return [row[place] for row in rows.values() for place in places]


def test_everything_printed_is_in_a_file_named_after_the_device(done):
    assert done.code == 0
    assert list(done.files) == ["CPU.md"]
    assert done.files["CPU.md"].strip() == done.printed.strip()
    assert done.printed.startswith("# CPU\n")


def test_a_device_s_name_becomes_a_file_s_name():
    from pack.bench.gpu import file_name

    assert file_name("NVIDIA H200") == "NVIDIA-H200"
    assert file_name("AMD Radeon(TM) RX 7900 / 24 GB") == "AMD-Radeon-TM-RX-7900-24-GB"


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("Wan thin", STEPS),
        ("Wan wide", STEPS),
        ("SVD-XT", DIRECTIONS),
        ("LPIPS", ["LPIPS (AlexNet)", "LPIPS (SqueezeNet 1.1)"]),
        ("Anchor Frame Bridging beside model calls", ANCHORS),
    ],
)
def test_every_row_has_ratios(done, title, names):
    columns, rows = table(done.sections[title])
    assert list(rows) == names
    found = ratios(columns, rows)
    assert len(found) >= len(names)
    assert all(math.isfinite(value) and value > 0 for value in found)
    assert all(math.isfinite(value) and value >= 0 for row in rows.values() for value in row)


def test_ratios_are_to_the_plain_step_and_the_plain_run(done):
    """What is printed is rounded, so each is checked to what its digits allow."""
    plain = {}
    for name in ("Wan thin", "Wan wide"):
        rows = table(done.sections[name])[1]
        plain[name] = rows["plain"][0]
        assert rows["plain"][1] == 1
        for seconds, ratio, *_ in rows.values():
            assert ratio == pytest.approx(seconds / plain[name], abs=0.002 / plain[name] * (1 + ratio))
    columns, rows = table(done.sections["Anchor Frame Bridging beside model calls"])
    for name, seconds in plain.items():
        place = columns.index(f"to a plain run of {name}")
        ratio = rows["VAE decode"][place]
        assert ratio == pytest.approx(rows["VAE decode"][0] / (50 * seconds), rel=0.001 / seconds + 0.05)
    parts = [rows[name][0] for name in ANCHORS[:-1]]
    assert rows["all of it"][0] == pytest.approx(sum(parts), abs=0.003)


def test_a_run_is_a_mean_of_steps_in_the_window_and_after_it(done):
    rows = table(done.sections["Wan thin"])[1]
    inside, outside = rows["both, in the window"][0], rows["both, after the window"][0]
    assert rows["both, mean of a run"][0] == pytest.approx(0.4 * inside + 0.6 * outside, abs=0.0011)


def test_what_a_reader_must_know_of_a_size_stands_in_its_section(done):
    assert "Odd." in done.sections["Wan wide"]
    assert "Odd." not in done.sections["Wan thin"]
    assert "60 tokens" in done.sections["Wan thin"]
    assert "1 of 4 blocks" in done.sections["Wan thin"]


def test_no_model_is_kept(done, sizes):
    gc.collect()
    dims = {size.dim for size in sizes.wans}
    assert [one for one in gc.get_objects() if type(one).__name__ == "WanModel" and one.dim in dims] == []


def test_without_a_gpu_a_line_says_so(tmp_path, monkeypatch, capsys):
    from pack.bench.gpu import main

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--out", str(tmp_path / "results")]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_model_that_does_not_fit_is_left_out_with_a_line(sizes, tmp_path, monkeypatch, capsys):
    from pack.bench import gpu
    from pack.bench.wan_cost import needed_bytes

    thin, wide = (needed_bytes(size, VIDEO) for size in sizes.wans)
    assert thin < wide
    monkeypatch.setattr(gpu, "free_bytes", lambda device: (thin + wide) // 2)
    assert gpu.measure(sizes, tmp_path, ["wan", "afb"]) == 0
    found = sections(capsys.readouterr().out)
    assert "plain" in found["Wan thin"]
    assert re.search(r"Left out: it needs about [\d.]+ GB by the host's estimate, and [\d.]+ GB are", found["Wan wide"])
    columns, _ = table(found["Anchor Frame Bridging beside model calls"])
    assert columns == ["s", "to a plain run of Wan thin", "peak, MB"]


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), 0, "Not finished: the memory of the device ran out."),
        (RuntimeError("no such kernel\nand more"), 1, "Not finished: RuntimeError, no such kernel"),
    ],
)
def test_a_section_that_fails_says_so_and_the_others_go_on(sizes, tmp_path, monkeypatch, capsys, error, code, sentence):
    from pack.bench import gpu

    def fails(*args):
        raise error

    monkeypatch.setattr(gpu, "random_wan", fails)
    assert gpu.measure(replace(sizes, backbones=("alex",)), tmp_path, ["wan", "lpips", "afb"]) == code
    found = sections(capsys.readouterr().out)
    assert sentence in found["Wan thin"].splitlines()
    columns, rows = table(found["LPIPS"])
    assert columns == ["s", "to pairs", "peak, MB"]
    assert list(rows) == ["LPIPS (AlexNet)"]
    assert "Left out: no plain step" in found["Anchor Frame Bridging beside model calls"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch, capsys):
    from comfy.cli_args import args

    from pack.bench.gpu import main

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(args, "use_pytorch_cross_attention", args.use_pytorch_cross_attention)  # main sets it
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file")]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().out


def test_steps_are_those_that_their_names_say(runs):
    """Which steps bias attention, and whose result differs from the plain one."""
    from pack.bench.step_cost import Step
    from pack.patches.keyframe_attention_host import RECORD

    biased, results = set(), {}
    for name, step in runs.steps().items():
        records = deque()
        step.guider.model_options["transformer_options"][RECORD] = records
        results[name] = result_of(step, runs)
        if records:
            biased.add(name)
    assert biased == {"Keyframe Attention, in its window", "both, in the window"}
    plain, steps = runs.steps()["plain"], runs.steps()
    for name, step in steps.items():
        same = torch.equal(results[name], result_of(Step(plain.guider, step.place), runs))
        assert same == (name == "plain")


def result_of(step, runs):
    """The clean estimate of a step."""
    import comfy.samplers

    found = []

    def sampler(model, x, sigmas, extra_args, **rest):
        found.append(model(x, x.new_full((1,), float(sigmas[step.place])), **extra_args))
        return x

    latent = torch.zeros_like(runs.noise)
    step.guider.sample(runs.noise, latent, comfy.samplers.KSAMPLER(sampler), runs.schedule, disable_pbar=True, seed=0)
    return found[0]


@pytest.mark.parametrize(("budget", "counted"), [(math.inf, 3), (0.0, 1)])
def test_fewer_steps_are_taken_when_the_time_is_up(runs, budget, counted):
    from pack.bench.step_cost import step_costs

    calls = []
    plain = runs.steps()["plain"]
    watched = SimpleNamespace(sample=lambda *args, **kwargs: calls.append(1) or plain.guider.sample(*args, **kwargs))
    costs, found = step_costs({"plain": replace(plain, guider=watched)}, runs.noise, runs.schedule, 3, budget)
    assert found == counted
    assert len(calls) == counted + 1  # one warms up
    assert costs["plain"].seconds > 0
    assert costs["plain"].peak > 0


def test_a_model_that_is_not_finite_is_an_error(runs):
    from pack.bench.step_cost import step_costs

    plain = runs.steps()["plain"]
    plain.guider.model_patcher.model.diffusion_model.head.head.weight.data.fill_(math.inf)
    with pytest.raises(RuntimeError, match="not finite"):
        step_costs({"plain": plain}, runs.noise, runs.schedule, 1)


@pytest.mark.parametrize(("number", "low", "high"), [(0, 1.5e9, 1.7e9), (1, 16e9, 17e9)])
def test_the_released_sizes_have_as_many_weights(host, number, low, high):
    """14B I2V has 16.4 B; 1.3B has 1.4 B and here the image branch and its inputs too."""
    from pack.bench.wan_cost import WANS, empty_wan, needed_bytes

    network = empty_wan(WANS[number], torch.device("meta")).diffusion_model
    weights = sum(value.numel() for value in network.parameters())
    assert low < weights < high
    assert network.img_emb.emb_pos.shape == (1, 514, 1280)
    needed, larger = (needed_bytes(WANS[number], video) for video in ((832, 480, 81), (1280, 720, 81)))
    assert 2 * weights < needed < larger
