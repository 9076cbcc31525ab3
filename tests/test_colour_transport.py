"""colour_map: the paper's formula, what it takes over, known drifts, what it does not see."""

import math

import pytest
import torch
from scipy.linalg import sqrtm

from pack.frames.colour_transport import FLAT, colour_map, colour_values

TINT = torch.tensor([0.06, -0.02, -0.05])


def colours(seed=0, height=12, width=16):
    """A picture of correlated colours away from black and white."""
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.rand(height * width, 3, generator=generator) @ torch.tensor(
        [[0.3, 0.2, 0.0], [0.0, 0.3, 0.1], [0.1, 0.0, 0.3]]
    )
    return (mixed + 0.25).T.reshape(3, height, width)


def mapped(these, those):
    """The map between two pictures' colours, its shift and its size."""
    return colour_map(*colour_values(torch.stack([these, those])))


def test_the_map_and_its_size_are_the_paper_s():
    these, those = colours(1).double(), (0.7 * colours(2) + 0.1).double()
    matrix, shift, size = mapped(these, those)
    A, B = ((torch.cov(x.flatten(1), correction=0) + FLAT**2 * torch.eye(3)).numpy() for x in (these, those))
    root = sqrtm(A)
    inverse = torch.linalg.inv(torch.tensor(root)).numpy()
    expected = inverse @ sqrtm(root @ B @ root) @ inverse
    means = those.mean(dim=(1, 2)), these.mean(dim=(1, 2))
    torch.testing.assert_close(matrix, torch.tensor(expected).double())
    torch.testing.assert_close(shift, means[0] - torch.tensor(expected).double() @ means[1])
    distance = ((means[0] - means[1]) ** 2).sum() + (A + B - 2 * sqrtm(root @ B @ root)).trace()
    assert float(size) == pytest.approx(math.sqrt(float(distance) / 3))


def test_the_map_takes_mean_and_covariance_over():
    these, those = colours(1).double(), (0.7 * colours(2) + 0.1).double()
    matrix, shift, _ = mapped(these, those)
    made = (matrix @ these.flatten(1) + shift[:, None]).reshape(these.shape)
    torch.testing.assert_close(made.mean(dim=(1, 2)), those.mean(dim=(1, 2)))
    torch.testing.assert_close(torch.cov(made.flatten(1)), torch.cov(those.flatten(1)), atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    "known",
    [
        lambda x: x + TINT[:, None, None],
        lambda x: x * torch.tensor([1.15, 1.0, 0.9])[:, None, None],
        lambda x: (x - 0.5) * 0.8 + 0.5,
        lambda x: x + 0.3 * (x.mean(dim=0) - x),
    ],
    ids=["tint", "white balance", "contrast", "saturation"],
)
def test_a_known_drift_is_undone(known):
    """Each is a symmetric matrix and a shift, which the map finds again, but for what FLAT adds to it."""
    right = 0.25 + 0.5 * torch.rand(3, 12, 16, generator=torch.Generator().manual_seed(3))
    wrong = known(right)
    matrix, shift, size = mapped(wrong, right)
    made = torch.einsum("ij,jhw->ihw", matrix.float(), wrong) + shift.float()[:, None, None]
    assert float((made - right).abs().mean()) < 0.02 * float((wrong - right).abs().mean())
    assert float(size) == pytest.approx(float((wrong - right).square().mean().sqrt()), rel=0.02)


def test_places_do_not_matter():
    these = colours(4)
    elsewhere = these.flatten(1)[:, torch.randperm(192, generator=torch.Generator().manual_seed(0))].reshape(3, 12, 16)
    matrix, _, size = mapped(these, elsewhere)
    assert size < 1e-6
    torch.testing.assert_close(matrix, torch.eye(3, dtype=torch.float64), atol=1e-6, rtol=0)


def test_frames_of_one_colour_have_a_map():
    grey, other = torch.full((3, 4, 4), 0.5), torch.full((3, 4, 4), 0.7)
    matrix, _, size = mapped(grey, other)
    torch.testing.assert_close(matrix, torch.eye(3, dtype=torch.float64))
    assert float(size) == pytest.approx(0.2)
