"""The pack's own socket types; everything else between nodes is a host type."""

from comfy_api.latest import io

KeyframesSocket = io.Custom("INBETWEEN_KEYFRAMES")  # a frames.keyframe_track.KeyframeTrack
MetricSocket = io.Custom("INBETWEEN_METRIC")  # a frames.perceptual_distance.PerceptualMetric
BackwardMotionSocket = io.Custom("INBETWEEN_BACKWARD_MOTION")  # 32 tensors, patches.backward_motion.motion_deltas
