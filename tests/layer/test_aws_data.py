"""botocore's data, pruned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader

from layer import aws_data

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
USED = aws_data.operations_used(ROOT / "extension")
VARIANTS = [(fips, dualstack) for fips in (False, True) for dualstack in (False, True)]


@pytest.fixture(scope="session")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data as it goes into the layer."""
    folder = tmp_path_factory.mktemp("data")
    aws_data.write_pruned(USED, folder)
    return folder


def _session(data: Path | None) -> botocore.session.Session:
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "secret")
    if data is not None:
        loader = Loader(extra_search_paths=[str(data)], include_default_search_paths=False)
        # As in the layer, where this is botocore's own data: a user's endpoints.json would come before the rule sets.
        loader.BUILTIN_DATA_PATH = str(data)
        session.register_component("data_loader", loader)
    return session


def _regions() -> list[str]:
    """Every region of every partition, and one that is not there yet."""
    partitions = Loader().load_data("endpoints")["partitions"]
    return [region for partition in partitions for region in partition["regions"]] + ["eu-north-7"]


def _parameters(model: Any) -> dict[str, str]:
    """Something for each parameter that endpoint rules look at."""
    given = {"Bucket": "telemetry", "StreamName": "telemetry", "Key": "a", "QueueUrl": "https://example.test/1/q"}
    members = model.input_shape.members if model.input_shape else {}
    return {name: value for name, value in given.items() if name in members}


def _endpoints(session: botocore.session.Session, service: str) -> Iterator[tuple[object, ...]]:
    """What botocore would send each operation to, in each region and variant, and how it would sign it."""
    for region in _regions():
        for fips, dualstack in VARIANTS:
            config = Config(use_fips_endpoint=fips, use_dualstack_endpoint=dualstack)
            try:
                client: Any = session.create_client(service, region_name=region, config=config)
                for operation in sorted(USED[service]):
                    model = client.meta.service_model.operation_model(operation)
                    url, headers, properties = client._resolve_endpoint_ruleset(
                        model, _parameters(model), {"client_region": region, "has_streaming_input": False}
                    )
                    yield region, fips, dualstack, operation, url, headers, properties
                yield region, fips, dualstack, client.meta.endpoint_url, client._request_signer.signing_name
                client.close()
            except BotoCoreError as error:
                yield region, fips, dualstack, str(error)


@pytest.mark.parametrize("service", sorted(USED))
def test_endpoints_resolve_as_with_all_data(service: str, pruned: Path) -> None:
    """In every partition and region, with FIPS and dual-stack or without, each operation goes where it went before."""
    whole = list(_endpoints(_session(None), service))
    assert list(_endpoints(_session(pruned), service)) == whole
    assert len(whole) > len(_regions()) * len(VARIANTS)


@pytest.mark.parametrize("service", sorted(USED))
def test_operations_are_those_used(service: str, pruned: Path) -> None:
    """A client made of the pruned data has the operations its sink names, with all their shapes, and no others."""
    client = _session(pruned).create_client(service, region_name="eu-west-1")
    model = client.meta.service_model
    assert set(model.operation_names) == USED[service]
    whole = _session(None).get_service_model(service)
    for name in model.operation_names:
        operation, unpruned = model.operation_model(name), whole.operation_model(name)
        assert _described(operation.input_shape) == _described(unpruned.input_shape)
        assert _described(operation.output_shape) == _described(unpruned.output_shape)
        assert [shape.name for shape in operation.error_shapes] == [shape.name for shape in unpruned.error_shapes]
    client.close()


def _described(shape: Any, above: tuple[str, ...] = ()) -> object:
    """A shape with everything below it, but for what it says in words."""
    if shape is None or shape.name in above:
        return None
    above = (*above, shape.name)
    inner: object = None
    if shape.type_name == "structure":
        inner = {name: _described(member, above) for name, member in shape.members.items()}
    elif shape.type_name == "list":
        inner = _described(shape.member, above)
    elif shape.type_name == "map":
        inner = [_described(shape.key, above), _described(shape.value, above)]
    return shape.name, shape.type_name, shape.serialization, shape.metadata, inner


def test_operations_are_read_from_the_sinks(tmp_path: Path) -> None:
    """Two modules may call the same service; a module without the constants calls none."""
    (tmp_path / "a.py").write_text('SERVICE = "sqs"\nOPERATIONS = ("SendMessageBatch",)\n')
    (tmp_path / "b.py").write_text('SERVICE = "sqs"\nOPERATIONS = ("GetQueueUrl",)\n')
    (tmp_path / "c.py").write_text('OTHER = "s3"\n')
    assert aws_data.operations_used(tmp_path) == {"sqs": {"SendMessageBatch", "GetQueueUrl"}}


def test_unknown_operation_fails_the_build() -> None:
    """An operation that the service does not have is an error of the build, not of the layer in production."""
    with pytest.raises(KeyError, match="PutObjekt"):
        aws_data.prune_service(Loader().load_service_model("s3", "service-2"), {"PutObjekt"})
