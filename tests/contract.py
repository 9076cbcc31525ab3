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
}
