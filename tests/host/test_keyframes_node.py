"""The keyframe nodes as a graph calls them."""

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack


@pytest.fixture(scope="module")
def nodes(host):
    from pack.nodes import keyframes

    return keyframes


def made(nodes, **change):
    arguments = {"width": 64, "height": 48, "length": 33, "fps": 16.0, "fit": "crop", **change}
    return nodes.Keyframes.execute(**arguments).args


def test_first_and_last_go_to_the_ends(nodes, pictures):
    track, fps, count = made(nodes, first_image=pictures(1), last_image=pictures(2))
    assert (fps, count) == (16.0, 33)
    assert [(item.frame, item.source) for item in track.keyframes] == [(0, "first_image"), (32, "last_image")]
    assert torch.equal(track.first.image, pictures(1))


def test_no_picture_is_an_empty_track(nodes):
    assert made(nodes)[0].keyframes == ()


def test_add_counts_from_both_ends_and_reverse_mirrors(nodes, pictures):
    track = made(nodes, first_image=pictures(1))[0]
    track = nodes.AddKeyframe.execute(track, pictures(3), -5, 0.5).args[0]
    assert [(item.frame, item.strength) for item in track.keyframes] == [(0, 1.0), (28, 0.5)]
    backwards = nodes.ReverseKeyframes.execute(track).args[0]
    assert [item.frame for item in backwards.keyframes] == [4, 32]


def test_strength_zero_returns_the_track_as_it_came(nodes, pictures):
    track = made(nodes, first_image=pictures(1))[0]
    assert nodes.AddKeyframe.execute(track, pictures(3), 5, 0.0).args[0] is track


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first_image": torch.zeros(2, 8, 8, 3)}, "first_image is a batch of 2 images"),
        (
            {"first_image": torch.ones(1, 8, 8, 3), "last_image": torch.ones(1, 8, 8, 3), "length": 1},
            "length is 1, and first_image is on its only frame",
        ),
    ],
)
def test_bad_pictures_name_the_input(nodes, change, message):
    with pytest.raises(ValueError, match=message):
        made(nodes, **change)


@pytest.mark.parametrize(("frame", "message"), [(33, "frame 33 is outside"), (0, "frame 0 already holds first_image")])
def test_a_bad_frame_names_the_numbers(nodes, pictures, frame, message):
    track = made(nodes, first_image=pictures(1))[0]
    with pytest.raises(ValueError, match=message):
        nodes.AddKeyframe.execute(track, pictures(3), frame, 1.0)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(64, 48), (101, 37), (37, 101)])
def test_pictures_of_any_size_fit_the_video(host, fit, size):
    from pack.frames.fit_host import fitted_picture

    picture = torch.ones(1, size[1], size[0], 3)
    fitted = fitted_picture(Keyframe(0, picture), KeyframeTrack(64, 48, 33, fit=fit))
    assert fitted.shape == (1, 48, 64, 3)
    share = float(fitted.mean())
    if fit == "pad":
        scale = min(64 / size[0], 48 / size[1])
        assert share == pytest.approx(size[0] * size[1] * scale**2 / (64 * 48), abs=0.03)
    else:
        assert share == 1.0


@pytest.mark.parametrize("size", [(101, 37), (37, 101)])
def test_padding_is_even_on_both_sides(host, size):
    from pack.frames.fit_host import fitted_picture

    fitted = fitted_picture(Keyframe(0, torch.ones(1, size[1], size[0], 3)), KeyframeTrack(64, 48, 33, fit="pad"))
    lit = fitted[0, :, :, 0] > 0.5
    for axis, length in ((1, 48), (0, 64)):
        where = lit.any(dim=axis).nonzero().flatten()
        assert abs(int(where[0]) - (length - 1 - int(where[-1]))) <= 1


def test_a_picture_of_the_right_size_is_not_touched(host, pictures):
    from pack.frames.fit_host import fitted_picture

    for fit in ("crop", "pad", "stretch"):
        fitted = fitted_picture(Keyframe(0, pictures(1)), KeyframeTrack(64, 48, 33, fit=fit))
        assert torch.equal(fitted, pictures(1))


def test_the_reverse_prompt_shows_the_keyframes_last_first(host, pictures):
    from pack.nodes.prompt import ReversePrompt

    track = KeyframeTrack(64, 48, 33).with_keyframe(Keyframe(0, pictures(1))).with_keyframe(Keyframe(-1, pictures(2)))
    instruction, images = ReversePrompt.execute(track, "a cat").args
    assert torch.equal(images, torch.cat([pictures(2), pictures(1)]))
    assert '"a cat"' in instruction
    with pytest.raises(ValueError, match="keyframes is empty"):
        ReversePrompt.execute(KeyframeTrack(64, 48, 33))


def test_one_add_keyframe_takes_one_picture_whatever_way_it_comes(nodes, pictures):
    track = made(nodes)[0]
    added = nodes.AddKeyframe.execute([track], [pictures(3)], [5], [1.0], [""]).args[0]
    assert torch.equal(added.keyframes[0].image, pictures(3))
    for several in ([pictures(1), pictures(2)], [torch.cat([pictures(1), pictures(2)])]):
        with pytest.raises(
            ValueError, match="image has 2 pictures, Add Keyframe takes one: connect them to Storyboard"
        ):
            nodes.AddKeyframe.execute([track], several, [5], [1.0], [""])


@pytest.mark.parametrize(("at", "frame"), [("", 7), ("  ", 7), ("50%", 16), ("1.5s", 24), ("-1", 32), ("12", 12)])
def test_at_of_add_keyframe_counts_where_it_is_filled(nodes, pictures, at, frame):
    track = made(nodes)[0]
    assert nodes.AddKeyframe.execute(track, pictures(3), 7, 1.0, at).args[0].keyframes[0].frame == frame


def storyboard(nodes, pictures, at="even", strength=1.0, **change):
    given = {"width": 64, "height": 48, "length": 33, "fps": 16.0, "fit": "crop", **change}
    lists = {name: [value] for name, value in given.items()}
    return nodes.Storyboard.execute(pictures=pictures, at=[at], strength=[strength], **lists)


def test_a_storyboard_makes_the_track_that_a_chain_of_nodes_makes(nodes, pictures):
    board = storyboard(nodes, {"picture_1": [pictures(1)], "picture_2": [pictures(3, 30, 20), pictures(2)]})
    chain = made(nodes, first_image=pictures(1), last_image=pictures(2))[0]
    chain = nodes.AddKeyframe.execute(chain, pictures(3, 30, 20), 16).args[0]
    track, fps, count, strip = board.args
    assert (fps, count) == (16.0, 33)
    assert (track.width, track.height, track.length, track.fit) == (64, 48, 33, "crop")
    assert [item.frame for item in track.keyframes] == [item.frame for item in chain.keyframes] == [0, 16, 32]
    assert all(torch.equal(a.image, b.image) for a, b in zip(track.keyframes, chain.keyframes, strict=True))
    assert strip.shape[0] == 1


def test_the_node_shows_its_strip(nodes, pictures):
    import folder_paths
    from PIL import Image

    board = storyboard(nodes, {"picture_1": [pictures(1)]})
    (shown,) = board.ui["images"]
    assert board.ui["frames"] == [0]
    with Image.open(f"{folder_paths.get_temp_directory()}/{shown['filename']}") as picture:
        assert picture.size == (board.args[3].shape[2], board.args[3].shape[1])


def test_strength_zero_leaves_all_pictures_out_and_still_shows_them(nodes, pictures):
    track, _, _, strip = storyboard(nodes, {"picture_1": [pictures(1)]}, strength=0.0).args
    assert track.keyframes == ()
    assert float(strip.std()) > 0.01
