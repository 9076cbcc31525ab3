"""The attention of the constructed base: every frame sees the past, and the future as far as it reaches."""

import pytest
import torch
import torch.nn.functional as F

from pack.bench.reach import OVERRIDE, reach_limited

GRID = (4, 1, 2)  # frames, rows, columns


class Model:
    def __init__(self, options):
        self.model_options = options

    def clone(self):
        return Model(dict(self.model_options))


def attention(q, k, v, reach, grid=GRID):
    model = Model({"transformer_options": {"kept": 1}})
    options = reach_limited(model, reach).model_options["transformer_options"]
    assert options["kept"] == 1 and OVERRIDE not in model.model_options["transformer_options"]
    host = lambda q, k, v, heads, **given: F.scaled_dot_product_attention(q, k, v)  # noqa: E731
    return options[OVERRIDE](host, q, k, v, heads=1, transformer_options={"grid_sizes": grid})


@pytest.mark.parametrize("reach", [0, 1, 2])
def test_a_frame_does_not_see_beyond_its_reach(reach):
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, 8, 4, generator=generator)
    changed = v.clone()
    changed[:, 6:] = 9  # the last frame
    differs = (attention(q, k, v, reach) != attention(q, k, changed, reach)).any(dim=-1)[0].unflatten(0, (4, 2))
    assert differs.any(dim=1).tolist() == [frame + reach >= 3 for frame in range(4)]


def test_a_reach_over_the_whole_video_and_attention_to_text_are_the_host_s():
    generator = torch.Generator().manual_seed(1)
    q, k, v = torch.randn(3, 1, 8, 4, generator=generator)
    torch.testing.assert_close(attention(q, k, v, 3), F.scaled_dot_product_attention(q, k, v))
    text = torch.randn(2, 1, 5, 4, generator=generator)
    assert torch.equal(attention(q, *text, 0), F.scaled_dot_product_attention(q, *text))
