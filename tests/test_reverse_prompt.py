"""The instruction for the vision-language model."""

from pack.frames.reverse_prompt import reverse_instruction


def test_the_forward_prompt_is_quoted_and_the_number_of_pictures_named():
    text = reverse_instruction(2, 5.06, "a motorcycle rolls forward")
    assert "2 pictures" in text
    assert "5.1 seconds" in text
    assert '"a motorcycle rolls forward"' in text


def test_without_a_prompt_nothing_is_quoted():
    assert '"' not in reverse_instruction(3, 2.0)
    assert "You see the picture" in reverse_instruction(1, 2.0)
