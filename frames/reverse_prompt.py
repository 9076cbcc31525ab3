"""The instruction by which a vision-language model writes the prompt of the reverse video. Text only.

Source: Anchor Frame Bridging (ICLR 2026), Design 1: P_rev = VLM(I_{N-1}, I_0). The wording is ours; the paper's is not
published.
"""

from __future__ import annotations


def reverse_instruction(pictures: int, seconds: float, prompt: str = "") -> str:
    """What to ask a vision-language model that sees the keyframes in reverse order.

    Args:
        pictures: how many keyframes it sees, in the order of the reverse video, >= 1.
        seconds: the video's duration.
        prompt: the forward prompt, may be empty.
    """
    if pictures == 1:
        seen = f"You see the picture out of a video of {seconds:.1f} seconds that is known."
    else:
        seen = (
            f"You see {pictures} pictures out of a video of {seconds:.1f} seconds, in order of time, the first and the "
            f"last frame among them."
        )
    lines = [
        seen,
        "Write the prompt for a video generator: one paragraph of 60 to 100 words in the present tense.",
        "Describe the subject, the setting and the light, then the motion from the first picture to the last, "
        "in that order of time, as something that happens naturally.",
        "Describe camera movement if the framing changes. Do not mention pictures, frames, reversal or this task.",
    ]
    if prompt.strip():
        lines.append(
            "The same scene played the other way round was described as follows; keep its subject and style, and "
            f'describe the motion backwards: "{prompt.strip()}"'
        )
    return "\n".join(lines)
