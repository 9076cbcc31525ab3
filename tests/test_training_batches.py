"""What the demo world's models train on, and the learning rate they train with."""

from random import Random

import pytest
import torch

from pack.demo import world
from pack.frames.wan_layout import concat_mask, place_keyframes
from pack.training import world_batches


def test_a_batch_is_a_function_of_its_seed():
    first, again, other = (world_batches.clip_batch(Random(seed), 2, 9, 0.5) for seed in (1, 1, 2))
    assert first.shape == (2, 3, 9, 64, 64)
    assert first.min() >= -1 and first.max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_square_is_cut_out_of_all_frames_of_a_clip_at_one_place():
    made = world_batches.clip_batch(Random(3), 1, 33, 0.0, side=32)
    assert made.shape == (1, 3, 33, 32, 32)
    drawn = Random(3)
    clip = world.clip(drawn.choice(world.TRAIN)).frames
    drawn.randrange(1)
    top, left = drawn.randrange(33), drawn.randrange(33)
    expected = world_batches.to_signed(clip[:, top : top + 32, left : left + 32]).transpose(0, 1)
    assert torch.equal(made[0], expected)


def test_a_grey_clip_shows_its_keyframes_and_nothing_else():
    frames = world.clip(3).frames
    shown = world_batches.keyframes_on_grey(frames, [0, 12, 32])
    assert torch.equal(shown[[0, 12, 32]], frames[[0, 12, 32]])
    assert (shown[[1, 11, 13, 31]] == 0.5).all()


def test_conditions_know_the_first_frame_and_one_between_and_most_know_the_last():
    drawn = [world_batches.drawn_keyframes(Random(seed), 33) for seed in range(2000)]
    assert all(known[0] == 0 for known in drawn)
    assert sum(known[-1] == 32 for known in drawn) / 2000 == pytest.approx(0.8, abs=0.03)
    assert all(set(known) - {0, 32} for known in drawn)
    assert world_batches.drawn_keyframes(Random(0), 5)[0] == 0  # no latent frame lies between
    assert all(len(known) == len(set(known)) for known in drawn)


@pytest.mark.parametrize("frames", [[0], [0, 32], [0, 8, 32], [0, 12, 20, 32]])
def test_the_mask_is_what_the_pack_s_node_gives_the_model(frames):
    from pack.training.video_model import condition_channels

    known = torch.zeros(1, 33, dtype=torch.bool)
    known[0, frames] = True
    channels = condition_channels(torch.zeros(1, 16, 9, 8, 8), known)
    assert channels.shape == (1, 20, 9, 8, 8)
    placed = place_keyframes(frames, 33, "snap")
    assert torch.equal(channels[:, :4], 1 - concat_mask(placed, [1.0] * len(frames), 33, 8, 8))


def test_the_rate_rises_stays_and_falls_to_zero():
    from pack.training.loop import WARM_UP, rate_over

    rates = [rate_over(step, 0, 1000) for step in range(1, 1001)]
    assert rates[0] == pytest.approx(1 / WARM_UP)
    assert rates[WARM_UP] == 1
    assert rates[499] == 1
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert all(later <= earlier for earlier, later in zip(rates[WARM_UP:-1], rates[WARM_UP + 1 :], strict=True))


def test_a_task_s_batch_is_a_function_of_its_index():
    from pack.training.video_vae import VideoVAE

    task = VideoVAE()
    first, again, other = (task.batch(index, 3, 50)["clip"] for index in (7, 7, 8))
    assert torch.equal(first, again)
    assert first.shape != other.shape or not torch.equal(first, other)
