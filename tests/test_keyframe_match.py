"""match_keyframes: known drifts of every kind fall, what is no drift stays, strength, pins, ramps, report, refusals."""

import math
import re
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import avg_pool2d, pad

from pack.bench.measured import tensor_peak
from pack.demo.world import clip
from pack.frames.keyframe_match import match_keyframes
from pack.frames.keyframe_track import Keyframe, KeyframeTrack

LENGTH = 33
LAST = LENGTH - 1
SEEDS = [2_000_000, 2_000_001, 2_000_002, 2_000_003]  # one of each kind of motion
TINT = torch.tensor([0.06, -0.02, -0.05])  # 11/255 on average
DRIFTS = {
    "tint": lambda x: x + TINT,
    "darker": lambda x: x - 0.06,
    "contrast": lambda x: (x - 0.5) * 0.8 + 0.5,
    "white balance": lambda x: x * torch.tensor([1.15, 1.0, 0.85]),
}
FRAMES = torch.arange(LENGTH)
TAIL = ((FRAMES - LAST + 12) / 12).clamp(0, 1)  # grows over the last twelve frames
SHARES = {
    "all": torch.ones(LENGTH),
    "growing": TAIL,
    "all but the last": (FRAMES < LAST).float(),
    "growing, not the last": TAIL * (FRAMES < LAST),
}


def track_of(frames, places=(0, LAST), strength=1.0):
    """The track of the keyframes that these frames hold there."""
    track = KeyframeTrack(frames.shape[2], frames.shape[1], len(frames))
    for place in places:
        track = track.with_keyframe(Keyframe(place, frames[place : place + 1], strength))
    return track


def matched(video, track, **settings):
    return match_keyframes(video, track, {item.frame: item.image[0] for item in track.keyframes}, **settings)


def drifted(frames, drift, share):
    share = share[:, None, None, None]
    return (frames + share * (drift(frames) - frames)).clamp(0, 1)


def still(frames=LENGTH):
    return clip(2_000_001).frames[:1].repeat(frames, 1, 1, 1)


def error(these, those):
    """Mean absolute difference of every frame, 1/255."""
    return 255 * (these - those).abs().mean(dim=(1, 2, 3))


def tail_jump(video, keyframe):
    """Largest step of the mean colour in the last eight frames and onto the keyframe, 1/255."""
    means = torch.cat([video[-9:], keyframe[None]]).mean(dim=(1, 2))
    return 255 * float(means.diff(dim=0).abs().mean(dim=1).max())


# drifts of known size


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", SHARES)
def test_a_known_tint_falls_by_four_fifths_and_the_interior_stays(share, seed):
    right = clip(seed).frames
    wrong = drifted(right, DRIFTS["tint"], SHARES[share])
    made, _ = matched(wrong, track_of(right))
    assert tail_jump(made, right[LAST]) < 0.2 * tail_jump(wrong, right[LAST])
    for frame in (LAST - 1, LAST):
        assert error(made, right)[frame] <= 0.2 * error(wrong, right)[frame]
    assert torch.equal(made[13:-13], wrong[13:-13])


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("drift", DRIFTS)
def test_other_drifts_fall_too(drift, share):
    right = clip(SEEDS[0]).frames
    wrong = drifted(right, DRIFTS[drift], SHARES[share])
    made, _ = matched(wrong, track_of(right))
    assert error(wrong, right)[LAST - 1] > 5
    for frame in (LAST - 1, LAST):
        assert error(made, right)[frame] <= 0.2 * error(wrong, right)[frame]
    assert torch.equal(made[13:-13], wrong[13:-13])


def test_a_tint_from_left_to_right_falls():
    right = clip(SEEDS[1]).frames
    side = torch.linspace(-1, 1, 64)[:, None] * torch.tensor([0.05, 0.03, -0.04])
    wrong = (right + side).clamp(0, 1)
    made, _ = matched(wrong, track_of(right))
    for frame in (LAST - 1, LAST):
        assert error(made, right)[frame] < 0.4 * error(wrong, right)[frame]


def test_a_middle_keyframe_is_reached_from_both_sides():
    right = clip(SEEDS[0]).frames
    wrong = drifted(right, DRIFTS["tint"], SHARES["all"])
    wrong[16] = right[16]  # exact, a flash of one frame
    made, _ = matched(wrong, track_of(right, (16,)), reach=8)
    assert torch.equal(made[16], right[16])
    for frame in (15, 17):
        assert error(made, right)[frame] < 0.2 * error(wrong, right)[frame]
    assert torch.equal(made[:8], wrong[:8])
    assert torch.equal(made[25:], wrong[25:])


def test_played_backwards_it_is_the_same():
    right = clip(SEEDS[0]).frames
    wrong = drifted(right, DRIFTS["tint"], SHARES["growing, not the last"])
    track = track_of(right, (0, 20, LAST))
    forward = matched(wrong, track)[0]
    backward = matched(wrong.flip(0), track.reversed())[0]
    torch.testing.assert_close(backward.flip(0), forward)


def test_a_last_frame_that_drifts_alone_is_put_right_alone():
    right = still()
    wrong = drifted(right, DRIFTS["tint"], (FRAMES == LAST).float())
    made, report = matched(wrong, track_of(right))
    assert error(made, right)[LAST] < 0.05 * error(wrong, right)[LAST]
    assert torch.equal(made[:LAST], right[:LAST])
    assert "colours changed in 1 frame." in report
    jump = re.findall(r"largest colour step before it: ([\d.]+)/255, now ([\d.]+)/255", report)[0]
    assert float(jump[0]) == pytest.approx(11, abs=0.5)
    assert float(jump[1]) < 1


def test_keyframes_near_each_other_do_not_correct_twice():
    right = still()
    wrong = drifted(right, lambda x: x + 0.05, SHARES["all"])
    made, _ = matched(wrong, track_of(right, (10, 14, 16, 17)))
    assert float(error(made, right)[10:18].max()) < 0.05 * float(error(wrong, right)[12])


def test_a_short_flash_leaves_the_frames_before_it():
    right = clip(SEEDS[0]).frames
    wrong = drifted(right, DRIFTS["tint"], ((FRAMES > 27) & (FRAMES < LAST)).float())
    made, _ = matched(wrong, track_of(right))
    assert error(made, right)[LAST - 1] < 0.2 * error(wrong, right)[LAST - 1]
    assert float(error(made, wrong)[:24].max()) < 1


# no drift


def soft(frames):
    return avg_pool2d(pad(frames.movedim(-1, 1), (1, 1, 1, 1), mode="replicate"), 3, 1).movedim(1, -1)


def softening(frames):
    share = (FRAMES / LAST)[:, None, None, None] * (FRAMES < LAST)[:, None, None, None]
    return frames + share * (soft(frames) - frames)


def easing(frames):
    """The same way, fast at first and slow towards the last frame."""
    at = LAST * (1 - (1 - FRAMES / LAST) ** 2)
    before = at.long().clamp(max=LAST - 1)
    return torch.lerp(frames[before], frames[before + 1], (at - before)[:, None, None, None])


def noisy(frames):
    return (frames + 0.02 * torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


LIKE = {
    "exact": lambda x: x,
    "soft": soft,
    "softening": softening,
    "shifted": lambda x: torch.roll(x, 1, 2),
    "easing": easing,
    "noisy": noisy,
    "still": lambda x: x[LAST:].expand(LENGTH, -1, -1, -1),
}


@pytest.mark.parametrize("seed", [*SEEDS, 2_000_043, 2_000_044])
@pytest.mark.parametrize("kind", LIKE)
def test_what_is_no_drift_stays(kind, seed):
    frames = clip(seed).frames
    video = LIKE[kind](frames)
    made, report = matched(video, track_of(frames if kind != "still" else video))
    assert float(error(made, video).mean()) < 0.5
    if kind == "exact":
        assert made is video
        assert "colours changed in 0 frames" in report


def test_a_cut_before_the_last_frame_is_left_alone():
    right, other = clip(SEEDS[0]).frames, clip(SEEDS[1]).frames
    video = torch.cat([other[:-1], right[-1:]])
    made, _ = matched(video, track_of(right, (LAST,)))
    assert made is video


def test_a_frame_that_shows_something_else_is_left_alone():
    right, other = clip(SEEDS[0]).frames, clip(SEEDS[2]).frames
    made, report = matched(other, track_of(right, (LAST,)))
    assert made is other
    assert "It shows something else than the keyframe" in report


# strength, reach, pins


@pytest.fixture
def tinted():
    """(video, track): a still clip of 33 frames, tinted in all frames."""
    right = still()
    return drifted(right, lambda x: 0.9 * x + 0.05 + 0.5 * TINT, SHARES["all"]), track_of(right)


def test_strength_0_gives_the_very_video_and_still_measures(tinted):
    video, track = tinted
    made, report = matched(video, track, strength=0.0)
    assert made is video
    assert "Strength 0, reach 12: colours changed in 0 frames." in report
    assert "  before it: off by" in report


@pytest.mark.parametrize("strength", [0.25, 0.5])
def test_strength_is_the_share_that_is_taken_away(tinted, strength):
    video, track = tinted
    whole, part = matched(video, track)[0], matched(video, track, strength=strength)[0]
    torch.testing.assert_close(part - video, strength * (whole - video), atol=1e-6, rtol=0)
    held = matched(video, track_of(still(), strength=strength))[0]  # the keyframes' own strength does the same
    torch.testing.assert_close(held, part)


def test_the_correction_grows_towards_a_keyframe_as_half_a_cosine(tinted):
    video, track = tinted
    made, _ = matched(video, track, reach=7)
    whole = made[LAST] - video[LAST]
    for distance in range(LENGTH // 2):
        share = 0.5 + 0.5 * math.cos(math.pi * min(distance, 8) / 8)
        torch.testing.assert_close(made[LAST - distance] - video[LAST - distance], share * whole, atol=1e-6, rtol=0)
        torch.testing.assert_close(made[distance] - video[distance], share * whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("reach", [1, 4, 12, 100])
def test_frames_beyond_the_reach_are_the_same_and_the_others_change(tinted, reach):
    video, track = tinted
    made, _ = matched(video, replace(track, keyframes=track.keyframes[:1]), reach=reach)
    changed = [not torch.equal(one, other) for one, other in zip(made, video, strict=True)]
    assert changed == [frame <= reach for frame in range(LENGTH)]


def test_the_correction_does_not_flicker(tinted):
    """Its second difference in time is no larger than the ramp's."""
    video, track = tinted
    change = (matched(video, track)[0] - video).double()
    largest = float(change.abs().max())
    assert largest > 0.03
    assert float(change.diff(n=2, dim=0).abs().max()) <= largest * (math.pi / 13) ** 2 / 2 + 1e-6


def test_pinned_keyframes_are_the_pictures_and_the_rest_is_as_without(tinted):
    video, track = tinted
    made, report = matched(video, track, pin_keyframes=True)
    without, _ = matched(video, track)
    for keyframe in track.keyframes:
        assert torch.equal(made[keyframe.frame], keyframe.image[0])
    assert torch.equal(made[1:LAST], without[1:LAST])
    assert report.count(", pinned)") == 2
    assert "colours changed in 24 frames" in report


def test_pins_alone_leave_all_other_frames(tinted):
    video, track = tinted
    made, _ = matched(video, track, strength=0.0, pin_keyframes=True)
    assert torch.equal(made[1:LAST], video[1:LAST])
    assert torch.equal(made[LAST], track.last.image[0])


def test_only_keyframes_of_strength_1_are_pinned_and_those_of_0_do_not_count(tinted):
    video, _ = tinted
    track = track_of(still(), (0,), 0.0).with_keyframe(Keyframe(LAST, still(1), 0.5))
    made, report = matched(video, track, pin_keyframes=True)
    assert torch.equal(made[:20], video[:20])
    assert not torch.equal(made[LAST], track.last.image[0])
    assert not torch.equal(made[LAST], video[LAST])
    assert "frame 0" not in report
    assert "frame 32 (image, strength 0.5): off by" in report


# the report


def test_the_report_has_the_drift_in_lab_and_the_jump_before_and_after():
    """Grey frames: 0.5 is L 53.39, 0.6 is L 63.22 (CIE); a step of 0.1 is 25.5/255."""
    right = torch.full((20, 64, 64, 3), 0.5)
    right[:, :, 32:] = 0.7
    wrong = right.clone()
    wrong[:19] += 0.1
    made, report = matched(wrong, track_of(right, (19,)))
    assert "frame 19 (image): off by L +0.0, a +0.0, b +0.0 (Lab); spread 1.00, 1.00, 1.00 of the keyframe's." in report
    assert "  No drift there." in report
    off = re.search(r"before it: off by L \+([\d.]+), a ([-+][\d.]+), b ([-+][\d.]+) \(Lab\)", report)
    assert float(off[1]) == pytest.approx(9.4, abs=0.3)
    assert abs(float(off[2])) < 0.1
    assert "over 12 frames" in report
    jump = re.search(r"largest colour step before it: ([\d.]+)/255, now ([\d.]+)/255", report)
    assert float(jump[1]) == pytest.approx(25.5, abs=0.01)
    after = torch.cat([made[-9:], right[-1:]]).mean(dim=(1, 2, 3))  # one way over the whole frame
    assert float(jump[2]) == pytest.approx(255 * float(after.diff().abs().max()), abs=0.01)
    assert float(jump[2]) < 4


def test_the_ratio_is_that_to_the_median_step():
    video = torch.full((21, 16, 16, 3), 0.2) + 0.004 * torch.arange(21)[:, None, None, None]
    video[20] += 0.04
    _, report = matched(video, track_of(video, (20,)))
    assert "median colour step 1.02/255" in report
    assert "largest colour step before it: 11.22/255 (11.0 x the median)" in report


def test_the_report_speaks_of_what_was_changed_on_the_way_in():
    frames = still(5)
    assert "images: alpha dropped." in matched(torch.cat([frames, frames[..., :1]], -1), track_of(frames, (0,)))[1]


# inputs


@pytest.mark.parametrize(("frames", "places"), [(1, (0,)), (2, (0, 1)), (2, (1,)), (3, (1,)), (5, (0, 4))])
def test_the_shortest_videos(frames, places):
    right = still(frames)
    made, report = matched(right + 0.05, track_of(right, places))
    assert float(error(made, right)[list(places)].max()) < 0.5
    assert "nan" not in report


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 33), (48, 80)])
def test_odd_and_small_sizes(height, width):
    x, y = torch.arange(width) / width, torch.arange(height)[:, None] / height
    right = torch.stack([0.3 + 0.4 * x.expand(height, -1), 0.3 + 0.4 * y.expand(-1, width), 0.5 * x * y + 0.2], -1)
    right = right.expand(9, -1, -1, -1)
    made, _ = matched(right + 0.05, track_of(right, (8,)))
    assert made.shape == right.shape
    assert float(error(made, right)[8]) < 0.5


def test_grey_alpha_and_half_precision_become_rgb_float():
    right = still(5)
    grey = right.mean(dim=-1, keepdim=True)
    track = track_of(right, (4,))
    for video in (grey, torch.cat([right, grey], -1), (right + 0.05).half()):
        made, _ = matched(video, track)
        assert made.shape == right.shape
        assert made.dtype == torch.float32
    assert torch.equal(matched(grey, track_of(grey.expand(-1, -1, -1, 3), (4,)))[0], grey.expand(-1, -1, -1, 3))


def test_colours_stay_within_0_and_1():
    """A pale video with fine noise, which full contrast would take beyond."""
    right = still(9)
    pale = 0.5 * right + 0.25 + 0.4 * (torch.rand(right.shape, generator=torch.Generator().manual_seed(0)) - 0.5)
    made, _ = matched(pale, track_of(right, (8,)))
    assert float(made.min()) == 0
    assert float(made.max()) == 1


def test_the_inputs_are_left_as_they_were_and_two_runs_are_equal(tinted):
    video, track = tinted
    copies = video.clone(), track.last.image.clone()
    first, again = (matched(video, track, pin_keyframes=True) for _ in range(2))
    assert torch.equal(video, copies[0])
    assert torch.equal(track.last.image, copies[1])
    assert torch.equal(first[0], again[0])
    assert first[1] == again[1]


def test_it_takes_little_more_memory_than_the_result():
    right = torch.rand(1, 96, 96, 3, generator=torch.Generator().manual_seed(0)).repeat(40, 1, 1, 1)
    video, track = right + 0.05, track_of(right, (39,))
    matched(video, track)  # imports
    result = video.numel() * 4
    assert result <= tensor_peak(lambda: matched(video, track)) < 1.4 * result


def test_every_frame_is_followed_and_a_cancel_comes_through(tinted):
    video, track = tinted
    seen = []

    def watch(total):
        seen.append([total, 0])

        def done(frames):
            seen[-1][1] += frames

        return done

    matched(video, track, watch=watch)
    assert seen == [[33, 33], [26, 26]]

    def cancel(frames):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        matched(video, track, watch=lambda total: cancel)


def broken(value):
    video = still(7)
    video[5, 63, 63, 1] = value
    return video


@pytest.mark.parametrize(
    ("video", "settings", "message"),
    [
        (still(7), {"reach": 0}, "reach must be at least 1 frame, got 0"),
        (still(7), {"strength": 1.5}, "strength must be between 0 and 1, got 1.5"),
        (still(7), {"strength": math.nan}, "strength must be between 0 and 1, got nan"),
        (still(14), {}, "images has 14 frames, 2 videos of the 7 in Keyframes: give one, .* or set batch_size to 1"),
        (still(5), {}, "images has 5 frames, the length in Keyframes is 7: .* or set length to 5 in Keyframes"),
        (still(7)[:, :48], {}, "images is 64x48, the video in Keyframes 64x64: .* set width to 64 and height to 48 in"),
        (still(7)[0], {}, r"images must be a video \[frames, height, width, channels\], got shape \[64, 64, 3\]"),
        (still(7)[..., :2], {}, "images has 2 channels"),
        (broken(math.nan), {}, r"images has pixels that are not numbers \(NaN or infinite\) in frame 5 of 7"),
        (broken(-math.inf), {"strength": 0.0}, r"images has pixels that are not numbers .* in frame 5 of 7"),
    ],
)
def test_bad_input_is_named(video, settings, message):
    with pytest.raises(ValueError, match=message):
        matched(video, track_of(still(7), (0, 6)), **settings)


def test_a_track_without_keyframes_that_count_is_refused():
    with pytest.raises(ValueError, match="keyframes is empty: connect first_image or last_image"):
        matched(still(7), KeyframeTrack(64, 64, 7))
    with pytest.raises(ValueError, match="keyframes has only keyframes of strength 0: set one above 0 in Add Keyframe"):
        matched(still(7), track_of(still(7), (0,), 0.0))
