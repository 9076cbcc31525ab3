"""Nodes that make and change the keyframe track."""

from comfy_api.latest import io

from ..frames.keyframe_track import FITS, Keyframe, KeyframeTrack, single_picture
from .checked_node import CheckedNode
from .sockets import KeyframesSocket


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
            search_aliases=["first last frame", "flf2v", "start end image", "inbetween", "keyframe track"],
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
                io.Int.Input(
                    "width",
                    default=832,
                    min=16,
                    max=16384,
                    step=16,
                    tooltip="Width of the video in pixels. Wan, HunyuanVideo: a multiple of 16, Wan 2.2 5B: of "
                    "32. SVD: 1024.",
                ),
                io.Int.Input(
                    "height",
                    default=480,
                    min=16,
                    max=16384,
                    step=16,
                    tooltip="Height of the video in pixels. Wan, HunyuanVideo: a multiple of 16, Wan 2.2 5B: of "
                    "32. SVD: 576.",
                ),
                io.Int.Input(
                    "length",
                    default=81,
                    min=1,
                    max=16384,
                    step=1,
                    tooltip="Frames of the video. Wan, HunyuanVideo: 4n+1 (33, 49, 81). SVD: 14, SVD-XT: 25. Cost "
                    "grows faster than the length.",
                ),
                io.Float.Input(
                    "fps",
                    default=16.0,
                    min=1.0,
                    max=120.0,
                    step=0.01,
                    tooltip="Frames per second, passed on to Create Video. Wan makes 16, HunyuanVideo 24, and it "
                    "changes no frame; SVD makes 7, is told the number and moves by it.",
                ),
                io.Combo.Input(
                    "fit",
                    options=list(FITS),
                    default="crop",
                    tooltip="Pictures of another size: crop fills the video and cuts the edges, pad shows all on "
                    "black, stretch ignores the aspect.",
                ),
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


class AddKeyframe(CheckedNode):
    """Puts one more picture on the track."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenAddKeyframe",
            display_name="Add Keyframe",
            category="inbetween/keyframes",
            description="Puts one picture on one frame of the video. Chain as many as you like.",
            search_aliases=["middle frame", "multi keyframe", "insert frame"],
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
            ],
            outputs=[KeyframesSocket.Output(display_name="keyframes")],
        )

    @classmethod
    def execute(
        cls, keyframes: KeyframeTrack, image: io.Image.Type, frame: int = 40, strength: float = 1.0
    ) -> io.NodeOutput:
        if strength == 0:
            return io.NodeOutput(keyframes)
        picture, change = single_picture(image, "image")
        return io.NodeOutput(keyframes.with_keyframe(Keyframe(frame, picture, strength, "added image", change)))


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
            search_aliases=["reverse", "swap first last", "time reversal"],
            inputs=[KeyframesSocket.Input("keyframes", tooltip="The track to turn around.")],
            outputs=[KeyframesSocket.Output(display_name="keyframes")],
        )

    @classmethod
    def execute(cls, keyframes: KeyframeTrack) -> io.NodeOutput:
        return io.NodeOutput(keyframes.reversed())
