"""The demo world: pure, seeded, and hard where it should be."""

import pytest
import torch

from pack.demo import world
from pack.demo.world_nodes.encoders import TEXT_LENGTH, WORDS, word_tokens


def psnr(made, true, where=None):
    error = (made - true).square().mean(dim=-1)
    return float(-10 * (error if where is None else error[where]).mean().log10())


def cross_fade(clip):
    share = torch.linspace(0, 1, len(clip.frames))[:, None, None, None]
    return (1 - share) * clip.frames[:1] + share * clip.frames[-1:]


def test_a_clip_is_33_frames_of_64_pixels_in_range():
    clip = world.clip(5)
    assert clip.frames.shape == (33, 64, 64, 3)
    assert clip.frames.dtype == torch.float32
    assert clip.frames.min() >= 0 and clip.frames.max() <= 1
    assert clip.moving.shape == (33, 64, 64)
    assert clip.moving.dtype == torch.bool


def test_the_same_seed_gives_the_same_clip_whatever_was_drawn_before():
    first = world.clip(1234)
    torch.manual_seed(99)
    world.clip(7)
    again = world.clip(1234)
    assert torch.equal(first.frames, again.frames)
    assert first.caption == again.caption
    assert not torch.equal(first.frames, world.clip(1238).frames)


def test_drawing_a_clip_leaves_the_global_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    world.clip(11)
    assert torch.equal(torch.rand(4), expected)


def test_no_seed_is_in_two_splits_and_256_are_held_out_for_tests():
    splits = [set(world.TRAIN), set(world.VALIDATION), set(world.TEST)]
    assert len(set.union(*splits)) == sum(map(len, splits))
    assert len(world.TEST) == 256


@pytest.mark.parametrize("kind", world.KINDS)
def test_every_kind_is_a_quarter_of_the_test_clips(kind):
    seeds = list(world.seeds(world.TEST, kind))
    assert len(seeds) == 64
    assert world.clip(seeds[3]).kind == kind


def test_a_cross_fade_is_plainly_bad_where_something_moves_and_good_where_nothing_does():
    found = {kind: [] for kind in world.KINDS}
    for seed in world.VALIDATION[:64]:
        clip = world.clip(seed)
        found[clip.kind].append(psnr(cross_fade(clip)[1:-1], clip.frames[1:-1], clip.moving[1:-1]))
    mean = {kind: sum(values) / len(values) for kind, values in found.items()}
    assert mean["large motion"] < 18
    assert mean["linear motion"] < 19
    assert mean["occlusion"] < 20
    assert mean["near-static"] > 28


def test_a_shape_behind_a_pillar_is_seen_at_both_ends_and_hidden_between():
    for seed in list(world.seeds(world.VALIDATION, "occlusion"))[:8]:
        clip = world.clip(seed)
        without = clip.frames.median(dim=0).values  # what stays in most frames: ground and pillar
        apart = (clip.frames - without).abs().amax(dim=-1) > 0.15
        seen = [int((apart[n] & clip.moving[n]).sum()) for n in (0, 16, 32)]
        assert seen[1] < 0.35 * min(seen[0], seen[2]), (seed, seen)


def test_the_moving_region_holds_the_shape_now_and_its_places_at_both_ends():
    for seed in list(world.seeds(world.VALIDATION, "large motion"))[:8]:
        clip = world.clip(seed)
        ends = clip.moving[0] & clip.moving[-1]
        assert torch.equal(clip.moving[0], clip.moving[-1])  # the shape at one end, its ghost at the other
        assert (clip.moving & ends).sum() == len(clip.moving) * ends.sum()
        ghosts = (cross_fade(clip) - clip.frames).square().mean(dim=-1)[16]
        assert ghosts[ends].mean() > 3 * ghosts[~clip.moving[16]].mean()


@pytest.mark.parametrize("length", [2, 14, 25, 65])
def test_another_length_shows_the_same_motion_in_other_steps(length):
    whole, other = world.clip(21), world.clip(21, length)
    assert len(other.frames) == length
    torch.testing.assert_close(other.frames[0], whole.frames[0])
    torch.testing.assert_close(other.frames[-1], whole.frames[-1], atol=1e-4, rtol=0)


def test_one_frame_is_no_clip():
    with pytest.raises(ValueError, match="length must be at least 2 frames, got 1"):
        world.clip(0, 1)


def test_captions_use_the_known_words_and_fit():
    longest = 0
    for seed in world.TRAIN[:400]:
        caption = world.clip(seed, 2).caption
        assert set(caption.split()) <= set(WORDS)
        longest = max(longest, len(caption.split()))
        word_tokens(caption)
    assert longest <= TEXT_LENGTH


def test_a_caption_told_backwards_twice_is_the_caption():
    caption = world.clip(0, 2).caption
    backwards = world.reversed_caption(caption)
    assert backwards != caption
    assert world.reversed_caption(backwards) == caption
