"""The contract: node ids, input ids in order with their defaults, outputs. Workflow files depend on every name."""

import pytest

from pack.tests.contract import CONTRACT


@pytest.fixture(scope="module")
def schemas(host):
    from pack.nodes import NODES

    return {schema.node_id: schema for schema in (node.GET_SCHEMA() for node in NODES)}


def test_every_node_of_the_contract_is_there_and_no_other(schemas):
    assert list(schemas) == list(CONTRACT)


@pytest.mark.parametrize("node_id", CONTRACT)
def test_inputs_and_outputs_are_pinned(schemas, node_id):
    schema = schemas[node_id]
    inputs = []
    for item in schema.inputs:
        default = None if item.id in ("backbone", "file") else getattr(item, "default", None)  # files of this machine
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
    optional = {item.id: getattr(item, "default", None) for item in schemas[node_id].inputs if item.optional}
    assert all(parameters[name].default == default for name, default in optional.items())
