"""What is done to a finished video: its colours brought to the keyframes, segments joined."""

from collections.abc import Sequence

from comfy_api.latest import io

from ..frames.fit_host import fitted_picture
from ..frames.joined_video_host import JoinedComponents
from ..frames.keyframe_match import match_keyframes
from ..frames.keyframe_track import KeyframeTrack
from ..frames.segment_join import SEGMENTS, join_segments
from ..frames.slot_order import only
from ..frames.watch_host import watch_frames
from .checked_node import CheckedNode
from .sockets import KeyframesSocket


class MatchKeyframes(CheckedNode):
    """Takes away the colour shift of a video near its keyframes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenMatchKeyframes",
            display_name="Match Keyframes (Colour)",
            category="inbetween/finish",
            description="Measures how the colours near each keyframe are off, takes that away, and says in numbers how "
            "much the video jumped before and after. For a colour shift, a flash or a washed-out end.",
            search_aliases=[
                "color match",
                "colour shift",
                "color drift",
                "flash at the last frame",
                "color correction",
                "flicker",
                "色偏",
                "闪烁",
                "色ずれ",
                "ちらつき",
            ],
            inputs=[
                io.Image.Input(
                    "images", tooltip="The whole video, decoded: as many frames and as large as the track says."
                ),
                KeyframesSocket.Input(
                    "keyframes",
                    tooltip="The track that the video was made from. A keyframe of strength below 1 counts by its "
                    "strength.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Share of the colour drift that is taken away. 1 is all, 0 is exactly off.",
                ),
                io.Int.Input(
                    "reach",
                    default=12,
                    min=1,
                    max=1000,
                    tooltip="Frames on each side of a keyframe that may change, less the farther away they are; those "
                    "beyond stay as they are. A shorter flash is found and changes fewer.",
                ),
                io.Boolean.Input(
                    "pin_keyframes",
                    default=False,
                    tooltip="Puts the keyframes of strength 1 themselves, fitted to the track, on their frames.",
                ),
            ],
            outputs=[io.Image.Output(display_name="images"), io.String.Output(display_name="report")],
        )

    @classmethod
    def execute(
        cls,
        images: io.Image.Type,
        keyframes: KeyframeTrack,
        strength: float = 1.0,
        reach: int = 12,
        pin_keyframes: bool = False,
    ) -> io.NodeOutput:
        pictures = {item.frame: fitted_picture(item, keyframes)[0] for item in keyframes.keyframes}
        return io.NodeOutput(
            *match_keyframes(images, keyframes, pictures, strength, reach, pin_keyframes, watch_frames)
        )


class JoinSegments(CheckedNode):
    """Makes one video of several segments."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        segment = io.Image.Input(
            "segment",
            tooltip="One segment, decoded, or a list of them, as a loop gives. All are of one size.",
        )
        return io.Schema(
            node_id="InbetweenJoinSegments",
            display_name="Join Segments",
            category="inbetween/finish",
            description="Joins segments of a longer video, drops the frames that they repeat, and says in numbers how "
            "well each seam fits.",
            search_aliases=[
                "concatenate videos",
                "merge videos",
                "combine videos",
                "long video",
                "stitch",
                "seam",
                "loop",
                "拼接视频",
                "长视频",
                "動画をつなぐ",
                "ループ",
            ],
            is_input_list=True,
            inputs=[
                io.Autogrow.Input(
                    "segments",
                    template=io.Autogrow.TemplateNames(segment, names=list(SEGMENTS), min=0),  # not even the first
                    tooltip="The segments in their order; a new slot opens with each. A muted one is left out. They "
                    "stay in memory until all are made.",
                ),
                io.Int.Input(
                    "overlap",
                    default=1,
                    min=0,
                    max=1000,
                    tooltip="Frames at the start of each segment that repeat the end of the one before, and are "
                    "dropped. 1: each segment starts on the last frame of the one before.",
                ),
                io.Int.Input(
                    "blend",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="How many of the overlap's frames are cross-faded instead of dropped; at most overlap. 0 "
                    "keeps the earlier segment's.",
                ),
                io.Float.Input(
                    "fps",
                    default=16.0,
                    min=1.0,
                    max=120.0,
                    step=0.001,
                    tooltip="Frames per second of the video, from Keyframes: 16 for Wan. 23.976 is 24000/1001 in the "
                    "report and in video; Save Video rounds it to three places in the file.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images"),
                io.Video.Output(display_name="video"),
                io.Int.Output(display_name="frame_count"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(
        cls,
        segments: io.Autogrow.Type,
        overlap: Sequence[int] = (1,),
        blend: Sequence[int] = (0,),
        fps: Sequence[float] = (16.0,),
    ) -> io.NodeOutput:
        joined = join_segments(segments, only("overlap", overlap), only("blend", blend), only("fps", fps), watch_frames)
        video = JoinedComponents(joined.images, joined.rate)
        return io.NodeOutput(joined.images, video, len(joined.images), joined.report)
