"""best_take: its numbers against naive ones, the rule's promises, still takes, the plot, the report, and refusals."""

import math
from itertools import pairwise

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack
from pack.frames.take_plot import BEST, CHART, KEY, OTHERS
from pack.frames.take_ranking import (
    TAKES,
    apart_from_fade,
    best_take,
    least_step,
    step_sizes,
    tail_steps,
    take_numbers,
)

LENGTH = 33


class Apart:
    """A metric that a reader can predict: mean absolute difference."""

    name = "difference"

    def __init__(self):
        self.seen = 0

    def between(self, these, those):
        self.seen += len(these)
        return (these - those).abs().mean(dim=(1, 2, 3))


def ramp(length: int = LENGTH) -> torch.Tensor:
    """Even steps from black to half grey; the smallest step there is between the keyframes."""
    return torch.linspace(0, 0.5, length)[:, None, None, None].repeat(1, 8, 12, 3)


def moving(length: int = LENGTH) -> torch.Tensor:
    """The ramp with a bar that runs through it: larger, still even steps. The bar is outside at both ends."""
    frames = ramp(length)
    for n in range(1, length - 1):
        frames[n, :, n % 12] += 0.1
    return frames


def track(*inner: int, length: int = LENGTH) -> KeyframeTrack:
    """Keyframes of the ramp on its ends and on inner frames."""
    made = KeyframeTrack(12, 8, length)
    for frame in (0, *inner, length - 1):
        made = made.with_keyframe(Keyframe(frame, ramp(length)[frame][None]))
    return made


def chosen(*takes: torch.Tensor, of: KeyframeTrack | None = None, **options):
    of = of or track(length=len(takes[0]))
    pictures = [item.image for item in of.keyframes]
    return best_take(dict(zip(TAKES, takes, strict=False)), of, pictures, Apart(), **options)


def numbers(steps: list[float], keyframe_distance: float = 0.0, least: float = 0.0):
    return take_numbers("take_1", keyframe_distance, torch.tensor(steps, dtype=torch.float64), least)


# numbers


def test_a_step_is_the_mean_absolute_difference_of_neighbours():
    video = torch.rand(7, 5, 6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    naive = [sum(abs(a - b) for a, b in zip(p.flatten(), q.flatten(), strict=True)) / 90 for p, q in pairwise(video)]
    torch.testing.assert_close(step_sizes(video), torch.stack(naive))


def test_the_three_numbers_and_the_score():
    steps = [0.02, 0.01, 0.05, 0.02, 0.03, 0.02, 0.02, 0.01, 0.02, 0.02, 0.01, 0.08, 0.02]
    found = numbers(steps, keyframe_distance=0.03)
    median = sorted(steps)[6]
    assert found.median_step == pytest.approx(median)
    assert (found.tail_jump, found.tail_at) == (pytest.approx(max(steps[-6:]) / median), 11)
    assert (found.worst_step, found.worst_at) == (pytest.approx(max(steps[:-6]) / median), 2)
    assert found.score == pytest.approx((1 + 100 * 0.03) * 4.0 * 2.5)


@pytest.mark.parametrize(("steps", "tail"), [(2, 1), (3, 1), (15, 7), (16, 8), (17, 8), (80, 8)])
def test_the_tail_is_eight_steps_or_half_of_a_short_video(steps, tail):
    assert tail_steps(steps) == tail
    values = [1.0] * (steps - tail) + [3.0] + [1.0] * (tail - 1)
    assert numbers(values).tail_at == steps - tail
    values = [1.0] * (steps - tail - 1) + [3.0] + [1.0] * tail
    assert numbers(values).worst_at == steps - tail - 1


def test_ending_calmer_than_the_take_moves_is_no_merit():
    even, calm = numbers([0.02] * 32), numbers([0.02] * 24 + [0.005] * 8)
    assert calm.tail_jump == pytest.approx(0.25)
    assert calm.score == even.score == pytest.approx(1)
    lively_end = numbers([0.01, 0.01, 0.03, 0.03])
    assert lively_end.worst_step == pytest.approx(0.5)
    assert lively_end.score == pytest.approx(1.5)


def test_the_keyframe_distance_is_the_mean_over_the_keyframes_on_their_frames():
    of = track(10)
    take = moving() + torch.linspace(0, 0.1, LENGTH)[:, None, None, None]
    found = chosen(take, of=of).ranked[0]
    naive = sum(float((take[n] - ramp()[n]).abs().mean()) for n in (0, 10, 32)) / 3
    assert found.keyframe_distance == pytest.approx(naive)


def test_the_metric_sees_one_frame_per_take_and_keyframe():
    metric, of = Apart(), track(10)
    best_take({"take_1": moving(), "take_2": ramp()}, of, [item.image for item in of.keyframes], metric)
    assert metric.seen == 6


def test_the_least_step_is_the_straight_way_over_its_frames():
    of = track(8)
    assert least_step([item.image for item in of.keyframes], of) == pytest.approx(0.5 / 32)
    there_and_back = [torch.zeros(1, 2, 2, 3), torch.full((1, 2, 2, 3), 0.4), torch.zeros(1, 2, 2, 3)]
    assert least_step(there_and_back, of) == pytest.approx(0.8 / 32)
    beside = KeyframeTrack(2, 2, 9, keyframes=tuple(Keyframe(n, there_and_back[0]) for n in (4, 5)))
    assert least_step(there_and_back[:2], beside) == pytest.approx(0.4)
    assert least_step(there_and_back[:1], KeyframeTrack(2, 2, 9, keyframes=(Keyframe(4, there_and_back[0]),))) == 0


@pytest.mark.parametrize("seed", range(5))
def test_no_video_takes_smaller_steps_than_the_least_in_the_mean(seed):
    """The triangle inequality, which the rule about still takes stands on."""
    video = torch.rand(9, 8, 12, 3, generator=torch.Generator().manual_seed(seed))
    of = KeyframeTrack(12, 8, 9)
    for frame in (0, 3, 8):
        of = of.with_keyframe(Keyframe(frame, video[frame][None]))
    assert step_sizes(video).mean() >= least_step([item.image for item in of.keyframes], of)


# the choice


def flashing(at: int, size: float = 0.1) -> torch.Tensor:
    frames = moving()
    frames[at] += size
    return frames


def test_a_take_that_flashes_at_the_end_loses_to_one_that_does_not():
    found = chosen(flashing(30), moving())
    assert found.index == 2
    assert found.ranked[1].tail_jump > 2 > found.ranked[0].tail_jump
    assert "for its tail jump of" in found.report


def test_a_take_that_jumps_in_the_middle_loses_to_one_that_does_not():
    found = chosen(moving(), flashing(12))
    assert found.index == 1
    assert "for its worst step of" in found.report


def test_a_take_that_misses_its_keyframes_loses_to_one_that_does_not():
    found = chosen(moving() + 0.05, moving())
    assert found.index == 2
    assert "for its keyframe distance of 0.0500 against 0.0000" in found.report


def test_a_flash_outweighs_small_leads_in_the_other_two_numbers():
    """With ranks added up, two small leads would win over one large fault."""
    lead, calm = flashing(30), moving() + 0.0005
    calm[10] += 0.0005
    found = chosen(lead, calm)
    of = {take.name: take for take in found.ranked}
    assert of["take_1"].keyframe_distance < of["take_2"].keyframe_distance
    assert of["take_1"].worst_step < of["take_2"].worst_step
    assert found.index == 2


def test_the_order_of_two_takes_is_the_same_whatever_other_takes_there_are():
    takes = {"take_1": flashing(12), "take_2": moving() + 0.01, "take_3": flashing(30), "take_4": moving()}
    of = track()

    def order(names):
        some = {name: takes[name] for name in names}
        return [item.name for item in best_take(some, of, [k.image for k in of.keyframes], Apart()).ranked]

    everything = order(takes)
    assert everything[0] == "take_4"
    for left_out in takes:
        assert order([name for name in takes if name != left_out]) == [name for name in everything if name != left_out]


def test_two_takes_that_are_close_are_pointed_out():
    assert "They are close: look at both." in chosen(moving(), moving() + 0.0009).report
    assert "close" not in chosen(moving(), moving() + 0.0011).report


def test_equal_takes_give_the_earlier_slot():
    found = chosen(moving(), moving())
    assert found.index == 1
    assert "take_2 scores the same." in found.report


def test_equal_scores_give_the_take_that_is_nearer_to_its_keyframes():
    still = ramp()[:1].repeat(LENGTH, 1, 1, 1)
    missed = still.clone()
    still[-1], missed[-1] = ramp()[-1], 0.3  # both jump out of no movement, to no score
    found = chosen(missed, still)
    assert [math.isinf(take.score) for take in found.ranked] == [True, True]
    assert found.index == 2


def test_slots_are_ordered_by_number_and_gaps_keep_their_numbers():
    of = track()
    takes = {"take_12": flashing(30), "take_3": moving(), "take_2": flashing(12)}
    found = best_take(takes, of, [item.image for item in of.keyframes], Apart())
    assert found.index == 3
    same = {"take_10": moving(), "take_9": moving()}
    assert best_take(same, of, [item.image for item in of.keyframes], Apart()).index == 9


def test_a_slot_may_hold_a_list_of_takes_which_are_counted_through():
    of = track()
    pictures = [item.image for item in of.keyframes]
    takes = {"take_3": [flashing(30), moving()], "take_1": [flashing(12), flashing(10), flashing(30)], "take_4": []}
    found = best_take(takes, of, pictures, Apart())
    assert found.index == 6  # three, the empty second slot, and the second of the third
    assert found.images is takes["take_3"][1]
    assert found.report.startswith("Best: take_3 (2) of 5 takes")
    assert {take.name for take in found.ranked} >= {"take_1 (1)", "take_1 (3)", "take_3 (1)"}
    assert best_take({"take_2": [moving()]}, of, pictures, Apart()).index == 2


def test_one_take_is_best():
    found = chosen(flashing(30))
    assert found.index == 1
    assert found.report.startswith("Best: take_1, the only take.")


def test_the_best_take_is_the_very_tensor_and_no_take_is_changed():
    takes = [flashing(30), moving()]
    copies = [take.clone() for take in takes]
    found = chosen(*takes)
    assert found.images is takes[1]
    assert all(torch.equal(take, copy) for take, copy in zip(takes, copies, strict=True))


def test_no_graph_is_kept():
    assert not chosen(moving().requires_grad_()).ranked[0].steps.requires_grad


# takes that stand still


def held_until(frame: int) -> torch.Tensor:
    """Stands still, then is where it should be."""
    frames = ramp()
    frames[:frame] = frames[0]
    return frames


@pytest.mark.parametrize("still", [ramp()[:1].repeat(LENGTH, 1, 1, 1), held_until(32), held_until(18)])
def test_a_still_take_does_not_win_however_good_its_numbers(still):
    poor = (flashing(30, 0.4) + 0.1).clamp(0, 1)
    found = chosen(still, poor)
    assert found.index == 2
    assert found.ranked[1].still and not found.ranked[0].still
    assert "the only one of 2 takes that does not stand still" in found.report
    assert found.report.count("%, stands still") == 1


def test_a_little_flicker_does_not_make_a_still_take_move():
    flicker = 0.002 * torch.rand(LENGTH, 8, 12, 3, generator=torch.Generator().manual_seed(2))
    take = ramp()[:1] + flicker
    take[-1] = ramp()[-1]
    assert 0 < chosen(take).ranked[0].median_step < 0.5 / 32 / 4
    assert chosen(take).ranked[0].still


def test_a_take_that_rests_for_less_than_half_of_its_frames_moves():
    assert not chosen(held_until(16)).ranked[0].still


@pytest.mark.parametrize(("least", "threshold"), [(0.0, 1e-4), (4e-5, 1e-4), (0.04, 0.01)])
def test_a_take_stands_still_below_a_quarter_of_the_least_step_and_below_a_level_of_8_bits(least, threshold):
    assert numbers([0.99 * threshold] * 32, least=least).still
    assert not numbers([1.01 * threshold] * 32, least=least).still


def test_the_straight_way_and_a_way_of_a_third_of_its_steps_move():
    assert not chosen(ramp()).ranked[0].still
    assert not numbers([0.01] * 32, least=0.03).still
    assert numbers([0.01] * 32, least=0.05).still


def test_a_loop_needs_no_steps_but_one_without_any_stands_still():
    picture = ramp()[:1]
    loop = KeyframeTrack(12, 8, LENGTH).with_keyframe(Keyframe(0, picture)).with_keyframe(Keyframe(-1, picture))
    there_and_back = torch.cat([ramp()[:17], ramp()[:16].flip(0)]) / 8
    found = chosen(picture.repeat(LENGTH, 1, 1, 1), there_and_back, of=loop)
    assert found.index == 2
    assert found.ranked[1].still


def test_a_step_out_of_no_movement_has_no_score():
    found = numbers([0.0] * 31 + [0.3])
    assert found.still and math.isinf(found.tail_jump) and math.isinf(found.score)
    assert found.worst_step == 1
    report = chosen(held_until(32)).report
    assert "score none" in report and "tail jump over 999 at frame 32" in report


def test_if_every_take_stands_still_that_is_said():
    still = ramp()[:1].repeat(LENGTH, 1, 1, 1)
    says = "stands still in half of its frames or more, so this says little."
    assert chosen(still, still).report.splitlines()[0] == f"Best: take_1. Every take {says}"
    assert chosen(still).report.splitlines()[0] == f"Best: take_1. It {says}"


def test_a_take_that_changes_as_little_as_a_cross_fade_is_pointed_out():
    words = "take_1 changes as little as a cross-fade of the keyframes does (1.562 % a frame): look whether it moves."
    assert words in chosen(ramp()).report
    assert "cross-fade" not in chosen(moving()).report


def trembling(steps: float) -> torch.Tensor:
    """The ramp with columns that brighten in turn between the ends: every step is so many of the ramp's, above 1."""
    frames = ramp()
    amount = steps * 0.5 / 32
    frames[1:-1:2, :, ::2] += amount
    frames[2:-1:2, :, 1::2] += amount
    return frames


@pytest.mark.parametrize(("steps", "told"), [(1.09, True), (1.11, False)])
def test_up_to_a_tenth_more_than_a_cross_fade_is_pointed_out(steps, told):
    found = chosen(trembling(steps))
    assert found.ranked[0].median_step == pytest.approx(steps * 0.5 / 32)
    assert ("cross-fade" in found.report) == told


@pytest.mark.parametrize(("steps", "told"), [(3.9, False), (4.1, True)])
def test_less_than_a_quarter_of_another_s_steps_is_pointed_out(steps, told):
    found = chosen(trembling(2 * steps) + 0.05, trembling(2))
    assert found.index == 2
    assert ("take_2 changes 4 times less than take_1" in found.report) == told


def test_a_still_take_is_not_said_to_change_less_than_another():
    still = ramp()[:1].repeat(LENGTH, 1, 1, 1)
    still[-1] = ramp()[-1]
    report = chosen(still, still + 0.01).report
    assert "times less" not in report and "cross-fade" not in report


# takes that are cross-fades


def disc(place: float, height: int = 36, width: int = 48) -> torch.Tensor:
    """A bright disc on a pattern, at a place of its way from left to right."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    ground = 0.35 + 0.1 * torch.sin(x / 3.0) * torch.cos(y / 4.0)
    inside = (x - 8 - (width - 16) * place) ** 2 + (y - height / 2) ** 2 < 36
    return torch.where(inside, 0.9, ground)[..., None].repeat(1, 1, 3)


def sliding(place: float) -> torch.Tensor:
    """A bright box that moves by less than its width: its steps together are those of a cross-fade."""
    frame = torch.full((36, 48, 3), 0.3)
    start = 8 + round(12 * place)
    frame[10:26, start : start + 20] = 0.8
    return frame


def panned(place: float) -> torch.Tensor:
    """A pattern that moves as a whole."""
    x = torch.arange(48) + 9 * place
    y = torch.arange(36)[:, None]
    return (0.5 + 0.3 * torch.sin(x / 2.5) * torch.cos(y / 3.0 + x / 7))[..., None].repeat(1, 1, 3)


def filmed(draw, length: int = LENGTH) -> torch.Tensor:
    return torch.stack([draw(n / (length - 1)) for n in range(length)])


def large(frames: torch.Tensor, times: int = 8) -> torch.Tensor:
    return frames.repeat_interleave(times, 1).repeat_interleave(times, 2)


EASES = {
    "even": lambda t: t,
    "smooth": lambda t: t * t * (3 - 2 * t),
    "late": lambda t: t**3,
    "in the middle": lambda t: (2 * t - 0.5).clamp(0, 1),
}


def faded(clip: torch.Tensor, ease: str = "even") -> torch.Tensor:
    """The cross-fade of a clip's ends."""
    share = EASES[ease](torch.linspace(0, 1, len(clip)))
    return torch.lerp(clip[:1], clip[-1:], share[:, None, None, None])


def noisy(clip: torch.Tensor, size: float, seed: int = 7) -> torch.Tensor:
    made = clip + size * torch.randn(clip.shape, generator=torch.Generator().manual_seed(seed))
    made[0], made[-1] = clip[0], clip[-1]
    return made.clamp(0, 1)


def of_ends(clip: torch.Tensor) -> KeyframeTrack:
    made = KeyframeTrack(clip.shape[2], clip.shape[1], len(clip))
    for frame in (0, len(clip) - 1):
        made = made.with_keyframe(Keyframe(frame, clip[frame][None]))
    return made


def with_faults(clip: torch.Tensor) -> torch.Tensor:
    """It moves, misses its keyframes, jumps and flashes."""
    made = clip + 0.02
    made[12] += 0.2
    made[-3] += 0.2
    return made.clamp(0, 1)


@pytest.mark.parametrize("ease", EASES)
@pytest.mark.parametrize("draw", [disc, sliding, panned])
def test_a_cross_fade_does_not_win_against_a_take_that_moves(draw, ease):
    clip = filmed(draw)
    found = chosen(faded(clip, ease), with_faults(clip), of=of_ends(clip))
    assert found.index == 2
    assert found.ranked[1].state == "fade"
    assert found.report.startswith("Best: take_2, the only one of 2 takes that moves more than a cross-fade")
    assert "%, no more than a cross-fade of the keyframes" in found.report


@pytest.mark.parametrize("draw", [disc, panned])
@pytest.mark.parametrize("change", ["noise", "flicker", "linear light", "8 bits"])
def test_a_cross_fade_of_large_pictures_is_one_in_spite_of_what_a_decoder_adds(draw, change):
    clip = large(filmed(draw, 17))
    fade = faded(clip)
    if change == "noise":
        fade = noisy(fade, 4 / 255)
    elif change == "flicker":
        fade[1:-1] += 2 / 255 * torch.randn(15, 1, 1, 1, generator=torch.Generator().manual_seed(8))
    elif change == "linear light":
        fade = torch.lerp(clip[:1] ** 2.2, clip[-1:] ** 2.2, torch.linspace(0, 1, 17)[:, None, None, None]) ** (1 / 2.2)
    else:
        fade = (fade * 255).round() / 255
    found = chosen(fade, with_faults(clip), of=of_ends(clip))
    assert found.index == 2
    assert found.ranked[1].fade and not found.ranked[0].fade


def test_a_take_that_creeps_does_not_stand_still_and_one_that_shows_another_picture_does():
    clip = filmed(sliding)
    assert float(step_sizes(clip).median()) == 0
    other = panned(0.3).repeat(LENGTH, 1, 1, 1)
    other[0], other[-1] = clip[0], clip[-1]
    found = chosen(other, clip, of=of_ends(clip))
    assert [(take.name, take.state) for take in found.ranked] == [("take_2", ""), ("take_1", "still")]


def test_a_cross_fade_comes_before_a_take_that_stands_still():
    clip = filmed(disc)
    still = clip[:1].repeat(LENGTH, 1, 1, 1)
    found = chosen(still, faded(clip), of=of_ends(clip))
    assert found.index == 2
    assert "the only one of 2 takes that does not stand still" in found.report
    assert "take_2 changes as little as a cross-fade of the keyframes does" in found.report


def test_a_cross_fade_from_keyframe_to_keyframe_is_one():
    clip, made = filmed(disc), KeyframeTrack(48, 36, LENGTH)
    for frame in (0, 10, 32):
        made = made.with_keyframe(Keyframe(frame, clip[frame][None]))
    fade = torch.cat([faded(clip[:11]), faded(clip[10:])[1:]])
    found = chosen(fade, with_faults(clip), of=made)
    assert found.index == 2
    assert found.ranked[1].fade


def test_how_far_a_frame_is_from_mixtures_of_the_keyframes():
    """Of what differs a share has changed places: the root of share times rest."""
    start, end = torch.zeros(1, 10, 10, 3), torch.ones(1, 10, 10, 3)
    between = [torch.zeros(1, 10, 10, 3) for _ in range(3)]
    for frame, rows in zip(between, (2, 5, 8), strict=True):
        frame[:, :rows] = 1
    clip = torch.cat([start, *between, end])
    apart = apart_from_fade(clip, [start, end], of_ends(clip))
    assert apart == pytest.approx((0.5 + 0.4) / 2, abs=0.051)  # 0.4, 0.5, 0.4 and their upper quartile
    assert apart_from_fade(faded(clip), [start, end], of_ends(clip)) == pytest.approx(0, abs=1e-6)
    one = KeyframeTrack(10, 10, 5).with_keyframe(Keyframe(0, start))
    assert math.isinf(apart_from_fade(clip, [start], one))


# the plot and the report of takes that do not move


def test_the_plot_is_told_the_scores_and_which_take_fades_or_stands_still(monkeypatch):
    told = []
    monkeypatch.setattr("pack.frames.take_ranking.take_plot", lambda curves, *more: told.extend(curves))
    chosen(held_until(32), flashing(30), ramp())
    assert [(curve.name, curve.score) for curve in told][1:] == [("take_3", "fade"), ("take_1", "still")]
    assert told[0].name == "take_2" and float(told[0].score) > 1


def test_a_take_that_changes_far_less_than_another_is_pointed_out():
    lively = torch.rand(LENGTH, 8, 12, 3, generator=torch.Generator().manual_seed(3))
    lively[0], lively[-1] = 1 - ramp()[0], 1 - ramp()[-1]
    found = chosen(moving(), lively)
    assert found.index == 1
    assert "take_1 changes 11 times less than take_2: look whether it moves." in found.report
    assert "times less" not in chosen(moving(), ramp()).report


# the report and the plot


def test_the_report_says_the_rule_and_has_a_line_for_every_take_best_first():
    found = chosen(flashing(30), moving(), flashing(12))
    lines = found.report.splitlines()
    assert lines[0].startswith(f"Best: take_2 of 3 takes, with a score of {found.ranked[0].score:.2f}; ")
    assert lines[1] == ("Score = (1 + 100 x keyframe distance) x tail jump x worst step; lowest is best, 1 is perfect.")
    assert "difference, mean over 2 keyframes" in lines[2] and "the last 8 steps" in lines[2]
    rows = [line for line in lines if line[0].isdigit()]
    assert [row.split(":")[0] for row in rows] == [f"{n}. {take.name}" for n, take in enumerate(found.ranked, start=1)]
    best = found.ranked[0]
    assert f"keyframe distance {best.keyframe_distance:.4f}; tail jump {best.tail_jump:.2f}" in rows[0]
    assert f"median step {100 * best.median_step:.3f} %" in rows[0]


def flash_on_ramp(at: int, size: float) -> torch.Tensor:
    frames = ramp()
    frames[at] += size
    return frames


def test_the_whole_report():
    """The ramp's steps are 1/64; a flash of 1/4 makes one of 17/64."""
    assert chosen(flash_on_ramp(12, 0.25), ramp(), flash_on_ramp(30, 0.25)).report.splitlines() == [
        "Best: take_2 of 3 takes, with a score of 1.00; take_1 comes next with 17.00, most of all for its worst step "
        "of 17.00 against 1.00.",
        "Score = (1 + 100 x keyframe distance) x tail jump x worst step; lowest is best, 1 is perfect.",
        "Keyframe distance: difference, mean over 2 keyframes. Tail jump: the largest of the last 8 steps over the "
        "median step. Worst step: the same for the steps before. Both count as 1 where they are below. Step: mean "
        "colour difference from frame to frame.",
        "1. take_2: score 1.00; keyframe distance 0.0000; tail jump 1.00 at frame 25; worst step 1.00 at frame 1; "
        "median step 1.562 %",
        "2. take_1: score 17.00; keyframe distance 0.0000; tail jump 1.00 at frame 25; worst step 17.00 at frame 12; "
        "median step 1.562 %",
        "3. take_3: score 17.00; keyframe distance 0.0000; tail jump 17.00 at frame 30; worst step 1.00 at frame 1; "
        "median step 1.562 %",
        "take_2 changes as little as a cross-fade of the keyframes does (1.562 % a frame): look whether it moves.",
    ]


def test_one_keyframe_is_one():
    of = KeyframeTrack(12, 8, LENGTH).with_keyframe(Keyframe(0, ramp()[:1]))
    assert "difference, mean over 1 keyframe. Tail" in chosen(ramp(), of=of).report


def test_close_scores_are_told_whatever_their_size():
    told = chosen(flash_on_ramp(12, 0.25), flash_on_ramp(12, 0.26)).report.splitlines()[0]
    assert told.endswith(
        " with a score of 17.00; take_2 comes next with 17.64, most of all for its worst step of 17.64 "
        "against 17.00. They are close: look at both."
    )


def test_the_plot_s_title_counts_the_takes(monkeypatch):
    titles = []
    monkeypatch.setattr("pack.frames.take_ranking.take_plot", lambda *given: titles.append(given[3]))
    for count in (1, 2, 3):
        chosen(*[ramp()] * count)
    assert titles == ["Best: take_1 of 1 take", "Best: take_1 of 2 takes", "Best: take_1 of 3 takes"]


def test_a_result_is_not_changed_and_equal_to_itself_alone():
    one, other = (chosen(ramp()) for _ in range(2))
    assert one != other and one.ranked[0] != other.ranked[0]
    for made, name in ((one, "index"), (one.ranked[0], "still")):
        with pytest.raises(AttributeError, match=name):
            setattr(made, name, 5)


def where(plot: torch.Tensor, colour: tuple[int, int, int]) -> torch.Tensor:
    """Pixels of a colour, [n, 2] rows and columns, inside of the chart."""
    left, upper, right, lower = CHART
    inside = (plot[0, upper:lower, left + 4 : right - 4] * 255 - torch.tensor(colour)).abs().amax(-1) < 40
    return inside.nonzero() + torch.tensor([upper, left + 4])


def test_the_plot_shows_the_jump_where_it_is_and_the_best_take_bold():
    jumping = ramp()
    jumping[12] += 0.4
    found = chosen(jumping, moving())
    assert found.plot.shape == (1, 600, 1000, 3)
    assert found.plot.dtype == torch.float32 and 0 <= found.plot.min() and found.plot.max() <= 1
    best, other = where(found.plot, BEST), where(found.plot, OTHERS[0])
    peak = other[other[:, 0].argmin(), 1]
    assert peak == pytest.approx(CHART[0] + (CHART[2] - CHART[0]) * 12.5 / 32, abs=20)  # the steps onto 12 and 13
    share = float(found.ranked[0].steps[16] / jumping.diff(dim=0).abs().mean(dim=(1, 2, 3)).max())
    height = (CHART[3] - best[:, 0].float().median()) / (CHART[3] - other[:, 0].min())
    assert height == pytest.approx(share**0.5, abs=0.02)
    column = (CHART[0] + CHART[2]) // 2
    thick, thin = ((found[:, 1] == column).sum() for found in (best, other))
    assert thick > thin > 0


def test_where_curves_meet_the_best_one_is_seen():
    other = where(chosen(flashing(12, 0.4), moving()).plot, OTHERS[0])
    assert 0 < len(other)
    assert other[:, 1].max() < (CHART[0] + CHART[2]) // 2


def test_the_plot_marks_keyframes_and_the_tail():
    plot = chosen(moving(), of=track(16)).plot
    columns = where(plot, KEY)[:, 1]
    assert columns.min() == pytest.approx((CHART[0] + CHART[2]) / 2, abs=3)
    row = plot[0, CHART[1] + 12]
    left, right = (round(CHART[0] + (CHART[2] - CHART[0]) * frame / 32) for frame in (24, 25))
    assert row[left].mean() > 0.96 > row[right].mean()


def test_takes_beyond_the_colours_are_counted_and_drawing_twice_is_the_same():
    takes = [moving() + 0.001 * n for n in range(12)]
    first, again = chosen(*takes), chosen(*takes)
    assert len(first.ranked) == 12
    assert torch.equal(first.plot, again.plot)
    assert not torch.equal(first.plot, chosen(*takes[:8]).plot)


# what comes in


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_takes_are_measured_in_colour_and_given_back_as_they_came(channels):
    take = ramp()[..., :1] if channels == 1 else torch.cat([moving(), torch.ones(LENGTH, 8, 12, 1)], dim=-1)
    found = chosen(take)
    assert found.images is take
    assert ("take_1: grey, repeated to RGB." if channels == 1 else "take_1: alpha dropped.") in found.report


def test_three_frames_are_enough():
    found = chosen(ramp(3), ramp(3).flip(0), of=track(length=3))
    assert found.index == 1
    assert torch.isfinite(found.plot).all()


def test_every_frame_of_every_take_is_told_to_the_watch():
    told = []
    chosen(moving(), moving(), watch=lambda total: told.append(total) or told.append)
    assert told == [66, 33, 33]


@pytest.mark.parametrize(
    ("takes", "of", "message"),
    [
        ([], track(), "^takes is empty: connect at least one take"),
        ([moving()], KeyframeTrack(12, 8, LENGTH), "keyframes is empty: connect first_image"),
        ([ramp(2)], track(length=2), "keyframes has a length of 2: takes are compared from 3 frames on"),
        ([moving(), moving(29)], track(), "take_2 has 29 frames of 12x8, keyframes asks for 33 of 12x8"),
        ([moving(), moving()[:1]], track(), "take_2 has one frame; is it bypassed"),
        ([moving(), 5], track(), "take_2 must be a video, got 5: connect IMAGE"),
        ([moving()[0]], track(), r"take_1 must be a video \[frames, height, width, channels\], got \[8, 12, 3\]"),
        ([moving()[:, :4]], track(), "take_1 has 33 frames of 12x4, keyframes asks for 33 of 12x8"),
        ([moving() * float("nan")], track(), "take_1 has pixels that are not numbers"),
        ([moving()[..., :2]], track(), "take_1 has 2 channels"),
    ],
)
def test_bad_input_is_named(takes, of, message):
    named = dict(zip(TAKES, takes, strict=False))
    with pytest.raises(ValueError, match=message):
        best_take(named, of, [item.image for item in of.keyframes], Apart())
