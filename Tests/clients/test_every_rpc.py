"""Every RPC of the contract is built."""

import grpc
import pytest
from google.protobuf import message_factory

import conftest  # noqa: F401  (puts the stubs on the path)
from profiles.v1 import admin_pb2, profiles_pb2

# A failed request does not end the call: test_streams.py.
STREAMS = {"TrackStream"}
# An empty request is valid: test_options.py, test_backup.py, test_keys.py.
ALWAYS_VALID = {"ListProjects", "CreateSnapshot", "ListKeys"}
METHODS = [
    method
    for module in (profiles_pb2, admin_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def call(channel, method):
    kinds = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }
    multi = kinds[(method.client_streaming, method.server_streaming)](
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=lambda data: data,
    )
    request = message_factory.GetMessageClass(method.input_type)()
    response = multi(iter([request]) if method.client_streaming else request, timeout=10)
    return list(response) if method.server_streaming else response


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_empty_request_is_looked_at(shared, method):
    if method.name in ALWAYS_VALID:
        with shared.channel() as channel:
            assert call(channel, method) is not None
        return
    if method.name in STREAMS:
        with shared.channel() as channel:
            [response] = call(channel, method)
        assert profiles_pb2.TrackResponse.FromString(response).error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        return
    with shared.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        call(channel, method)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_the_contract_has_42_rpcs():
    assert len(METHODS) == 42
