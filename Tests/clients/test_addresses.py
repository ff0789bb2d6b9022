"""Addresses in any spelling: compared by what they mean, shown as they were written (docs/rules.md, section 1)."""

import signal

import grpc
import pytest
from google.protobuf import wrappers_pb2

from conftest import custom, fails, get, profiles_pb2, profiles_pb2_grpc, types_pb2, unique

EMAIL, SMS = 1, 2
TRANSACTIONAL = 2
HARD_BOUNCE_REASON = 1
OK, NO_ADDRESS, HARD_BOUNCE = 1, 2, 3

# Two spellings of one address: NAME stands for something unique in ASCII.
SPELLINGS = {
    "letters with accents": ("NAME.JOSÉ@example.com", "name.josé@EXAMPLE.com"),
    "a letter and its accent": ("name.jose\u0301@example.com", "NAME.JOS\u00c9@example.com"),
    "the sigma at the end": ("NAME.ΝΙΚΟΣ@example.com", "name.νικος@example.com"),
    "Cyrillic": ("NAME.ИВАН@ПРИМЕР.РФ", "name.иван@пример.рф"),
    "a domain in capitals": ("NAME@BÜCHER.example", "name@bücher.example"),
    "a domain in Punycode": ("NAME@xn--bcher-kva.example", "name@Bücher.example"),
    "a domain in Punycode in capitals": ("NAME@XN--BCHER-KVA.example", "name@bu\u0308cher.example"),
    "a domain in full width": ("NAME@ｅｘａｍｐｌｅ．ｃｏｍ", "name@example.com"),
    "a domain with an ideographic full stop": ("NAME@例え。テスト", "name@xn--r8jz45g.xn--zckzah"),
    "ASCII": ("NAME@Example.COM", "name@example.com"),
}
# Spellings of different addresses.
DIFFERENT = {
    "faß.de is not fass.de": ("NAME@faß.de", "NAME@fass.de"),
    "an accent": ("NAME.josé@example.com", "NAME.jose@example.com"),
    "a dotless letter": ("NAME.ı@example.com", "NAME.i@example.com"),
}
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2064\u2066\ufe0f\ufeff\U000e0041\u0085\u009f"


def both_ways(pairs):
    return [
        pytest.param(*pair, id=f"{name}, {way}")
        for name, (left, right) in pairs.items()
        for pair, way in (((left, right), "first"), ((right, left), "second"))
    ]


def named(*spellings):
    name = unique("n").upper()
    return [spelling.replace("NAME", name).replace("name", name.lower()) for spelling in spellings]


def identify(stub, who=None, **native):
    who = who or custom()
    values = {name: wrappers_pb2.StringValue(value=value) for name, value in native.items()}
    stub.Identify(
        profiles_pb2.IdentifyRequest(
            project="default",
            custom_id=who.custom_id,
            attributes=types_pb2.AttributePatch(native=types_pb2.NativeAttributes(**values)),
        )
    )
    return who


def lookup(stub, address):
    """Who has an address, with the address as it is shown."""
    request = profiles_pb2.LookupProfilesRequest(project="default", email_address=address)
    return [
        (profile.custom_id, profile.native.email_address.value) for profile in stub.LookupProfiles(request).profiles
    ]


def suppress(stub, address, channel=EMAIL):
    stub.AddSuppression(
        profiles_pb2.AddSuppressionRequest(
            project="default", channel=channel, address=address, reason=HARD_BOUNCE_REASON
        )
    )


def unsuppress(stub, address):
    request = profiles_pb2.RemoveSuppressionRequest(project="default", channel=EMAIL, address=address)
    return stub.RemoveSuppression(request).existed


def reason(stub, who):
    return stub.CheckSendable(
        profiles_pb2.CheckSendableRequest(
            project="default", identifier=who, channel=EMAIL, message_class=TRANSACTIONAL
        )
    ).reason


def shown(stub, who):
    return stub.GetProfile(get(who)).profile.native


@pytest.mark.parametrize("written,other", both_ways(SPELLINGS))
def test_an_address_is_found_and_suppressed_in_another_spelling(stub, written, other):
    written, other = named(written, other)
    who = identify(stub, email_address=written)
    assert lookup(stub, other) == lookup(stub, written) == [(who.custom_id, written)]
    assert reason(stub, who) == OK and not unsuppress(stub, other)
    suppress(stub, other)
    assert reason(stub, who) == HARD_BOUNCE
    assert unsuppress(stub, written) and not unsuppress(stub, other)
    assert reason(stub, who) == OK
    # The other spelling is another value of the attribute, and the same address.
    suppress(stub, written)
    identify(stub, who, email_address=other)
    assert reason(stub, who) == HARD_BOUNCE
    assert lookup(stub, written) == [(who.custom_id, other)]
    assert shown(stub, who).email_address.value == other


@pytest.mark.parametrize("written,other", both_ways(DIFFERENT))
def test_different_addresses_stay_different(stub, written, other):
    written, other = named(written, other)
    who = identify(stub, email_address=written)
    suppress(stub, other)
    assert lookup(stub, other) == [] and reason(stub, who) == OK


def admin(server):
    from profiles.v1 import admin_pb2, admin_pb2_grpc

    return admin_pb2_grpc.AdminStub(server.channel()), admin_pb2


def test_spellings_survive_replays_and_snapshots(server):
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    pairs = [named(*pair) for pair in SPELLINGS.values()]
    people = [identify(stub, email_address=written) for written, _ in pairs]
    for _, other in pairs:
        suppress(stub, other)
    for number in range(3):
        assert server.stop(signal.SIGKILL) != 0
        stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
        for who, (written, other) in zip(people, pairs):
            assert lookup(stub, other) == [(who.custom_id, written)]
            assert reason(stub, who) == HARD_BOUNCE
        if number == 0:
            service, messages = admin(server)
            service.CreateSnapshot(messages.CreateSnapshotRequest())
    for who, (written, _) in zip(people, pairs):
        assert unsuppress(stub, written) and reason(stub, who) == OK


def test_a_retry_in_the_same_spelling_is_a_replay(stub):
    (address,) = named("NAME.JOSÉ@BÜCHER.example")
    request = profiles_pb2.AddSuppressionRequest(
        project="default", request_id=unique("r"), channel=EMAIL, address=address, reason=HARD_BOUNCE_REASON
    )
    first, again = stub.AddSuppression(request), stub.AddSuppression(request)
    assert not first.replayed and again.replayed and again.lsn == first.lsn


@pytest.mark.parametrize("character", INVISIBLE, ids=lambda character: f"U+{ord(character):04X}")
def test_an_invisible_character_in_an_email_address_is_rejected(stub, character):
    for address in (f"an{character}n@example.com", f"ann@exam{character}ple.com", f"ann@example.com{character}"):
        calls = {
            "attributes.native.email_address": lambda: fails(
                stub.Identify,
                profiles_pb2.IdentifyRequest(
                    project="default",
                    custom_id=unique("p"),
                    attributes=types_pb2.AttributePatch(
                        native=types_pb2.NativeAttributes(email_address=wrappers_pb2.StringValue(value=address))
                    ),
                ),
            ),
            "email_address": lambda: fails(
                stub.LookupProfiles, profiles_pb2.LookupProfilesRequest(project="default", email_address=address)
            ),
            "address": lambda: fails(
                stub.AddSuppression,
                profiles_pb2.AddSuppressionRequest(
                    project="default", channel=EMAIL, address=address, reason=HARD_BOUNCE_REASON
                ),
            ),
        }
        for path, call in calls.items():
            failure = call()
            assert failure.code == grpc.StatusCode.INVALID_ARGUMENT and failure.reason == "INVALID_FIELDS"
            assert list(failure.violations) == [path]
            assert "example" not in str(failure.violations), "an address is never quoted"


@pytest.mark.parametrize("number", ["+４９３０１２３", "+49\u200b30123", "\u202a+4930123", "+49\u0663\u0660"])
def test_a_phone_number_has_visible_digits_of_ascii(stub, number):
    native = types_pb2.NativeAttributes(phone_number=wrappers_pb2.StringValue(value=number))
    failure = fails(
        stub.Identify,
        profiles_pb2.IdentifyRequest(
            project="default", custom_id=unique("p"), attributes=types_pb2.AttributePatch(native=native)
        ),
    )
    assert list(failure.violations) == ["attributes.native.phone_number"]


def test_custom_ids_are_compared_byte_for_byte(stub):
    name = unique("n")
    spellings = [f"{name}.{rest}" for rest in ("josé", "JOSÉ", "jose\u0301", "jo\u200bsé")]
    ids = {
        stub.Identify(profiles_pb2.IdentifyRequest(project="default", custom_id=one)).profile.profile_id
        for one in spellings
    }
    assert len(ids) == 4


@pytest.mark.parametrize("name", ["Europe/Paris", "CET", "US/Pacific", "Asia/Calcutta", "Etc/GMT+5", "UTC"])
def test_names_of_the_tz_database_are_time_zones(stub, name):
    who = identify(stub, timezone=name)
    assert shown(stub, who).timezone.value == name


@pytest.mark.parametrize(
    "name", ["Europe/Pariss", "CEST", "Mars/Phobos", "europe/paris", "localtime", "+01:00", "Europe/", "E" * 65]
)
def test_other_names_are_no_time_zones(stub, name):
    native = types_pb2.NativeAttributes(timezone=wrappers_pb2.StringValue(value=name))
    failure = fails(
        stub.Identify,
        profiles_pb2.IdentifyRequest(
            project="default", custom_id=unique("p"), attributes=types_pb2.AttributePatch(native=native)
        ),
    )
    assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
    assert list(failure.violations) == ["attributes.native.timezone"]


def test_consent_is_not_reset_by_another_spelling_of_the_same_address(server):
    from test_consent import USER, states, update

    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    service, messages = admin(server)
    service.UpdateProject(
        messages.UpdateProjectRequest(
            project="default", options=messages.ProjectOptions(reset_consent_on_address_change=True)
        )
    )
    who = identify(stub, email_address="JOSÉ@BÜCHER.example")
    stub.UpdateSubscription(update(who, source=USER))
    identify(stub, who, email_address="josé@xn--bcher-kva.example")
    assert states(stub.GetProfile(get(who)).profile.subscriptions) == {(EMAIL, ""): 3}
    identify(stub, who, email_address="jose@xn--bcher-kva.example")
    assert server.stop(signal.SIGKILL) != 0
    stub = profiles_pb2_grpc.ProfilesStub(server.start().channel())
    assert states(stub.GetProfile(get(who)).profile.subscriptions) == {(EMAIL, ""): 1}
