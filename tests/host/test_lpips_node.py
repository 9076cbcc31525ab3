"""LPIPS against the official package's golden numbers, for all three backbones, and every broken file."""

import os

import pytest
import torch
from safetensors.torch import load_file, save_file

TOLERANCE = {"atol": 2e-6, "rtol": 0}


@pytest.fixture(scope="module")
def lpips_folder(host, models_folder):
    folder = models_folder / "lpips"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def recipe_weights(kind: str) -> dict[str, torch.Tensor]:
    """The golden data's recipe: randn sqrt(2 / fan_in), biases 0.05 randn, over the backbone's keys in order."""
    import torchvision

    builder = {"alex": "alexnet", "squeeze": "squeezenet1_1", "vgg": "vgg16"}[kind]
    with torch.device("meta"):
        state = getattr(torchvision.models, builder)(weights=None).state_dict()
    last = {"alex": 11, "squeeze": 12, "vgg": 29}[kind]
    keys = [key.split(".", 2) for key in state if key.startswith("features.")]
    generator = torch.Generator().manual_seed(4100 + 2)
    weights = {}
    wanted = [key for key in keys if int(key[1]) <= last]
    for folder, index, rest in sorted(wanted, key=lambda key: (int(key[1]), key[2])):
        shape = state[f"{folder}.{index}.{rest}"].shape
        scale = 0.05 if rest.endswith("bias") else (2 / shape[1:].numel()) ** 0.5
        weights[f"{folder}.{index}.{rest}"] = torch.randn(shape, generator=generator) * scale
    return weights


@pytest.fixture(scope="module")
def recipe(lpips_folder):
    """An LPIPS metric with the recipe's weights, through the node."""
    from pack.nodes.anchors import LoadLPIPS

    def load(kind: str):
        path = lpips_folder / f"recipe_{kind}.safetensors"
        if not path.exists():
            save_file(recipe_weights(kind), path)
        return LoadLPIPS.execute(path.name).args[0]

    return load


@pytest.mark.parametrize("kind", ["alex", "squeeze", "vgg"])
def test_the_recipe_s_weights_are_the_golden_ones(golden, kind):
    data = load_file(golden("lpips/lpips_ssim.safetensors"))
    first = recipe_weights(kind)["features.0.weight"].flatten()[:8]
    assert torch.equal(first, data[f"recipe.{kind}.features.0.weight.first8"])


@pytest.mark.parametrize("kind", ["alex", "squeeze", "vgg"])
@pytest.mark.parametrize("sequence", ["seq0", "seq1"])
@pytest.mark.parametrize("chunk", [0, 1, 4])
def test_neighbours_equal_the_golden_distances(golden, recipe, kind, sequence, chunk):
    data = load_file(golden("lpips/lpips_ssim.safetensors"))
    found = recipe(kind).adjacent(data[sequence] / 255, chunk)
    torch.testing.assert_close(found, data[f"recipe.{kind}.{sequence}_adjacent"], **TOLERANCE)


@pytest.mark.parametrize("kind", ["alex", "squeeze", "vgg"])
def test_pairs_equal_the_golden_distances(golden, recipe, kind):
    """Each pair as a video of two frames: equal, noisy, blurred, shifted, negative, black against white."""
    data = load_file(golden("lpips/lpips_ssim.safetensors"))
    metric = recipe(kind)
    pairs = zip(data["pairs.a"] / 255, data["pairs.b"] / 255, strict=True)
    found = torch.cat([metric.adjacent(torch.stack([a, b])) for a, b in pairs])
    torch.testing.assert_close(found, data[f"recipe.{kind}.pairs"], **TOLERANCE)
    odd = zip(data["odd.a"], data["odd.b"], strict=True)
    found = torch.cat([metric.adjacent(torch.stack([a, b])) for a, b in odd])
    torch.testing.assert_close(found, data[f"recipe.{kind}.odd"], **TOLERANCE)


@pytest.mark.parametrize("kind", ["alex", "squeeze", "vgg"])
@pytest.mark.parametrize("chunk", [0, 1, 4])
def test_between_pictures_equals_the_golden_distances(golden, recipe, kind, chunk):
    data = load_file(golden("lpips/lpips_ssim.safetensors"))
    found = recipe(kind).between(data["pairs.a"] / 255, data["pairs.b"] / 255, chunk)
    torch.testing.assert_close(found, data[f"recipe.{kind}.pairs"], **TOLERANCE)


def test_the_stored_squeeze_backbone_finds_the_golden_breakpoints(golden, lpips_folder):
    from pack.frames.breakpoint import breakpoints, continuity
    from pack.nodes.anchors import LoadLPIPS

    save_file(load_file(golden("lpips/squeeze_random_backbone.safetensors")), lpips_folder / "squeeze.safetensors")
    metric = LoadLPIPS.execute("squeeze.safetensors").args[0]
    assert metric.name == "LPIPS (SqueezeNet 1.1)"
    data = load_file(golden("lpips/breakpoint.safetensors"))
    clips = {"A": data["clip"].clone(), "B": data["clip"].clone(), "C": data["clipC"]}
    clips["B"][31] = data["clipB_frame_n_minus_2"]
    for name, clip in clips.items():
        found = metric.adjacent(clip / 255)
        torch.testing.assert_close(found, data[f"{name}.lpips.adjacent"], **TOLERANCE)
        for margin in (0, 1, 8):
            assert breakpoints(continuity(found), 1, margin) == [int(data[f"{name}.lpips.argmin_margin{margin}"][0])]


def test_neighbours_equal_the_lpips_package_itself(recipe):
    """The oracle without stored numbers: the package's own forward, pair by pair."""
    metric = recipe("squeeze")
    frames = torch.rand(5, 40, 56, 3, generator=torch.Generator().manual_seed(9))
    images = frames.movedim(-1, 1)
    network = metric._patcher.model
    with torch.no_grad():
        expected = torch.cat(
            [network(images[n, None], images[n + 1, None], normalize=True).flatten() for n in range(4)]
        )
    torch.testing.assert_close(metric.adjacent(frames), expected, **TOLERANCE)


def test_frames_show_progress_and_the_user_can_cancel(recipe):
    import comfy.model_management as management
    import comfy.utils

    metric, frames, seen = recipe("squeeze"), torch.rand(9, 32, 32, 3), []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, **options: seen.append((value, total)))
    try:
        metric.adjacent(frames, 3)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert seen[-1] == (9, 9)
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        metric.adjacent(frames, 3)


@pytest.mark.parametrize("free", [10**4, 10**9, 10**11])
def test_the_chunk_follows_the_free_memory_and_the_load_asks_for_little(recipe, monkeypatch, free):
    """Asking for 16 frames of VGG at once would push the video model out of a small card for nothing."""
    import comfy.model_management as management

    from pack.frames import lpips_host

    monkeypatch.setattr(lpips_host, "FAST_ON_CPU", 10**12)
    metric, frames, asked, chunks = recipe("vgg"), torch.zeros(20, 480, 832, 3), [], []
    monkeypatch.setattr(management, "get_free_memory", lambda device: free)
    monkeypatch.setattr(management, "load_models_gpu", lambda models, **options: asked.append(options))
    monkeypatch.setattr(metric, "_adjacent", lambda images, chunk: chunks.append(chunk))
    metric.adjacent(frames)
    per_frame = 2500 * 480 * 832
    assert asked == [{"memory_required": per_frame, "force_full_load": True}]
    assert chunks == [max(1, min(16, int(0.7 * free / per_frame)))]


@pytest.mark.parametrize(("size", "frames_at_once"), [(128, 8), (240, 2), (720, 1)])
def test_on_a_cpu_a_chunk_is_no_larger_than_it_is_fast_at(recipe, monkeypatch, size, frames_at_once):
    metric, chunks = recipe("squeeze"), []
    monkeypatch.setattr(metric, "_adjacent", lambda images, chunk: chunks.append(chunk))
    metric.adjacent(torch.zeros(20, size, size, 3))
    assert chunks == [frames_at_once]


def test_the_network_runs_where_its_weights_are(recipe):
    """Not where the host would like them: with --novram they stay on the CPU."""
    metric = recipe("squeeze")
    metric._patcher.load_device = torch.device("meta")
    try:
        assert metric.device == torch.device("cpu")
    finally:
        metric._patcher.load_device = torch.device("cpu")


def test_every_frame_passes_the_network_once(recipe):
    metric = recipe("squeeze")
    seen = []
    handle = metric._patcher.model.net.register_forward_hook(lambda module, images, output: seen.append(len(images[0])))
    try:
        metric.adjacent(torch.rand(9, 64, 64, 3), 4)
    finally:
        handle.remove()
    assert seen == [4, 4, 1]


def test_memory_that_runs_out_halves_the_chunk(recipe, monkeypatch):
    import comfy.model_management as management

    metric = recipe("squeeze")
    frames = torch.rand(9, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    expected = metric.adjacent(frames, 1)
    tried, inner = [], metric._adjacent

    def short_of_memory(images, chunk):
        tried.append(chunk)
        if chunk > 2:
            raise management.OOM_EXCEPTION("out of memory")
        return inner(images, chunk)

    monkeypatch.setattr(metric, "_adjacent", short_of_memory)
    torch.testing.assert_close(metric.adjacent(frames, 8), expected, **TOLERANCE)
    assert tried == [8, 4, 2]


def test_pairs_show_progress_can_be_cancelled_and_halve_when_memory_runs_out(recipe, monkeypatch):
    import comfy.model_management as management
    import comfy.utils

    metric, seen, tried = recipe("squeeze"), [], []
    these, those = torch.rand(2, 9, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, **options: seen.append((value, total)))
    try:
        expected = metric.between(these, those, 1)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert seen[-1] == (9, 9)
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        metric.between(these, those)

    inner = metric._between

    def short_of_memory(left, right, chunk):
        tried.append(chunk)
        if chunk > 2:
            raise management.OOM_EXCEPTION("out of memory")
        return inner(left, right, chunk)

    monkeypatch.setattr(metric, "_between", short_of_memory)
    torch.testing.assert_close(metric.between(these, those), expected, **TOLERANCE)
    assert tried == [8, 4, 2]


def test_loading_leaves_the_global_random_state_as_it_was(lpips_folder, recipe):
    from pack.nodes.anchors import LoadLPIPS

    recipe("squeeze")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    LoadLPIPS.execute("recipe_squeeze.safetensors")
    assert torch.equal(torch.rand(3), expected)


def test_a_pth_file_is_read_with_weights_only(lpips_folder):
    from pack.nodes.anchors import LoadLPIPS

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(lpips_folder / "owned"),)

    weights = recipe_weights("squeeze")
    torch.save(weights, lpips_folder / "plain.pth")
    assert LoadLPIPS.execute("plain.pth").args[0].name == "LPIPS (SqueezeNet 1.1)"
    torch.save({**weights, "more": Payload()}, lpips_folder / "bad.pth")
    with pytest.raises(ValueError, match=r"backbone 'bad.pth' cannot be read") as error:
        LoadLPIPS.execute("bad.pth")
    assert "weights_only" not in str(error.value)
    assert "\n" not in str(error.value)
    assert not (lpips_folder / "owned").exists()


def test_broken_and_wrong_files_are_named(lpips_folder):
    from pack.nodes.anchors import LoadLPIPS

    (lpips_folder / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    with pytest.raises(
        ValueError, match=r"backbone 'cut.safetensors' cannot be read as a plain weights file: it is damaged"
    ):
        LoadLPIPS.execute("cut.safetensors")

    (lpips_folder / "page.pth").write_text("<html>not found</html>")
    (lpips_folder / "empty.pth").write_bytes(b"")
    torch.save(torch.zeros(3), lpips_folder / "tensor.pth")
    for name in ("page.pth", "empty.pth", "tensor.pth"):
        with pytest.raises(ValueError, match=rf"backbone '{name}' ") as error:
            LoadLPIPS.execute(name)
        assert "\n" not in str(error.value)
        assert "()" not in str(error.value)

    weights = recipe_weights("squeeze")
    weights["features.3.squeeze.bias"][0] = float("nan")
    save_file(weights, lpips_folder / "nan.safetensors")
    with pytest.raises(ValueError, match="'nan.safetensors' has weights that are not numbers"):
        LoadLPIPS.execute("nan.safetensors")

    save_file({"model.weight": torch.zeros(2)}, lpips_folder / "other.safetensors")
    with pytest.raises(
        ValueError, match="holds none of AlexNet, SqueezeNet 1.1, VGG16, .* it has 1 weights, of another kind. Get a"
    ):
        LoadLPIPS.execute("other.safetensors")

    weights = recipe_weights("squeeze")
    del weights["features.3.squeeze.bias"], weights["features.4.squeeze.bias"]
    save_file(weights, lpips_folder / "part.safetensors")
    with pytest.raises(
        ValueError,
        match=r"is incomplete: it lacks 2 of SqueezeNet 1.1's \d+ weights. Get squeezenet1_1-b8a52dc0.pth again",
    ):
        LoadLPIPS.execute("part.safetensors")

    weights = recipe_weights("squeeze")
    weights["features.0.weight"] = torch.zeros(96, 3, 7, 7)
    save_file(weights, lpips_folder / "shape.safetensors")
    with pytest.raises(ValueError, match="'shape.safetensors' has 1 of .* weights of another shape than SqueezeNet"):
        LoadLPIPS.execute("shape.safetensors")


def test_a_missing_file_names_the_folder_the_file_and_its_public_name(lpips_folder):
    from pack.nodes.anchors import LoadLPIPS

    assert LoadLPIPS.validate_inputs(backbone=None) is True  # linked: the value is not known yet
    assert LoadLPIPS.fingerprint_inputs(backbone=None) == ""
    message = LoadLPIPS.validate_inputs("alexnet-owt-7be5be79.pth")
    assert str(lpips_folder) in message
    assert "'alexnet-owt-7be5be79.pth' is not in" in message
    for public in ("alexnet-owt-7be5be79.pth (AlexNet)", "squeezenet1_1-b8a52dc0.pth", "vgg16-397923af.pth"):
        assert public in message
    with pytest.raises(ValueError, match="Nothing is downloaded"):
        LoadLPIPS.execute("alexnet-owt-7be5be79.pth")
    save_file(recipe_weights("squeeze"), lpips_folder / "present.safetensors")
    assert LoadLPIPS.validate_inputs("present.safetensors") is True


@pytest.mark.parametrize(("files", "default"), [([], "alexnet-owt-7be5be79.pth"), (["b.pth", "c.pth"], "b.pth")])
def test_only_files_that_are_there_are_offered(lpips_folder, monkeypatch, files, default):
    """With none the list is empty, so that the browser marks the node and shows the workflow's model link."""
    from pack.nodes import anchors

    monkeypatch.setattr(anchors, "backbone_files", lambda: files)
    backbone = anchors.LoadLPIPS.define_schema().inputs[0]
    assert (backbone.options, backbone.default) == (files, default)


def test_a_changed_file_is_loaded_again(lpips_folder):
    from pack.nodes.anchors import LoadLPIPS

    path = lpips_folder / "changing.safetensors"
    save_file(recipe_weights("squeeze"), path)
    before = LoadLPIPS.fingerprint_inputs(path.name)
    assert LoadLPIPS.fingerprint_inputs(path.name) == before
    os.utime(path, (1, 1))
    assert LoadLPIPS.fingerprint_inputs(path.name) != before


@pytest.mark.parametrize("kind", ["alex", "squeeze", "vgg"])
def test_the_smallest_size_works_and_a_smaller_one_is_named(recipe, kind):
    metric = recipe(kind)
    assert torch.isfinite(metric.adjacent(torch.rand(3, 32, 32, 3))).all()
    for measure in (metric.adjacent, lambda frames: metric.between(frames, frames)):
        with pytest.raises(ValueError, match="frames are 40x24 pixels, LPIPS needs at least 32x32"):
            measure(torch.rand(3, 24, 40, 3))
