"""Nodes that make and change the keyframe track."""

from collections.abc import Sequence

from comfy_api.latest import io, ui

from ..frames.fit_host import fitted_picture
from ..frames.keyframe_places import placed_frame
from ..frames.keyframe_track import FITS, Keyframe, KeyframeTrack, single_picture
from ..frames.slot_order import only
from ..frames.storyboard import SLOTS, check_switched_on, only_picture, storyboard_track
from ..frames.storyboard_strip import storyboard_strip
from .checked_node import CheckedNode
from .sockets import KeyframesSocket


def video_inputs() -> list[io.Input]:
    """What every node that starts a track asks of the video, in the same order."""
    return [
        io.Int.Input(
            "width",
            default=832,
            min=16,
            max=16384,
            step=16,
            tooltip="Width of the video in pixels. Wan, HunyuanVideo: a multiple of 16, Wan 2.2 5B: of 32. SVD: 1024.",
        ),
        io.Int.Input(
            "height",
            default=480,
            min=16,
            max=16384,
            step=16,
            tooltip="Height of the video in pixels. Wan, HunyuanVideo: a multiple of 16, Wan 2.2 5B: of 32. SVD: 576.",
        ),
        io.Int.Input(
            "length",
            default=81,
            min=1,
            max=16384,
            step=4,
            tooltip="Frames of the video. Wan, HunyuanVideo: 4n+1 (33, 49, 81), the steps of the arrows. SVD: 14, "
            "SVD-XT: 25. Cost grows faster than the length.",
        ),
        io.Float.Input(
            "fps",
            default=16.0,
            min=1.0,
            max=120.0,
            step=0.01,
            tooltip="Frames per second, passed on to Create Video. Wan makes 16, HunyuanVideo 24, and it changes no "
            "frame; SVD makes 7, is told the number and moves by it.",
        ),
        io.Combo.Input(
            "fit",
            options=list(FITS),
            default="crop",
            tooltip="Pictures of another size: crop fills the video and cuts the edges, pad shows all on black, "
            "stretch ignores the aspect.",
        ),
    ]


class Keyframes(CheckedNode):
    """Starts a track: the video's size and length, and the pictures at its ends."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenKeyframes",
            display_name="Keyframes",
            category="inbetween/keyframes",
            description="The video's size, length and rate, and the pictures it starts and ends on. "
            "Add more pictures with Add Keyframe.",
            search_aliases=[
                "end frame",
                "start end",
                "start end image",
                "first last frame",
                "flf2v",
                "inbetween",
                "morph",
                "transition",
                "tween",
                "interpolate",
                "loop",
                "keyframe track",
                "首尾帧",
                "补间",
                "插帧",
                "关键帧",
                "最初 最後",
                "中割り",
                "ループ",
            ],
            inputs=[
                io.Image.Input(
                    "first_image",
                    optional=True,
                    tooltip="The picture on the first frame (frame 0). One image. Open: the model is free there.",
                ),
                io.Image.Input(
                    "last_image",
                    optional=True,
                    tooltip="The picture on the last frame (length - 1). One image. Open: the model is free there.",
                ),
                *video_inputs(),
            ],
            outputs=[
                KeyframesSocket.Output(display_name="keyframes"),
                io.Float.Output(display_name="fps"),
                io.Int.Output(display_name="frame_count"),
            ],
        )

    @classmethod
    def execute(
        cls,
        width: int = 832,
        height: int = 480,
        length: int = 81,
        fps: float = 16.0,
        fit: str = "crop",
        first_image: io.Image.Type | None = None,
        last_image: io.Image.Type | None = None,
    ) -> io.NodeOutput:
        track = KeyframeTrack(width, height, length, fps, fit)
        for source, image, frame in (("first_image", first_image, 0), ("last_image", last_image, -1)):
            if image is not None:
                picture, change = single_picture(image, source)
                track = track.with_keyframe(Keyframe(frame, picture, 1.0, source, change))
        return io.NodeOutput(track, fps, length)


class Storyboard(CheckedNode):
    """Starts a track with many pictures at once."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        picture = io.Image.Input(
            "picture", tooltip="One picture, a batch or a list of pictures; they are used in order."
        )
        return io.Schema(
            node_id="InbetweenStoryboard",
            display_name="Storyboard",
            category="inbetween/keyframes",
            description="Puts two or more pictures on the video at once, spread evenly or each where you say, and "
            "shows them on a ruler of frames. One picture in each slot, or a whole batch or folder in one.",
            search_aliases=[
                "storyboard",
                "timeline",
                "several images",
                "image sequence to video",
                "multi keyframe",
                "middle frame",
                "inbetween",
                "morph",
                "transition",
                "分镜",
                "时间线",
                "多关键帧",
                "中间帧",
                "絵コンテ",
                "タイムライン",
            ],
            is_input_list=True,
            inputs=[
                io.Autogrow.Input(
                    "pictures",
                    template=io.Autogrow.TemplateNames(picture, names=list(SLOTS), min=0),
                    tooltip="The pictures in their order, of any size; a new slot opens with each. A slot takes a "
                    "batch or a list too, such as that of Load Image (from Folder).",
                ),
                io.String.Input(
                    "at",
                    default="even",
                    tooltip="Where each picture goes: even, or one place for each with commas between them. A place is "
                    "a frame (40, or -1 for the last), a share (50%) or seconds (1.5s): 0, 50%, 3s, -1.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How firmly the pictures are held: 1 is fixed, 0 leaves them all out. In between the "
                    "model's mask is soft.",
                ),
                *video_inputs(),
            ],
            outputs=[
                KeyframesSocket.Output(display_name="keyframes"),
                io.Float.Output(display_name="fps"),
                io.Int.Output(display_name="frame_count"),
                io.Image.Output(display_name="strip"),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def execute(
        cls,
        pictures: io.Autogrow.Type,
        at: Sequence[str] = ("even",),
        strength: Sequence[float] = (1.0,),
        width: Sequence[int] = (832,),
        height: Sequence[int] = (480,),
        length: Sequence[int] = (81,),
        fps: Sequence[float] = (16.0,),
        fit: Sequence[str] = ("crop",),
    ) -> io.NodeOutput:
        if cls.hidden and cls.hidden.extra_pnginfo:
            check_switched_on(cls.hidden.extra_pnginfo.get("workflow") or {}, str(cls.hidden.unique_id), pictures)
        values = {"width": width, "height": height, "length": length, "fps": fps, "fit": fit}
        empty = KeyframeTrack(**{name: only(name, value) for name, value in values.items()})
        firmly = only("strength", strength)
        placed = storyboard_track(pictures, only("at", at), firmly, empty)
        strip = storyboard_strip(placed, [fitted_picture(item, placed)[0] for item in placed.keyframes])
        track = placed if firmly else empty
        shown = ui.PreviewImage(strip).as_dict() | {"frames": [item.frame for item in placed.keyframes]}
        return io.NodeOutput(track, track.fps, track.length, strip, ui=shown)


class AddKeyframe(CheckedNode):
    """Puts one more picture on the track."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenAddKeyframe",
            display_name="Add Keyframe",
            category="inbetween/keyframes",
            description="Puts one picture on one frame of the video. Chain as many as you like.",
            search_aliases=[
                "middle frame",
                "multi keyframe",
                "insert frame",
                "timeline",
                "中间帧",
                "添加关键帧",
                "途中の画像",
            ],
            is_input_list=True,
            inputs=[
                KeyframesSocket.Input("keyframes", tooltip="The track to add to."),
                io.Image.Input("image", tooltip="The picture. One image, of any size."),
                io.Int.Input(
                    "frame",
                    default=40,
                    min=-16384,
                    max=16384,
                    tooltip="Video frame it goes on. 0 is the first; negative numbers count from the end, -1 is the "
                    "last. Where Wan really holds it depends on the placement of the conditioning node.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How firmly the frame is held: 1 is fixed, 0 leaves the keyframe out. In between the "
                    "model's mask is soft.",
                ),
                io.String.Input(
                    "at",
                    default="",
                    tooltip="Filled: where the picture goes instead of frame: a share of the video (50%), seconds "
                    "(1.5s) or a frame (40, -1). Empty: frame counts.",
                ),
            ],
            outputs=[KeyframesSocket.Output(display_name="keyframes")],
        )

    @classmethod
    def execute(
        cls,
        keyframes: Sequence[KeyframeTrack],
        image: Sequence[io.Image.Type],
        frame: Sequence[int] = (40,),
        strength: Sequence[float] = (1.0,),
        at: Sequence[str] = ("",),
    ) -> io.NodeOutput:
        track, picture = only("keyframes", keyframes), only_picture(image, "image")
        place, firmly = only("at", at), only("strength", strength)
        if firmly == 0:
            return io.NodeOutput(track)
        number = placed_frame(place, track.length, track.fps) if place.strip() else only("frame", frame)
        colour, change = single_picture(picture, "image")
        return io.NodeOutput(track.with_keyframe(Keyframe(number, colour, firmly, "added image", change)))


class ReverseKeyframes(CheckedNode):
    """Turns the track around in time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenReverseKeyframes",
            display_name="Reverse Keyframes",
            category="inbetween/keyframes",
            description="Plays the track backwards: frame n becomes length - 1 - n. Feed it to the conditioning of "
            "the reverse pass.",
            search_aliases=[
                "reverse",
                "swap first last",
                "time reversal",
                "倒放",
                "逆再生",
            ],
            inputs=[KeyframesSocket.Input("keyframes", tooltip="The track to turn around.")],
            outputs=[KeyframesSocket.Output(display_name="keyframes")],
        )

    @classmethod
    def execute(cls, keyframes: KeyframeTrack) -> io.NodeOutput:
        return io.NodeOutput(keyframes.reversed())
