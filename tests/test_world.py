"""The demo world: pure, seeded, and hard where it should be."""

from itertools import islice

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


def test_any_24_seeds_in_a_row_hold_every_kind_at_every_pace():
    clips = [world.clip(seed, 2) for seed in world.TEST[:24]]
    assert {(clip.kind, clip.pace) for clip in clips} == {(kind, pace) for kind in world.KINDS for pace in world.PACES}


@pytest.mark.parametrize("pace", world.PACES)
def test_every_pace_begins_at_the_start_and_ends_at_the_end(pace):
    way = world.paced(torch.linspace(0, 1, 101, dtype=torch.float64), pace)
    torch.testing.assert_close(way[[0, -1]], torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert bool((way.diff() >= 0).all()) == (pace != "overshooting")


def test_the_paces_are_what_their_names_say():
    moment = torch.linspace(0, 1, 101, dtype=torch.float64)
    way = {pace: world.paced(moment, pace) for pace in world.PACES}
    assert torch.equal(way["evenly"], moment)
    torch.testing.assert_close(way["easing"], 1 - way["easing"].flip(0))
    torch.testing.assert_close(way["late"], 1 - way["early"].flip(0))
    assert way["early"][50] > 0.8
    assert (way["halting"][35:66] - 0.5).abs().max() < 1e-12  # still for three tenths of the time
    assert way["overshooting"].max() == pytest.approx(1.1, abs=0.01)
    with pytest.raises(ValueError, match="pace must be one of evenly, easing, .*, got 'slow'"):
        world.paced(moment, "slow")


def test_a_pace_changes_when_and_not_where():
    """A late clip shows at half its time what it would show evenly at a sixth of its way."""
    clip = world.clip(12, 33)
    assert clip.pace == "late"
    steps = clip.frames.diff(dim=0).abs().mean(dim=(1, 2, 3))
    assert steps[24:].mean() > 3 * steps[:8].mean()


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


def half_way(clip):
    """The frame nearest to the middle of the clip's motion."""
    way = world.paced(torch.linspace(0, 1, len(clip.frames)), clip.pace)
    return int((way - 0.5).abs().argmin())


def test_a_shape_behind_a_pillar_is_seen_at_both_ends_and_hidden_between():
    clips = (world.clip(seed) for seed in world.seeds(world.VALIDATION, "occlusion"))
    for clip in islice((clip for clip in clips if clip.pace == "evenly"), 8):  # else it rests where the median finds it
        without = clip.frames.median(dim=0).values  # what stays in most frames: ground and pillar
        apart = (clip.frames - without).abs().amax(dim=-1) > 0.15
        seen = [int((apart[n] & clip.moving[n]).sum()) for n in (0, 16, 32)]
        assert seen[1] < 0.35 * min(seen[0], seen[2]), (clip.seed, seen)


def test_the_moving_region_holds_the_shape_now_and_its_places_at_both_ends():
    for seed in list(world.seeds(world.VALIDATION, "large motion"))[:8]:
        clip = world.clip(seed)
        ends = clip.moving[0] & clip.moving[-1]
        assert torch.equal(clip.moving[0], clip.moving[-1])  # the shape at one end, its ghost at the other
        assert (clip.moving & ends).sum() == len(clip.moving) * ends.sum()
        middle = half_way(clip)
        half = (clip.frames[0] + clip.frames[-1]) / 2
        ghosts = (half - clip.frames[middle]).square().mean(dim=-1)
        assert ghosts[ends].mean() > 3 * ghosts[~clip.moving[middle]].mean()


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


def test_a_caption_names_the_pace_and_told_backwards_the_pace_backwards():
    for seed in world.TEST[:24]:
        clip = world.clip(seed, 2)
        assert clip.caption.startswith(f"{clip.kind} {clip.pace} :")
    assert world.reversed_caption("late : early overshooting evenly") == "early : late recoiling evenly"
    assert world.reversed_caption("near-static late: a bar, up.") == "near-static early: a bar, down."


@pytest.mark.parametrize("seed", world.TEST[:24])
def test_a_caption_told_backwards_twice_is_the_caption(seed):
    caption = world.clip(seed, 2).caption
    backwards = world.reversed_caption(caption)
    assert set(backwards.split()) <= set(WORDS)
    assert backwards != caption
    assert world.reversed_caption(backwards) == caption
