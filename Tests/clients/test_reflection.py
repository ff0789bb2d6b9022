"""Server reflection, rows R1 to R7, with grpcio-reflection's messages and client."""

import subprocess

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2 as messages
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from conftest import BINARY, Server
from raw import WINDOW_UPDATE, Raw, frame, message

NOT_FOUND = 5
SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "profiles.v1.Admin",
    "profiles.v1.Profiles",
]


def ask(channel, version, *requests):
    """R7: both versions have the same messages."""
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=messages.ServerReflectionRequest.SerializeToString,
        response_deserializer=messages.ServerReflectionResponse.FromString,
    )
    responses = list(call(iter(requests), timeout=20))
    assert [response.original_request for response in responses] == list(requests)
    return responses


@pytest.fixture(params=["v1", "v1alpha"])
def reflect(request, shared):
    with shared.channel() as channel:
        yield lambda **fields: ask(channel, request.param, messages.ServerReflectionRequest(**fields))[0]


def files(response):
    return [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in response.file_descriptor_response.file_descriptor_proto
    ]


def test_R1_services_are_listed(reflect):
    response = reflect(list_services="", host="here")
    assert sorted(service.name for service in response.list_services_response.service) == SERVICES
    assert response.valid_host == "here"


@pytest.mark.parametrize(
    "symbol, file",
    [
        ("profiles.v1.Profiles", "profiles/v1/profiles.proto"),
        ("profiles.v1.TrackRequest", "profiles/v1/profiles.proto"),
        ("profiles.v1.Profiles.Track", "profiles/v1/profiles.proto"),
        ("profiles.v1.TrackRequest.events", "profiles/v1/profiles.proto"),
        ("profiles.v1.EventStatus", "profiles/v1/types.proto"),
        ("profiles.v1.Identifier.id", "profiles/v1/types.proto"),
        ("profiles.v1.STATE_IDENTIFIED", "profiles/v1/types.proto"),
        ("profiles.v1.Object.FieldsEntry", "profiles/v1/types.proto"),
        ("grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"),
        ("google.protobuf.Timestamp", "google/protobuf/timestamp.proto"),
    ],
)
def test_R2_R4_a_symbol_names_its_file(reflect, symbol, file):
    assert files(reflect(file_containing_symbol=symbol))[0].name == file


@pytest.mark.parametrize(
    "fields",
    [
        {"file_containing_symbol": "profiles.v1.Nothing"},
        {"file_containing_symbol": ""},
        {"file_by_filename": "nothing.proto"},
        {"file_containing_symbol": "profiles.v1"},
        {"all_extension_numbers_of_type": "profiles.v1.Nothing"},
        {
            "file_containing_extension": messages.ExtensionRequest(
                containing_type="profiles.v1.TrackRequest", extension_number=1
            )
        },
    ],
)
def test_R3_unknown_symbol_is_an_error_response(reflect, fields):
    response = reflect(**fields)
    assert response.error_response.error_code == NOT_FOUND and response.error_response.error_message


def test_a_message_without_extensions_has_none(reflect):
    response = reflect(all_extension_numbers_of_type="profiles.v1.TrackRequest").all_extension_numbers_response
    assert (response.base_type_name, list(response.extension_number)) == ("profiles.v1.TrackRequest", [])


def test_an_empty_request_is_an_error_response(reflect):
    assert reflect(host="x").error_response.error_code == 3


def test_R5_R6_a_file_comes_with_everything_it_needs(reflect):
    found = files(reflect(file_by_filename="profiles/v1/profiles.proto"))
    names = [file.name for file in found]
    assert names[0] == "profiles/v1/profiles.proto" and len(set(names)) == len(names)
    assert all(imported in names for file in found for imported in file.dependency)
    pool, waiting = descriptor_pool.DescriptorPool(), {file.name: file for file in found}
    while waiting:
        ready = [file for file in waiting.values() if not set(file.dependency) & set(waiting)]
        assert ready
        for file in ready:
            pool.AddSerializedFile(waiting.pop(file.name).SerializeToString())
    assert pool.FindServiceByName("profiles.v1.Profiles").methods_by_name["TrackStream"].client_streaming


def test_many_requests_of_one_stream_have_ordered_responses_with_errors_in_between(shared):
    names = ["profiles.v1.Profiles", "profiles.v1.Nothing", "profiles.v1.Admin"] * 200
    with shared.channel() as channel:
        responses = ask(
            channel, "v1", *[messages.ServerReflectionRequest(file_containing_symbol=name) for name in names]
        )
    assert len(responses) == 600
    assert [response.HasField("error_response") for response in responses] == [
        name.endswith("Nothing") for name in names
    ]


def test_a_late_reader_gets_every_response_and_costs_bounded_memory(tmp_path):
    """30 KB of response for each 40 bytes of request: the server stops reading the stream until its responses are
    read."""
    server = Server(tmp_path / "data").start()
    one = message(messages.ServerReflectionRequest(file_by_filename="profiles/v1/profiles.proto").SerializeToString())
    with Raw(server.listen, settings=b"\0\4\0\0\0\0") as raw:
        before = server.resident_bytes()
        stream = raw.headers(path="/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
        raw.data(stream, one * 100, end=False)
        raw.data(stream, one * 100, end=False)
        assert raw.call(messages.ServerReflectionRequest().SerializeToString(), path="/nothing").grpc == 12
        assert server.resident_bytes() - before < 4 << 20
        raw.send(frame(WINDOW_UPDATE, stream=stream, payload=(1 << 30).to_bytes(4, "big")))
        raw.send(frame(WINDOW_UPDATE, payload=(1 << 30).to_bytes(4, "big")))
        raw.data(stream, b"")
        response = raw.response(stream)
        assert response.grpc == 0 and len(response.data) > 200 * 20_000
        assert server.resident_bytes() - before < 16 << 20
    assert server.stop() == 0


def test_a_reflection_client_finds_a_method_and_its_messages(shared):
    with shared.channel() as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert sorted(database.get_services()) == SERVICES
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName("profiles.v1.Profiles").FindMethodByName("GetProfile")
        assert method.output_type.fields_by_name["profile"].message_type.full_name == "profiles.v1.Profile"


def test_reflection_can_be_turned_off(tmp_path):
    server = Server(tmp_path / "data", "--reflection", "off").start()
    with server.channel() as channel:
        for version in ("v1", "v1alpha"):
            with pytest.raises(grpc.RpcError) as caught:
                ask(channel, version, messages.ServerReflectionRequest(list_services=""))
            assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert server.stop() == 0
    run = subprocess.run([str(BINARY), "--reflection", "maybe"], capture_output=True, text=True, timeout=30)
    assert run.returncode == 2 and "reflection" in run.stderr
