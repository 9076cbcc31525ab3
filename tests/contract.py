"""The contract that workflow files depend on: node ids, input ids in order with defaults (`?` optional), outputs."""

CONTRACT = {
    "InbetweenKeyframes": (
        ["first_image?", "last_image?", "width=832", "height=480", "length=81", "fps=16.0", "fit=crop"],
        ["keyframes:INBETWEEN_KEYFRAMES", "fps:FLOAT", "frame_count:INT"],
    ),
    "InbetweenAddKeyframe": (
        ["keyframes", "image", "frame=40", "strength=1.0"],
        ["keyframes:INBETWEEN_KEYFRAMES"],
    ),
    "InbetweenReverseKeyframes": (["keyframes"], ["keyframes:INBETWEEN_KEYFRAMES"]),
    "InbetweenWanConditioning": (
        ["positive", "negative", "vae", "keyframes", "clip_vision?", "placement=snap", "batch_size=1", "model?"],
        ["positive:CONDITIONING", "negative:CONDITIONING", "latent:LATENT", "report:STRING"],
    ),
    "InbetweenReverseCandidates": (
        ["noise", "guider", "sampler", "sigmas", "latent_image", "vae", "stop_step=15", "stop_sigma=0.0"],
        ["candidates:IMAGE", "latent:LATENT", "report:STRING"],
    ),
    "InbetweenSelectAnchors": (
        [
            "keyframes",
            "candidates",
            "forward?",
            "metric?",
            "score_on=auto",
            "count=1",
            "margin=8",
            "fixed_alpha=0.75",
        ],
        [
            "keyframes:INBETWEEN_KEYFRAMES",
            "anchors:IMAGE",
            "breakpoint:INT",
            "alpha:FLOAT",
            "plot:IMAGE",
            "report:STRING",
        ],
    ),
    "InbetweenLoadLPIPS": (["backbone"], ["metric:INBETWEEN_METRIC"]),
    "InbetweenReversePrompt": (["keyframes", "prompt="], ["instruction:STRING", "images:IMAGE"]),
    "InbetweenKeyframeAttention": (
        [
            "model",
            "strength=1.0",
            "isolate=True",
            "text_weight=1.0",
            "first_weight=1.0",
            "last_weight=1.0",
            "beta_end=0.7",
            "beta_mid=0.3",
            "epsilon=0.0005",
            "blocks=5-12",
            "start_percent=0.0",
            "end_percent=0.4",
            "branches=all",
            "on_negative=False",
            "weights_by_position=False",
            "keyframes?",
        ],
        ["model:MODEL"],
    ),
    "InbetweenTemporalRoPE": (
        [
            "model",
            "strength=1.0",
            "mode=amplitude",
            "edge_scale=1.06",
            "mid_scale=0.94",
            "edge_frames=0",
            "smooth_radius=2",
            "blocks=",
            "balance=False",
        ],
        ["model:MODEL"],
    ),
    "InbetweenAttentionPlot": (
        ["noise", "guider", "sigmas", "latent_image", "step=5"],
        ["plot:IMAGE", "report:STRING"],
    ),
}
