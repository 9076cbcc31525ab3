"""Through the server: bad input ends in one plain sentence, nothing is lost, and the next prompt runs."""

import pytest


@pytest.fixture
def refused(server, run):
    """The sentence with which a graph ends; afterwards the server still answers."""
    from pack.demo.server import PromptError

    def sentence(graph) -> str:
        with pytest.raises(PromptError) as error:
            run(graph)
        assert server.get("/queue") == {"queue_running": [], "queue_pending": []}
        return str(error.value)

    return sentence


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"InbetweenKeyframes.length": 32}, "length 32 is not 4n+1 for Wan; the nearest are 29 and 33"),
        ({"InbetweenKeyframes.width": 100}, "width 100 is not a multiple of 16; the nearest are 96 and 112"),
        ({"InbetweenReverseCandidates.stop_step": 9}, "stop_step 9 is above the 4 steps of sigmas: use 1 to 4"),
        ({"InbetweenSelectAnchors.margin": 20}, "margin 20 leaves no frame"),
        ({"InbetweenSelectAnchors.earliest": 0.9}, "use an earliest of at most 0.75"),
        ({"InbetweenSelectAnchors.score_on": "forward"}, "score_on is 'forward' but forward is not connected"),
        ({"InbetweenSelectAnchors.score_on": "disagreement"}, "'disagreement' but forward is not connected"),
        ({"Keyframes to Wan (reverse).clip_vision": None}, "clip_vision is missing"),
    ],
)
def test_the_sentence_reaches_the_artist(small, refused, values, message):
    from pack.demo.graphs import with_values

    graph = with_values(small("afb_wan2.1_i2v"), values)
    for node in graph.values():
        node["inputs"] = {key: value for key, value in node["inputs"].items() if value is not None}
    assert message in refused(graph)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("gi_svd_xt", {"InbetweenLoadBackwardMotion.file": "a.safetensors"}, "Make it once with 'Extract Backward"),
        ("gi_svd_xt", {"InbetweenKeyframes.width": 100}, "keyframes is 100x64; SVD needs sides that are multiples"),
        ("gi_svd_xt", {"InbetweenKeyframes.last_image": None}, "no picture on the last frame: connect last_image"),
        ("trf_svd_xt", {"InbetweenRecurrentSampler.jump_length": 5}, "until covers the first 2 of 4 steps"),
        ("vibid_svd_xt", {"InbetweenBidirectionalGuider.rotate_attention": "up"}, "one direction at a time"),
        ("mpd_svd_xt", {"InbetweenBidirectionalGuider.min_cfg": 2.0}, "min_cfg 2 is above max_cfg 1: exchange them"),
    ],
)
def test_the_sentence_of_an_svd_graph_reaches_the_artist(small, refused, name, values, message):
    from pack.demo.graphs import with_values

    graph = with_values(small(name), values)
    for node in graph.values():
        node["inputs"] = {key: value for key, value in node["inputs"].items() if value is not None}
    assert message in refused(graph)


def test_a_missing_backbone_is_told_before_anything_runs(small, refused):
    graph = small("afb_wan2.2_14b_i2v", **{"InbetweenLoadLPIPS.backbone": "vgg16-397923af.pth"})
    message = refused(graph)
    assert "Custom validation failed" in message or "custom_validation_failed" in message
    assert "'vgg16-397923af.pth' is not in" in message
    assert "Nothing is downloaded for you" in message


def test_a_batch_as_keyframe_and_an_empty_track(small, refused):
    graph = small("afb_wan2.2_14b_i2v")
    first = next(key for key, node in graph.items() if node["_meta"]["title"] == "First picture")
    graph["batch"] = {
        "class_type": "RepeatImageBatch",
        "inputs": {"image": [first, 0], "amount": 3},
        "_meta": {"title": "batch"},
    }
    track = next(node for node in graph.values() if node["class_type"] == "InbetweenKeyframes")
    track["inputs"]["first_image"] = ["batch", 0]
    assert "first_image is a batch of 3 images, a keyframe is exactly 1" in refused(graph)
    del track["inputs"]["first_image"], track["inputs"]["last_image"], graph["batch"]
    assert "keyframes is empty: connect first_image or last_image" in refused(graph)


def test_candidates_of_another_length(small, refused):
    graph = small("afb_wan2.2_14b_i2v")
    found = next(key for key, node in graph.items() if node["class_type"] == "InbetweenReverseCandidates")
    graph["cut"] = {
        "class_type": "ImageFromBatch",
        "inputs": {"image": [found, 0], "batch_index": 0, "length": 29},
        "_meta": {"title": "cut"},
    }
    select = next(node for node in graph.values() if node["class_type"] == "InbetweenSelectAnchors")
    select["inputs"]["candidates"] = ["cut", 0]
    assert "candidates has 29 frames, keyframes has a length of 33" in refused(graph)


def test_cancel_during_candidates_and_the_next_prompt_runs(server, small, run):
    from pack.demo.graphs import node_by_title, with_values
    from pack.demo.server import PromptError

    graph = with_values(
        small("afb_wan2.2_14b_i2v"), {"BasicScheduler.steps": 400, "InbetweenReverseCandidates.stop_step": 400}
    )
    candidates = node_by_title(graph, "Reverse Candidates (AFB)")
    seen = []

    def cancel(kind, data):
        if kind != "progress_state" or candidates not in data["nodes"]:
            return
        state = data["nodes"][candidates]
        if state["state"] == "running" and state["value"] >= 2:
            if not seen:
                server.post("/interrupt", {})
            seen.append(state["value"])

    with pytest.raises(PromptError, match="InbetweenReverseCandidates: interrupted"):
        run(graph, cancel)
    assert seen
    assert seen[-1] <= 40  # of 400: what the server did until the request reached it
    assert "Report: anchor" in run(small("afb_wan2.2_14b_i2v", **{"RandomNoise.noise_seed": 8}))
