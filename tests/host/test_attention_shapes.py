"""Keyframe Attention and Temporal RoPE: context windows, odd and short videos, number formats, other models."""

from types import SimpleNamespace

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack
from pack.patches.temporal_rope import MODES, frame_scales, rescaled_positions

KAB = {"blocks": "0-1"}
EARLY = torch.tensor([0.95])  # a noise level inside the window


def window_numbers(window):
    """The whole video's frames of a host's context window; newer hosts put one frame ahead."""
    ahead = getattr(window, "causal_anchor_index", None)
    return [*([] if ahead is None else [ahead]), *window.index_list]


@pytest.fixture
def windowed(host):
    """A model with context windows of 5 latent frames, two of them shared."""

    def make(model):
        node = host.NODE_CLASS_MAPPINGS["WanContextWindowsManual"]
        return node.execute(model, 17, 8, "standard_static", 1, False, "pyramid", False).args[0]

    return make


@pytest.fixture
def with_tables(host):
    """A clone of a model and the list of (table of rotations, options) of every call of its first block, or another."""

    def make(model, block=("double_block", 0)):
        tables = []

        def keep(args, extra):
            tables.append((args["pe"], dict(args["transformer_options"])))
            return extra["original_block"](args)

        clone = model.clone()
        clone.set_model_patch_replace(keep, "dit", *block)
        return clone, tables

    return make


def scales_in(table, frames, before=0):
    """What a Wan table's temporal rotations are scaled with, per frame: the length of a row of a 2 x 2 matrix."""
    lengths = table[0, before:, 0, :4, 0].norm(dim=-1)  # [L, pairs]
    torch.testing.assert_close(lengths, lengths[:, :1].expand(-1, 4))
    per_frame = lengths[:, 0].unflatten(0, (frames, -1))
    torch.testing.assert_close(per_frame, per_frame[:, :1].expand_as(per_frame))
    return per_frame[:, 0].double()


def test_a_window_s_scales_are_those_of_its_frames_in_the_whole_video(
    load_wan, conditioned, sampled, with_attention, windowed, with_tables
):
    model, tables = with_tables(windowed(load_wan("t2v")))
    plain = sampled(model, *conditioned("t2v"), shape=(1, 16, 9, 4, 6), steps=2)
    tables.clear()
    model = with_attention(model, None, {"edge_scale": 1.3, "mid_scale": 0.7, "smooth_radius": 1})
    ours = sampled(model, *conditioned("t2v"), shape=(1, 16, 9, 4, 6), steps=2)
    assert torch.isfinite(ours).all()
    assert not torch.allclose(ours, plain, atol=1e-3)
    whole = frame_scales(9, 1.3, 0.7, radius=1)
    seen = set()
    for table, options in tables:
        numbers = window_numbers(options["context_window"])
        torch.testing.assert_close(scales_in(table, len(numbers)), whole[numbers], atol=1e-6, rtol=0)
        seen.update(numbers)
    assert seen == set(range(9))
    assert len({tuple(options["context_window"].index_list) for _, options in tables}) > 1


@pytest.mark.parametrize("kind", ["flf2v", "t2v"])
def test_a_window_s_anchors_are_its_ends_and_the_keyframes_in_it(
    load_wan, conditioned, sampled, with_attention, windowed, watched, pictures, kind
):
    track = KeyframeTrack(48, 32, 33).with_keyframe(Keyframe(16, pictures(1, 48, 32)))  # latent frame 4 of 9
    model, calls = watched(windowed(load_wan(kind)))
    model = with_attention(model, {**KAB, "keyframes": track, "weights_by_position": True}, {})
    ours = sampled(model, *conditioned(kind, frames=9), shape=(1, 16, 9, 4, 6))
    assert torch.isfinite(ours).all()
    biased = [call for call in calls if call.records]
    assert len(calls) % 6 == 0
    assert len(biased) == len(calls) // 6 * 2  # all windows of steps 1 and 2
    for call in biased:
        numbers = window_numbers(call.transformer_options["context_window"])
        inner = [numbers.index(4)] if 4 in numbers else []
        assert call.records[0].before.shape[1] == len(numbers)
        assert {tuple(record.anchors) for record in call.records} == {tuple(sorted({0, len(numbers) - 1, *inner}))}


def test_a_window_s_weights_by_position_are_those_of_the_whole_video(
    load_wan, wan_inputs, with_attention, model_call, with_attentions
):
    """The first picture alone: frames 4 to 8 of 9 lie at t = 0.5 to 1, so they get 1 to 0 of it."""
    window = SimpleNamespace(index_list=[4, 5, 6, 7, 8], total_frames=9)
    found = []
    for by_position in (False, True):
        settings = {**KAB, "end_percent": 0.0, "last_weight": 0.0, "weights_by_position": by_position}
        model, seen = with_attentions(with_attention(load_wan("flf2v"), settings))
        model_call(model, sigma=EARLY, context_window=window, **wan_inputs("flf2v"))
        found.append(seen[1][3].unflatten(1, (5, 6)))
    weights = torch.linspace(1, 0, 5)[:, None, None]
    torch.testing.assert_close(found[1], found[0] * weights, atol=1e-6, rtol=0)


def call_of(x, **options):
    from pack.patches.video_model_host import Call

    network = SimpleNamespace(patch_size=(1, 2, 2))
    return Call(SimpleNamespace(diffusion_model=network), x, options, {}, None)


@pytest.mark.parametrize(
    ("window", "frames", "expected"),
    [
        (SimpleNamespace(index_list=[2, 3, 4], total_frames=9), 3, [2, 3, 4]),
        (SimpleNamespace(index_list=[2, 3, 4], total_frames=9, causal_anchor_index=1), 4, [1, 2, 3, 4]),
        (SimpleNamespace(index_list=[2, 3, 4], total_frames=9, causal_anchor_index=0), 4, [0, 2, 3, 4]),
        (SimpleNamespace(index_list=[7, 8, 0], total_frames=9, causal_anchor_index=None), 3, [7, 8, 0]),
    ],
)
def test_the_grid_of_a_context_window(host, window, frames, expected):
    from pack.patches.video_model_host import call_grid

    grid = call_grid(call_of(torch.zeros(1, 16, frames, 5, 7), context_window=window))
    assert (grid.numbers, grid.total, grid.frames) == (expected, 9, frames)
    assert (grid.tokens, grid.before, grid.length) == (3 * 4, 0, 12 * frames)


def test_a_window_that_does_not_name_the_call_s_frames_is_refused(host):
    from pack.patches.video_model_host import call_grid

    window = SimpleNamespace(index_list=[2, 3, 4], total_frames=9)
    with pytest.raises(RuntimeError, match="window names 3 frames, the call has 4: this ComfyUI passes"):
        call_grid(call_of(torch.zeros(1, 16, 4, 4, 6), context_window=window))


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
@pytest.mark.parametrize("batch", [1, 2])
def test_odd_sizes_short_videos_and_batches(load_wan, conditioned, sampled, with_attention, watched, frames, batch):
    model, calls = watched(load_wan("flf2v"))
    conditioning = conditioned("flf2v", frames=frames, height=5, width=7)
    shape = (batch, 16, frames, 5, 7)
    ours = sampled(with_attention(model, {**KAB, "weights_by_position": True}, {}), *conditioning, shape=shape)
    assert ours.shape == shape
    assert torch.isfinite(ours).all()
    expected = [0, 6, 6, 0, 0, 0] if frames > 2 else [0] * 6  # two frames are two anchors
    assert [len(call.records) for call in calls] == expected
    assert all(record.before.shape == (batch, frames, record.before.shape[2]) for record in calls[1].records)
    isolated = sampled(with_attention(model, {**KAB, "end_percent": 0.0}), *conditioning, shape=shape)
    assert not torch.allclose(ours, isolated, atol=1e-4)


def test_one_frame_has_no_time(load_wan, wan_inputs, with_attention, model_call):
    model, inputs = load_wan("t2v"), wan_inputs("t2v", frames=1, height=5, width=7)
    plain = model_call(model, sigma=EARLY, **inputs)
    assert torch.equal(model_call(with_attention(model, KAB, {}), sigma=EARLY, **inputs), plain)


def test_every_row_of_a_batch_is_led_by_its_own_anchors(load_wan, wan_inputs, with_attention, model_call):
    model = with_attention(load_wan("flf2v"), KAB, {})
    inputs = wan_inputs("flf2v", rows=2, height=5, width=7)
    both = model_call(model, sigma=EARLY.repeat(2), **inputs)
    rows = [{name: value[row : row + 1] for name, value in inputs.items()} for row in range(2)]
    expected = torch.cat([model_call(model, sigma=EARLY, **row) for row in rows])
    torch.testing.assert_close(both, expected, atol=1e-4, rtol=0)
    twice = {name: value[:1].repeat(2, *[1] * (value.ndim - 1)) for name, value in inputs.items()}
    found = model_call(model, sigma=EARLY.repeat(2), **twice)
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)


def test_bf16_stays_near_fp32(host, load_wan, wan_inputs, with_attention, model_call, watched):
    """As near as the stock model stays; without the bias it would be further away."""
    node, inputs = host.NODE_CLASS_MAPPINGS["ModelComputeDtype"](), wan_inputs("flf2v")
    watching, calls = watched(load_wan("flf2v"))
    strong = {**KAB, "strength": 4.0, "beta_end": 1.0, "beta_mid": 1.0}
    models = [load_wan("flf2v"), with_attention(watching, strong, {})]
    full = [model_call(model, sigma=EARLY, **inputs) for model in models]
    half = [model_call(node.patch(model, "bf16")[0], sigma=EARLY, **inputs) for model in models]
    unbiased = model_call(with_attention(models[0], {**KAB, "end_percent": 0.0}, {}), sigma=EARLY, **inputs)
    assert len(calls[0].records) == len(calls[1].records) == 6
    stock, ours = ((low - high).norm() / high.norm() for low, high in zip(half, full, strict=True))
    assert 1e-3 < stock < 0.05
    assert ours < 2 * stock
    assert (half[1] - full[1]).norm() < 0.3 * (unbiased - full[1]).norm()


def test_fp8_weights_are_the_same_as_their_values_in_fp32(
    host, load_wan, wan_inputs, with_attention, model_call, models_folder
):
    import json

    from safetensors.torch import save_file

    load_wan("flf2v")  # writes the file
    load = host.NODE_CLASS_MAPPINGS["UNETLoader"]().load_unet
    rounded = load("flf2v.safetensors", "fp8_e4m3fn")[0]
    state = rounded.model.diffusion_model.state_dict()
    assert any(value.dtype == torch.float8_e4m3fn for value in state.values())
    config = {"transformer": {"num_heads": 2, "text_dim": 16, "freq_dim": 16}}
    values = {key: value.float().contiguous() for key, value in state.items()}
    path = models_folder / "diffusion_models" / "flf2v_rounded.safetensors"
    save_file(values, path, {"config": json.dumps(config)})
    full, inputs = load(path.name, "default")[0], wan_inputs("flf2v")
    ours = model_call(with_attention(rounded, KAB, {}), sigma=EARLY, **inputs)
    expected = model_call(with_attention(full, KAB, {}), sigma=EARLY, **inputs)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(ours, model_call(rounded, sigma=EARLY, **inputs), atol=1e-3)


@pytest.mark.parametrize("kernel", ["attention_split", "attention_sub_quad", "attention_pytorch"])
def test_the_host_s_kernels_agree(host, load_wan, wan_inputs, with_attention, model_call, monkeypatch, kernel):
    """A host picks its kernel at the start, so it is exchanged here as its start does."""
    import comfy.ldm.modules.attention as attention
    import comfy.ldm.wan.model

    used, inputs = [], wan_inputs("flf2v")
    chosen = getattr(attention, kernel)

    def count(*args, **kwargs):
        used.append(kernel)
        return chosen(*args, **kwargs)

    model = with_attention(load_wan("flf2v"), {**KAB, "blocks": "1"}, {})
    monkeypatch.setattr(comfy.ldm.wan.model, "optimized_attention", attention.attention_basic)
    expected = model_call(model, sigma=EARLY, **inputs)
    monkeypatch.setattr(comfy.ldm.wan.model, "optimized_attention", count)
    torch.testing.assert_close(model_call(model, sigma=EARLY, **inputs), expected, atol=1e-4, rtol=0)
    assert used == [kernel] * 6


@pytest.fixture
def referenced(prompts):
    """Positive and negative with a reference picture, as the host's ReferenceLatent node gives it."""
    import node_helpers

    latent = torch.randn(1, 16, 1, 4, 6, generator=torch.Generator().manual_seed(6))
    values = {"reference_latents": [latent]}
    return [node_helpers.conditioning_set_values(prompt, values) for prompt in (prompts.positive, prompts.negative)]


def test_a_reference_picture_is_no_frame(
    load_wan, referenced, sampled, with_attention, watched, with_tables, with_attentions
):
    watching, calls = watched(load_wan("t2v_ref"))
    model, tables = with_tables(watching)
    sampled(model, *referenced, steps=2)
    stock = tables[0][0]
    assert stock.shape[1] == 36  # 5 frames and the reference, 6 tokens each
    tables.clear()
    calls.clear()
    model, seen = with_attentions(with_attention(model, KAB, {}))
    sampled(model, *referenced)
    table = tables[0][0]
    assert torch.equal(table[:, :6], stock[:, :6])
    torch.testing.assert_close(scales_in(table, 5, before=6), frame_scales(5, 1.06, 0.94), atol=1e-6, rtol=0)
    assert [len(call.records) for call in calls] == [0, 2, 2, 0, 0, 0]
    record = calls[1].records[0]
    assert record.before.shape == (1, 5, 8)
    assert record.anchors == [0, 4]
    q, k, v, result = seen[5]  # step 1, first block, the prompt
    expected = torch.nn.functional.scaled_dot_product_attention(
        *(item.unflatten(-1, (2, 24)).transpose(1, 2) for item in (q, k, v))
    )
    moved = (result - expected.transpose(1, 2).flatten(2)).abs().amax(2)[1].unflatten(0, (6, 6)).amax(1)
    torch.testing.assert_close(moved[[0, 1, 5]], torch.zeros(3), atol=1e-5, rtol=0)  # the reference and the anchors
    assert (moved[[2, 3, 4]] > 1e-4).all()


def test_a_reference_model_without_a_reference_is_a_plain_one(
    load_wan, wan_inputs, with_attention, model_call, watched
):
    model, calls = watched(load_wan("t2v_ref"))
    model_call(with_attention(model, KAB, {}), sigma=EARLY, **wan_inputs("t2v"))
    assert calls[0].records[0].before.shape == (1, 5, 8)


@pytest.fixture
def hunyuan_prompts(prompts):
    import node_helpers

    values = {"pooled_output": torch.randn(1, 768, generator=torch.Generator().manual_seed(8))}
    return [node_helpers.conditioning_set_values(prompt, values) for prompt in (prompts.positive, prompts.negative)]


@pytest.mark.parametrize("mode", MODES)
def test_temporal_rope_on_hunyuanvideo(hunyuan, hunyuan_prompts, sampled, with_attention, mode):
    assert type(hunyuan.model).__name__ == "HunyuanVideo"
    stock = sampled(hunyuan, *hunyuan_prompts, steps=2)
    ours = sampled(with_attention(hunyuan, None, {"mode": mode}), *hunyuan_prompts, steps=2)
    assert torch.isfinite(ours).all()
    assert not torch.allclose(ours, stock, atol=1e-4)
    off = {"mode": mode, "edge_scale": 1.0, "mid_scale": 1.0}
    assert torch.equal(sampled(with_attention(hunyuan, None, off), *hunyuan_prompts, steps=2), stock)
    assert with_attention(hunyuan, None, {"mode": mode, "strength": 0.0}) is hunyuan
    assert torch.equal(sampled(hunyuan, *hunyuan_prompts, steps=2), stock)


@pytest.mark.parametrize("number", [0, 1])
def test_hunyuanvideo_s_double_and_single_blocks_are_both_changed_and_the_prompt_s_rotations_stay(
    hunyuan, hunyuan_prompts, sampled, with_attention, with_tables, number
):
    block = [("double_block", 0), ("single_block", 0)][number]
    model, tables = with_tables(hunyuan, block)
    sampled(model, *hunyuan_prompts, steps=1)
    sampled(with_attention(model, None, {"mode": "warp"}), *hunyuan_prompts, steps=1)
    sampled(with_attention(model, None, {"blocks": str(1 - number)}), *hunyuan_prompts, steps=1)
    (stock, _), (ours, _), (other, _) = tables
    assert torch.equal(other, stock)  # the other block alone
    assert torch.equal(ours[:, :, :8], stock[:, :, :8])
    places = torch.zeros(5, 2, 3, 3)  # frame, row, column -> time, y, x
    places[..., 0] = rescaled_positions(frame_scales(5, 1.06, 0.94), "warp")[:, None, None]
    places[..., 1], places[..., 2] = torch.arange(2)[:, None], torch.arange(3)
    expected = hunyuan.model.diffusion_model.pe_embedder(places.reshape(1, 30, 3))
    torch.testing.assert_close(ours[:1, :, 8:], expected, atol=1e-5, rtol=0)
