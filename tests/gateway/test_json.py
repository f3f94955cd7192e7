"""JSON out and in, held against `json_format` over random messages of every kind."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format

from authy_grpc.v1 import application_pb2, enrollment_pb2, verification_pb2
from gateway.decode import Found, decoder
from gateway.encode import dump, encoder
from gateway.jsontext import DEEPEST, Wrong, parse
from gateway.routes import contract
from tests.gateway.everything import Chance, Everything, Inner, Patch


def kinds() -> dict[str, Any]:
    found = {each.DESCRIPTOR.full_name: each.DESCRIPTOR for each in (Everything, Inner, Patch)}
    for route in contract():
        for kind in (route.rpc.input_type, route.rpc.output_type):
            found[kind.full_name] = kind
    return found


KINDS = kinds()
SECRET = "SECRET987"


def read(kind: Any, body: str | bytes) -> tuple[Any, Found]:
    message = kind()
    found: Found = []
    try:
        value, cut = parse(body if isinstance(body, bytes) else body.encode())
        decoder(kind.DESCRIPTOR)(value, message, "", found)
        if cut and not found:
            found.append(("body", cut))
    except Wrong as wrong:
        found.append(("body", str(wrong)))
    return message, found


def test_json_is_that_of_protobuf_out_and_in(figure: Callable[[int, int], int]) -> None:
    chance = Chance(1)
    for _ in range(figure(3, 100)):
        for kind in KINDS.values():
            message = chance.message(kind)
            expected = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
            written = json.loads(dump(encoder(kind)(message)))
            assert written == json.loads(json.dumps(expected))
            for body in (
                dump(encoder(kind)(message)),
                json_format.MessageToJson(message).encode(),
                json_format.MessageToJson(message, preserving_proto_field_name=True).encode(),
            ):
                again, found = read(type(message), body)
                assert found == []
                assert again == message


def test_a_difference_to_protobufs_json_would_be_seen() -> None:
    message = Everything(long=1, by_truth={True: 1})
    expected = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    written = json.loads(dump(encoder(Everything.DESCRIPTOR)(message)))
    assert written == expected
    assert {**written, "long": 1} != expected
    assert read(Everything, dump(written))[0] != Everything(long=2, by_truth={True: 1})


def test_fields_without_presence_are_always_printed() -> None:
    written = encoder(verification_pb2.VerifyCodeResponse.DESCRIPTOR)(verification_pb2.VerifyCodeResponse())
    assert written == {
        "result": "CODE_RESULT_UNSPECIFIED",
        "factor": "FACTOR_UNSPECIFIED",
        "attemptsRemaining": 0,
    }
    written = encoder(application_pb2.Application.DESCRIPTOR)(application_pb2.Application(match_digits=0))
    assert written["matchDigits"] == 0
    assert "phoneCodes" not in written


@pytest.mark.parametrize(
    "body",
    [
        '{"small": "7", "long": 8, "double_float": "1.5", "color": 1}',
        '{"small": 7.0, "long": "8", "doubleFloat": 1.5, "color": "COLOR_RED"}',
        '{"small": 0.7e1, "long": 8, "doubleFloat": 15e-1, "color": 1, "text": null, "texts": null}',
        '{"small": 7, "long": "8e0", "doubleFloat": 1.5, "color": 1, "nothing": null}',
    ],
)
def test_what_means_the_same_is_taken(body: str) -> None:
    message, found = read(Everything, body)
    assert (found, message) == ([], Everything(small=7, long=8, double_float=1.5, color=1))


@pytest.mark.parametrize("text", ["+/8=", "-_8=", "+/8", "-_8"])
def test_base64_is_taken_in_both_alphabets(text: str) -> None:
    assert read(Everything, json.dumps({"raw": text})) == (Everything(raw=b"\xfb\xff"), [])


def test_a_value_may_be_null_and_a_list_may_hold_it() -> None:
    message, found = read(Everything, '{"value": null, "values": [null, 1], "object": {"a": null}}')
    assert found == []
    assert message.value.HasField("null_value")
    assert [each.WhichOneof("kind") for each in message.values] == ["null_value", "number_value"]


def test_a_mask_is_taken_in_both_spellings() -> None:
    message, found = read(Everything, '{"mask": "codeDigits,name,match_digits"}')
    assert (list(message.mask.paths), found) == (["code_digits", "name", "match_digits"], [])
    assert read(Everything, '{"mask": ""}') == (Everything(mask={}), [])


BAD = [
    ("", "body"),
    ("{", "body"),
    ("[]", "body"),
    (f'"{SECRET}"', "body"),
    ("null", "body"),
    ("{} {}", "body"),
    ('{"text": "a\nb"}', "body"),
    (b'{"text": "\xff"}', "body"),
    ("\ufeff{}", "body"),
    ("{'text': 1}", "body"),
    ("[" * 100_000, "body"),
    ('{"a":' * 100_000, "body"),
    (f'{{"object": {"[" * DEEPEST}{"]" * DEEPEST}}}', "body"),
    (f'{{"text": "{SECRET}", "text": "{SECRET}"}}', "text"),
    (f'{{"maybeText": "{SECRET}", "maybe_text": "{SECRET}"}}', "maybe_text"),
    (f'{{"inner": {{"text": "{SECRET}", "text": ""}}}}', "inner.text"),
    (f'{{"unknown": "{SECRET}"}}', "unknown"),
    (f'{{"{SECRET}-1": 1}}', "?"),
    (f'{{"inner": {{"unknown": "{SECRET}"}}}}', "inner.unknown"),
    (f'{{"inners": [{{}}, {{"unknown": "{SECRET}"}}]}}', "inners[1].unknown"),
    ('{"text": 1}', "text"),
    ('{"text": {}}', "text"),
    ('{"text": ["' + SECRET + '"]}', "text"),
    ('{"text": "\\ud800"}', "text"),
    ('{"truth": "true"}', "truth"),
    ('{"truth": 1}', "truth"),
    ('{"small": 1.5}', "small"),
    ('{"small": true}', "small"),
    ('{"small": NaN}', "small"),
    ('{"small": Infinity}', "small"),
    ('{"small": 1e400}', "small"),
    ('{"small": 2147483648}', "small"),
    ('{"small": "' + SECRET + '"}', "small"),
    ('{"small": ""}', "small"),
    ('{"small": "0x1"}', "small"),
    ('{"small": " 1"}', "small"),
    ('{"small": "\u0661"}', "small"),
    ('{"smallUnsigned": -1}', "small_unsigned"),
    ('{"long": 9223372036854775808}', "long"),
    ('{"long": ' + "9" * 10_000 + "}", "long"),
    ('{"longUnsigned": "18446744073709551616"}', "long_unsigned"),
    ('{"doubleFloat": 1e400}', "double_float"),
    ('{"doubleFloat": NaN}', "double_float"),
    ('{"single": 1e39}', "single"),
    ('{"raw": "' + SECRET + '!"}', "raw"),
    ('{"raw": "QQ="}', "raw"),
    ('{"raw": "QR=="}', "raw"),
    ('{"raw": "é"}', "raw"),
    ('{"color": "' + SECRET + '"}', "color"),
    ('{"color": 1.5}', "color"),
    ('{"color": 2147483648}', "color"),
    ('{"inner": "' + SECRET + '"}', "inner"),
    ('{"inner": []}', "inner"),
    ('{"texts": "' + SECRET + '"}', "texts"),
    ('{"texts": ["a", null]}', "texts[1]"),
    ('{"texts": ["a", 1]}', "texts[1]"),
    ('{"inners": [1]}', "inners[0]"),
    ('{"byText": []}', "by_text"),
    ('{"byText": {"a": "1", "a": "2"}}', "by_text"),
    ('{"byText": {"a": null}}', "by_text[a]"),
    ('{"byText": {"' + SECRET + '-": 1}}', "by_text[?]"),
    ('{"byLong": {"x y": {}}}', "by_long[?]"),
    ('{"byLong": {"1": {"unknown": 1}}}', "by_long[?].unknown"),
    ('{"byTruth": {"yes": 1}}', "by_truth[yes]"),
    (f'{{"oneText": "{SECRET}", "oneLong": 1}}', "one_long"),
    (f'{{"oneInner": {{}}, "one_text": "{SECRET}"}}', "one_text"),
    ('{"time": "' + SECRET + '"}', "time"),
    ('{"time": 1}', "time"),
    ('{"time": "2026-02-30T00:00:00Z"}', "time"),
    ('{"time": "20260230T000000000000000000Z"}', "time"),
    ('{"span": "1"}', "span"),
    ('{"span": "1e999s"}', "span"),
    ('{"span": "' + "9" * 400 + 's"}', "span"),
    ('{"mask": ["text"]}', "mask"),
    ('{"wrappedLong": "' + SECRET + '"}', "wrapped_long"),
    ('{"wrappedTruth": "true"}', "wrapped_truth"),
    ('{"object": []}', "object"),
    ('{"object": {"a": NaN}}', "object"),
    ('{"any": {"@type": "type.googleapis.com/' + SECRET + '"}}', "any"),
    ('{"any": {"a": 1}}', "any"),
    ('{"nothing": "' + SECRET + '"}', "nothing"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
def test_what_is_wrong_is_told_by_its_field_and_never_by_its_value(body: str | bytes, field: str) -> None:
    _, found = read(Everything, body)
    assert [name for name, _ in found] == [field]
    assert SECRET not in found[0][1]
    assert len(found[0][1]) < 120


def test_as_deep_as_may_be_is_taken() -> None:
    depth = DEEPEST - 1
    message, found = read(Everything, f'{{"value": {"[" * depth}{"]" * depth}}}')
    assert found == []
    assert message.value.HasField("list_value")


def test_all_that_is_wrong_is_told_at_once() -> None:
    _, found = read(enrollment_pb2.CreateEnrollmentRequest, '{"customUserId": 1, "ttl": 2, "a": 3}')
    assert {name for name, _ in found} == {"custom_user_id", "ttl", "a"}
