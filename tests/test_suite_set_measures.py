"""FID, FVD and CD-FVD are what their libraries say of the same frames, with seeded weights in the libraries' files."""

import numpy as np
import pytest
import torch
from PIL import Image

from pack.bench.suite import set_measures
from pack.bench.suite.set_measures import I3DDistance, InceptionDistance, MeasureError, VideoMAEDistance, moments

WHY = "the optional measures are not installed: pip install -r bench/requirements-measures.txt"
CLOSE = {"rel": 1e-4}


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def videos(seed: int, count: int, length: int, height: int = 30, width: int = 46):
    """Coloured waves that move: [count, N, H, W, 3] uint8."""
    draw = np.random.default_rng(seed)
    n, y, x = np.meshgrid(*(np.arange(size) for size in (length, height, width)), indexing="ij")
    waves = draw.uniform(-0.4, 0.4, (count, 3, 3, 1, 1, 1))
    phase = waves[:, :, 0] * n + waves[:, :, 1] * y + waves[:, :, 2] * x + draw.uniform(0, 6, (count, 3, 1, 1, 1))
    return np.moveaxis(127.5 + 127.5 * np.sin(phase), 1, -1).astype(np.uint8)


def seeded(network: torch.nn.Module) -> torch.nn.Module:
    """The network with weights that keep a signal's size through its depth."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d | torch.nn.Linear):
                torch.nn.init.kaiming_normal_(module.weight)
    return network


@pytest.fixture(scope="session")
def inception(tmp_path_factory):
    pytest.importorskip("torch_fidelity", reason=WHY)
    from torchvision.models import inception_v3

    file = tmp_path_factory.mktemp("inception") / "weights-inception-2015-12-05-6726825d.pth"
    torch.save(seeded(inception_v3(num_classes=1008, aux_logits=False, init_weights=False)).state_dict(), file)
    return file


@pytest.fixture(scope="session")
def i3d(tmp_path_factory):
    pytest.importorskip("cdfvd", reason=WHY)
    from cdfvd.third_party.i3d.pytorch_i3d import InceptionI3d

    file = tmp_path_factory.mktemp("i3d") / "i3d_pretrained_400.pt"
    torch.save(seeded(InceptionI3d(400, in_channels=3)).state_dict(), file)
    return file


@pytest.fixture
def videomae(tmp_path, monkeypatch):
    """The library's network with 2 blocks of width 64 in place of 40 of 1408: the real one takes 4 GB."""
    pytest.importorskip("cdfvd", reason=WHY)
    from cdfvd.third_party.VideoMAEv2 import utils
    from cdfvd.third_party.VideoMAEv2.videomaev2_finetune import VisionTransformer

    def small(pretrained, **options):
        return VisionTransformer(patch_size=14, embed_dim=64, depth=2, num_heads=4, qkv_bias=True, **options)

    monkeypatch.setattr(utils, "vit_giant_patch14_224", small)
    network = seeded(small(False, num_classes=174, all_frames=16, use_mean_pooling=True))
    file = tmp_path / "vit_g_hybrid_pt_1200e_ssv2_ft.pth"
    torch.save({"module": network.state_dict()}, file)
    return file


def distance(measure, made, truth):
    return measure.distance(map(measure.features, made), map(measure.features, truth))


@pytest.mark.slow
def test_fid_is_torch_fidelity_s_of_the_same_pictures(inception, tmp_path):
    from torch_fidelity import calculate_metrics

    made, truth = videos(0, 2, 5), videos(1, 2, 5)
    for name, some in (("made", made), ("truth", truth)):
        (tmp_path / name).mkdir()
        for n, frame in enumerate(some.reshape(-1, *some.shape[2:])):
            Image.fromarray(frame).save(tmp_path / name / f"{n:02d}.png")
    asked = {"fid": True, "cuda": False, "cache": False, "save_cpu_ram": True, "verbose": False, "batch_size": 10}
    folders = {"input1": str(tmp_path / "made"), "input2": str(tmp_path / "truth")}
    theirs = calculate_metrics(**folders, **asked, feature_extractor_weights_path=str(inception))
    ours = distance(InceptionDistance(inception, "cpu"), made, truth)
    assert ours == pytest.approx(theirs["frechet_inception_distance"], **CLOSE)
    assert ours > 1


@pytest.mark.slow
def test_fid_has_one_row_a_frame_however_many_go_in_at_once(inception, monkeypatch):
    measure, video = InceptionDistance(inception, "cpu"), videos(0, 1, 4)[0]
    together = measure.features(video)
    assert together.shape == (4, 2048) and together.dtype == np.float32
    for at_once in (2, 3):
        monkeypatch.setattr(set_measures, "FRAMES_AT_ONCE", at_once)
        np.testing.assert_allclose(measure.features(video), together, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_fvd_is_cd_fvd_s_of_the_same_videos(i3d):
    from cdfvd.fvd import cdfvd

    made, truth = videos(0, 3, 10), videos(1, 3, 10)
    theirs = cdfvd("i3d", n_real="full", n_fake="full", ckpt_path=str(i3d), device="cpu").compute_fvd(truth, made)
    measure = I3DDistance(i3d, "cpu")
    assert distance(measure, made, truth) == pytest.approx(theirs, **CLOSE)
    assert theirs > 1e-3
    assert measure.distance([measure.features(made[0])], [np.zeros((5, 400), np.float32)]) is None


def test_cd_fvd_is_the_library_s_of_16_frames_from_the_first_to_the_last(videomae):
    from cdfvd.fvd import cdfvd

    made, truth = videos(0, 4, 31), videos(1, 4, 31)
    library = cdfvd("videomae", n_real="full", n_fake="full", ckpt_path=str(videomae), device="cpu")
    theirs = library.compute_fvd(truth[:, ::2], made[:, ::2])
    assert distance(VideoMAEDistance(videomae, "cpu"), made, truth) == pytest.approx(theirs, **CLOSE)
    assert theirs > 1e-3


@pytest.mark.parametrize(
    ("measure", "length", "message"),
    [(I3DDistance, 8, "FVD needs videos of 9 frames or more"), (VideoMAEDistance, 15, "CD-FVD needs videos of 16")],
)
def test_a_video_that_is_too_short_is_said_to_be(measure, length, message):
    with pytest.raises(MeasureError, match=message):
        measure.frames(measure, videos(0, 1, length)[0])


@pytest.mark.parametrize("length", [9, 10, 25])
def test_i3d_sees_every_frame_of_a_video_that_is_long_enough(length):
    video = videos(0, 1, length)[0]
    np.testing.assert_array_equal(I3DDistance.frames(I3DDistance, video), video)


@pytest.mark.slow
def test_i3d_takes_the_shortest_video_that_is_long_enough(i3d):
    assert I3DDistance(i3d, "cpu").features(videos(0, 1, 9)[0]).shape == (1, 400)


def test_mean_and_covariance_are_those_of_all_rows_at_once():
    rows = np.random.default_rng(0).normal(3, 2, (11, 4)).astype(np.float32)
    mean, covariance = moments(iter(np.split(rows, [1, 4, 9])))
    exact = rows.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(exact, rowvar=False), rtol=1e-10)


@pytest.mark.parametrize("features", [[], [np.ones((1, 3), np.float32)]])
def test_fewer_than_two_rows_have_no_distance(features):
    pytest.importorskip("torch_fidelity", reason=WHY)
    two = [np.ones((2, 3), np.float32)]
    assert moments(features) is None
    assert InceptionDistance.distance(None, features, two) is None
    assert InceptionDistance.distance(None, two, features) is None


@pytest.mark.parametrize("measure", [InceptionDistance, I3DDistance, VideoMAEDistance])
@pytest.mark.parametrize("file", ["missing.pth", "words.pth", "other.pth", "code.pth"])
def test_a_file_that_is_not_the_network_is_named(measure, file, tmp_path):
    pytest.importorskip("torch_fidelity", reason=WHY)
    pytest.importorskip("cdfvd", reason=WHY)
    if measure is VideoMAEDistance and file != "missing.pth":
        pytest.skip("the library builds its 4 GB network before it reads the file")
    (tmp_path / "words.pth").write_text("not weights")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    torch.save({"a": Opens(tmp_path / "opened")}, tmp_path / "code.pth")
    with pytest.raises(MeasureError, match=f"{measure.measure.title} is left out: .*{file} cannot be used") as caught:
        measure(tmp_path / file, "cpu")
    assert "\n" not in str(caught.value)
    assert (file == "missing.pth") == ("there is no such file" in str(caught.value))
    assert not (tmp_path / "opened").exists(), "a weights file ran code"


class Opens:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")
