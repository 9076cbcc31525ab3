"""X-CLIP's similarity is what transformers says of the same frames and caption, with a small seeded network."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    CLIPTokenizer,
    VideoMAEImageProcessor,
    XCLIPConfig,
    XCLIPModel,
    XCLIPProcessor,
    XCLIPTextConfig,
    XCLIPVisionConfig,
)

from pack.bench.suite.clip_measures import CaptionSimilarity
from pack.bench.suite.set_measures import MeasureError

CAPTION = "a cat jumps over a sofa"


def video(length: int):
    return np.random.default_rng(0).integers(0, 256, (length, 36, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder as transformers writes it: letters as tokens, 8 frames, two layers of width 32."""
    path = tmp_path_factory.mktemp("xclip")
    letters = [chr(code) for code in range(33, 127)]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    end = vocabulary["<|endoftext|>"]
    words = {"bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end, "vocab_size": len(pieces)}
    mit = {"mit_hidden_size": 32, "mit_intermediate_size": 64, "mit_num_attention_heads": 4}
    config = XCLIPConfig(
        text_config=XCLIPTextConfig(**small, **words).to_dict(),
        vision_config=XCLIPVisionConfig(**small, **mit, num_frames=8, image_size=32, patch_size=16).to_dict(),
        projection_dim=32,
        prompt_num_attention_heads=4,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        XCLIPModel(config).save_pretrained(path)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    tokens = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)
    XCLIPProcessor(VideoMAEImageProcessor(**size), tokens).save_pretrained(path)
    return path


def by_transformers(folder, frames, caption):
    model, processor = XCLIPModel.from_pretrained(folder).eval(), XCLIPProcessor.from_pretrained(folder)
    inputs = processor(text=[caption], videos=list(frames), return_tensors="pt", padding=True)
    with torch.no_grad():
        found = model(**inputs)
    return float(torch.cosine_similarity(found.video_embeds[0], found.text_embeds[0, 0], dim=0))


@pytest.mark.parametrize(
    ("length", "chosen"),
    [(8, range(8)), (15, range(0, 15, 2)), (25, [0, 3, 7, 10, 14, 17, 21, 24])],
)
def test_it_is_the_cosine_of_eight_frames_and_the_caption(folder, length, chosen):
    frames = video(length)
    found = CaptionSimilarity(folder, "cpu").scores(frames, CAPTION, 16.0)
    assert found == {"xclip": pytest.approx(by_transformers(folder, frames[list(chosen)], CAPTION), rel=1e-4)}
    assert -1 <= found["xclip"] <= 1


def test_the_caption_counts(folder):
    measure = CaptionSimilarity(folder, "cpu")
    one, other = (measure.scores(video(8), words, 16.0)["xclip"] for words in (CAPTION, "rain"))
    assert one != pytest.approx(other, rel=1e-3)


def test_a_long_caption_is_cut_where_the_network_ends(folder):
    measure = CaptionSimilarity(folder, "cpu")
    fits, longer, shorter = (measure.scores(video(8), "a b " * count, 16.0)["xclip"] for count in (38, 99, 37))
    assert longer == pytest.approx(fits, rel=1e-5)  # 77 tokens, of which two say where the caption starts and ends
    assert shorter != pytest.approx(fits, rel=1e-5)


def test_without_a_caption_there_is_no_number(folder):
    assert CaptionSimilarity(folder, "cpu").scores(video(8), " ", 16.0) == {"xclip": None}


def test_a_short_video_is_said_to_be(folder):
    with pytest.raises(MeasureError, match="X-CLIP needs videos of 8 frames or more, and this one has 7"):
        CaptionSimilarity(folder, "cpu").scores(video(7), CAPTION, 16.0)


def test_a_folder_with_older_files_gives_the_same(folder, tmp_path):
    """Files as of 2022: a pickled state, and a description of the pictures under older names."""
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    torch.save(load_file(folder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    older = {"feature_extractor_type": "VideoMAEFeatureExtractor", "size": 32, "crop_size": 32, "resample": 2}
    more = {"do_resize": True, "do_center_crop": True, "do_normalize": True}
    colours = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**older, **more, **colours}))
    ours, new = (CaptionSimilarity(place, "cpu").scores(video(8), CAPTION, 16.0) for place in (tmp_path, folder))
    assert ours == pytest.approx(new, rel=1e-5)


def test_a_folder_that_is_not_the_model_is_named(folder, tmp_path):
    with pytest.raises(MeasureError, match="X-CLIP is left out: .*nowhere cannot be used"):
        CaptionSimilarity(tmp_path / "nowhere", "cpu")
    with pytest.raises(MeasureError, match="X-CLIP is left out: .* cannot be used") as caught:
        CaptionSimilarity(tmp_path, "cpu")
    assert "\n" not in str(caught.value)


def test_a_folder_that_lacks_weights_is_named(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    from safetensors.torch import save_file

    state = load_file(folder / "model.safetensors")
    del state["text_projection.weight"]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MeasureError, match="it lacks 1 of the model's tensors"):
        CaptionSimilarity(tmp_path, "cpu")
