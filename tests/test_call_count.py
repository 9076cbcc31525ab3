"""The sentence that tells what a sampler costs."""

from pack.samplers.call_count import call_count


def test_it_says_the_calls_the_steps_and_how_often_a_plain_sampler_would_ask():
    assert call_count("MPD Sampler", 25, 65, 50) == (
        "MPD Sampler: 65 model calls in 25 steps, 1.3 times a plain sampler's 50; each does the work of two where cfg "
        "is above 1."
    )
