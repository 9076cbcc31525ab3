"""The demo world's fixed text and picture encoders."""

import pytest
import torch

from pack.demo.world_nodes import encoders


def test_a_word_is_its_row_and_its_place():
    tokens = encoders.word_tokens("a red disc")
    assert tokens.shape == (40, 64)
    for place, word in enumerate(("a", "red", "disc")):
        assert tokens[place, : encoders.WORD_SLOTS].argmax() == encoders.WORDS.index(word)
    assert not tokens[3:].any()
    assert not torch.equal(tokens[0, encoders.WORD_SLOTS :], tokens[1, encoders.WORD_SLOTS :])


def test_an_empty_text_is_all_zero():
    assert not encoders.word_tokens("").any()


def test_every_word_has_a_slot_of_its_own():
    assert len(set(encoders.WORDS)) == len(encoders.WORDS) <= encoders.WORD_SLOTS


def test_an_unknown_word_is_named_with_the_nearest_known_one():
    with pytest.raises(ValueError, match=r"has the word 'yelow', which .* the nearest it knows is 'yellow'"):
        encoders.word_tokens("a yelow disc")


def test_too_many_words_are_counted():
    with pytest.raises(ValueError, match="text has 41 words; the demo world reads at most 40"):
        encoders.word_tokens("a " * 41)


def test_a_picture_is_257_tokens_from_which_every_patch_can_be_read_back():
    pictures = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(0))
    tokens = encoders.picture_tokens(pictures)
    assert tokens.shape == (2, 257, 1280)
    patches = (tokens @ torch.linalg.pinv(encoders._cosines(48, 1280)))[:, 1:]
    signed = torch.nn.functional.fold(patches.mT, 64, 4, stride=4)
    torch.testing.assert_close(signed, pictures.movedim(-1, 1) * 2 - 1, atol=1e-4, rtol=0)


def test_the_vector_is_the_thumbnail_and_its_brightness():
    red = torch.zeros(1, 64, 64, 3)
    red[..., 0] = 1
    channels = encoders.picture_vectors(red).unflatten(1, (4, 8, 8))
    expected = torch.tensor([1.0, -1.0, -1.0, -1 / 3])[None, :, None, None].expand(1, 4, 8, 8)
    torch.testing.assert_close(channels, expected)


def test_any_size_of_picture_gives_the_same_shape():
    assert encoders.picture_tokens(torch.rand(1, 48, 96, 3)).shape == (1, 257, 1280)
    assert encoders.picture_vectors(torch.rand(3, 48, 96, 3)).shape == (3, encoders.VECTOR_SIZE)
