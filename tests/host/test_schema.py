"""The contract: node ids, input ids in order with their defaults, outputs. Workflow files depend on every name."""

import pytest

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


@pytest.fixture(scope="module")
def schemas(host):
    from pack.frames.lpips_host import register_folder
    from pack.nodes import NODES

    register_folder()
    return {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in NODES)}


def test_every_node_of_the_contract_is_there_and_no_other(schemas):
    assert list(schemas) == list(CONTRACT)


@pytest.mark.parametrize("node_id", CONTRACT)
def test_inputs_and_outputs_are_pinned(schemas, node_id):
    schema = schemas[node_id]
    inputs = []
    for item in schema.inputs:
        default = None if item.id == "backbone" else getattr(item, "default", None)  # a file of this machine
        inputs.append(f"{item.id}?" if item.optional else item.id if default is None else f"{item.id}={default}")
    outputs = [f"{item.display_name}:{item.io_type}" for item in schema.outputs]
    assert (inputs, outputs) == CONTRACT[node_id]


@pytest.mark.parametrize("node_id", CONTRACT)
def test_every_input_has_a_tooltip_and_every_node_a_place(schemas, node_id):
    schema = schemas[node_id]
    assert schema.category.startswith("inbetween/")
    assert schema.description
    assert schema.search_aliases
    assert [item.id for item in schema.inputs if not item.tooltip] == []


@pytest.mark.parametrize("node_id", CONTRACT)
def test_execute_takes_exactly_the_inputs_of_the_schema(schemas, node_id):
    import inspect

    from pack.nodes import NODES

    node = next(item for item in NODES if item.GET_SCHEMA().node_id == node_id)
    parameters = inspect.signature(node.execute).parameters
    assert set(parameters) == {item.id for item in schemas[node_id].inputs}
    optional = {item.id for item in schemas[node_id].inputs if item.optional}
    assert all(parameters[name].default is None for name in optional)
