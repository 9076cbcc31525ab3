"""Which take is good, and how near a video is to another one: numbers, curves and a choice."""

from collections.abc import Sequence

from comfy_api.latest import io

from ..frames.fit_host import fitted_picture
from ..frames.keyframe_track import KeyframeTrack
from ..frames.perceptual_distance import PerceptualMetric
from ..frames.slot_order import only
from ..frames.structural_similarity import SSIMMetric
from ..frames.take_ranking import TAKES, best_take
from ..frames.video_scores import compare_videos
from ..frames.watch_host import watch_frames
from .checked_node import CheckedNode
from .sockets import KeyframesSocket, MetricSocket


class PickBest(CheckedNode):
    """Of several takes of one video, the one that lands on its keyframes and has the smallest seams."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        take = io.Image.Input(
            "take",
            tooltip="One take of the video, as long and as large as the track, or a list of them, as a loop gives.",
        )
        return io.Schema(
            node_id="InbetweenPickBest",
            display_name="Pick Best Take",
            category="inbetween/evaluate",
            description="Compares takes of one video, such as those of several seeds, by how near they come to the "
            "keyframes, how much they jump at the end and how much anywhere else, and gives the best one.",
            search_aliases=[
                "best of n",
                "seed selection",
                "choose best",
                "rank takes",
                "tail jump",
                "quality score",
                "选最佳",
                "一番良い",
            ],
            is_input_list=True,
            inputs=[
                io.Autogrow.Input(
                    "takes",
                    template=io.Autogrow.TemplateNames(take, names=list(TAKES), min=0),  # not even the first
                    tooltip="Two takes or more; a new slot opens with each. A muted one is left out. Takes stay in "
                    "memory until all are made.",
                ),
                KeyframesSocket.Input("keyframes", tooltip="The track that the takes were made from."),
                MetricSocket.Input(
                    "metric",
                    optional=True,
                    tooltip="Distance from the keyframes: Load LPIPS, or, if open, 1-SSIM, which needs no weights. It "
                    "sees one frame of each take for each keyframe.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The best take, as it came."),
                io.Int.Output(
                    display_name="index",
                    tooltip="Number of the best take's slot: 1 is take_1. Takes of a list are counted through.",
                ),
                io.Image.Output(display_name="plot"),
                io.String.Output(display_name="report"),
            ],
        )

    @classmethod
    def execute(
        cls,
        takes: io.Autogrow.Type,
        keyframes: Sequence[KeyframeTrack],
        metric: Sequence[PerceptualMetric] | None = None,
    ) -> io.NodeOutput:
        track, measure = only("keyframes", keyframes), only("metric", metric) or SSIMMetric(watch_frames)
        pictures = [fitted_picture(item, track) for item in track.keyframes]
        best = best_take(takes, track, pictures, measure, watch_frames)
        return io.NodeOutput(best.images, best.index, best.plot, best.report)


class CompareVideos(CheckedNode):
    """How near a video is to a reference, frame by frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="InbetweenCompareVideos",
            display_name="Compare Videos (PSNR, SSIM, LPIPS)",
            category="inbetween/evaluate",
            description="Measures how near a video is to a reference video of the same length and size: PSNR, SSIM "
            "and, with Load LPIPS, LPIPS, for every frame and in the mean.",
            search_aliases=[
                "psnr",
                "ssim",
                "lpips",
                "video quality",
                "metrics",
                "benchmark",
                "evaluate",
                "视频质量",
                "動画 比較",
            ],
            inputs=[
                io.Image.Input("images", tooltip="The video to judge."),
                io.Image.Input(
                    "reference", tooltip="The true video, as long and as large. Swapping the two changes no score."
                ),
                MetricSocket.Input(
                    "metric",
                    optional=True,
                    tooltip="Load LPIPS adds LPIPS, two network passes for each frame. Open: PSNR and SSIM alone.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="plot"),
                io.String.Output(display_name="report"),
                io.String.Output(
                    display_name="scores", tooltip="JSON text: every frame's numbers and the means, for a file."
                ),
            ],
        )

    @classmethod
    def execute(
        cls, images: io.Image.Type, reference: io.Image.Type, metric: PerceptualMetric | None = None
    ) -> io.NodeOutput:
        found = compare_videos(images, reference, metric, watch_frames)
        return io.NodeOutput(found.plot, found.report, found.scores)
