"""The pack's extension and its one list of nodes, in the order of the node menu."""

from comfy_api.latest import ComfyExtension, io

from .anchors import LoadLPIPS, ReverseCandidates, SelectAnchors
from .attention import AttentionPlot, KeyframeAttention, TemporalRoPE
from .bidirectional import (
    BidirectionalGuider,
    ExtractBackwardMotion,
    LoadBackwardMotion,
    MPDSampler,
    RecurrentSampler,
    ViBiDSampler,
)
from .bridge import BridgePrior, BridgeSampler, NeuralPrior
from .conditioning import HunyuanConditioning, SVDConditioning, WanConditioning
from .evaluate import CompareVideos, PickBest
from .finish import JoinSegments, MatchKeyframes
from .keyframes import AddKeyframe, Keyframes, ReverseKeyframes, Storyboard
from .prompt import ReversePrompt

NODES: list[type[io.ComfyNode]] = [
    Keyframes,
    Storyboard,
    AddKeyframe,
    ReverseKeyframes,
    WanConditioning,
    HunyuanConditioning,
    ReverseCandidates,
    SelectAnchors,
    LoadLPIPS,
    ReversePrompt,
    KeyframeAttention,
    TemporalRoPE,
    AttentionPlot,
    SVDConditioning,
    LoadBackwardMotion,
    ExtractBackwardMotion,
    BidirectionalGuider,
    RecurrentSampler,
    ViBiDSampler,
    MPDSampler,
    BridgePrior,
    NeuralPrior,
    BridgeSampler,
    MatchKeyframes,
    JoinSegments,
    PickBest,
    CompareVideos,
]


class InbetweenExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
