"""Questions and receipts: one spelling each, and nothing else is taken."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from authy_grpc.domain import keys, receipts
from authy_grpc.domain.encoding import base64url
from authy_grpc.domain.errors import BadSignature
from authy_grpc.domain.receipts import Decision, Question, Receipt

PRIVATE = ec.derive_private_key(11, ec.SECP256R1())
POINT = keys.public_point(PRIVATE)
OTHER = ec.derive_private_key(12, ec.SECP256R1())
QUESTION = Question(
    approval_id="apr_01",
    authy_id="1000001",
    site_id="sit_01",
    site='The "Bank" \\ Co',
    origin="https://bank.example",
    message="Pay 5 € to Żółw 🐢?",
    details=(("To", "A\\B"), ("Amount", '"5"')),
    match_digits=6,
    user_verification=True,
    created=1_700_000_000,
    expires=1_700_000_090,
    nonce="abcdefghijklmnopqrstu_",
)
FORM = (
    '{"v":1,"approval_id":"apr_01","authy_id":"1000001","site_id":"sit_01","site":"The \\"Bank\\" \\\\ Co",'
    '"origin":"https://bank.example","message":"Pay 5 € to Żółw 🐢?","details":[["To","A\\\\B"],'
    '["Amount","\\"5\\""]],"match_digits":6,"user_verification":true,"created":1700000000,'
    '"expires":1700000090,"nonce":"abcdefghijklmnopqrstu_"}'
)
RECEIPT = Receipt(
    kid=keys.thumbprint(POINT),
    decision=Decision.APPROVE,
    match_number="012345",
    user_verified=True,
    time=1_700_000_010,
    question=QUESTION.write(),
)
HEADER = f'{{"alg":"ES256","kid":"{RECEIPT.kid}","typ":"authy-approval"}}'
PAYLOAD = (
    '{"decision":"approve","match_number":"012345","user_verified":true,"time":1700000010,"question":'
    + FORM
    + "}"
)
TEXT = RECEIPT.sign(PRIVATE)

texts = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"]) | st.sampled_from('"\\\u2028[],{}:')
)
numbers = st.integers(0, 10**15 - 1)
questions = st.builds(
    Question,
    approval_id=texts,
    authy_id=texts,
    site_id=texts,
    site=texts,
    origin=texts,
    message=texts,
    details=st.lists(st.tuples(texts, texts), max_size=5).map(tuple),
    match_digits=numbers,
    user_verification=st.booleans(),
    created=numbers,
    expires=numbers,
    nonce=st.from_regex("[A-Za-z0-9_-]{22}", fullmatch=True),
)


def compact(header: str | bytes, payload: str | bytes, private: ec.EllipticCurvePrivateKey = PRIVATE) -> str:
    """Signs anything, as an authenticator of bad will could."""
    parts = [
        part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in (header, payload)
    ]
    signing_input = ".".join(map(base64url, parts))
    return f"{signing_input}.{base64url(keys.sign(private, signing_input.encode()))}"


def test_the_forms_byte_for_byte() -> None:
    assert QUESTION.write() == FORM.encode()
    assert TEXT.rsplit(".", 1)[0] == compact(HEADER, PAYLOAD).rsplit(".", 1)[0]


def test_what_is_written_is_json_that_says_the_same() -> None:
    said = json.loads(QUESTION.write())
    assert list(said) == ["v", *(item.name for item in fields(Question))]
    assert said == {
        "v": 1,
        **{item.name: getattr(QUESTION, item.name) for item in fields(Question)},
        "details": [["To", "A\\B"], ["Amount", '"5"']],
    }


@given(questions)
def test_question_round_trip(question: Question) -> None:
    data = question.write()
    assert Question.read(data) == question
    assert json.loads(data)["message"] == question.message


@given(
    questions, st.sampled_from(Decision), st.from_regex("[0-9]{0,8}", fullmatch=True), st.booleans(), numbers
)
def test_receipt_round_trip(
    question: Question, decision: Decision, number: str, verified: bool, when: int
) -> None:
    typed = number if decision is Decision.APPROVE else ""
    receipt = Receipt(RECEIPT.kid, decision, typed, verified, when, question.write())
    signed = receipts.read(receipt.sign(PRIVATE))
    receipts.verify(signed, POINT)
    assert signed.receipt == receipt
    assert Question.read(signed.receipt.question) == question


def test_no_details_are_an_empty_list() -> None:
    bare = replace(QUESTION, details=())
    assert b'"details":[],' in bare.write()
    assert Question.read(bare.write()) == bare


@pytest.mark.parametrize(
    "question",
    [
        replace(QUESTION, message="two\nlines"),
        replace(QUESTION, site="\x00"),
        replace(QUESTION, details=(("a", "\x1f"),)),
        replace(QUESTION, message="\ud800"),
        replace(QUESTION, match_digits=-1),
        replace(QUESTION, created=10**15),
        replace(QUESTION, expires=True),
        replace(QUESTION, nonce="a" * 21),
        replace(QUESTION, nonce="a" * 21 + '"'),
    ],
)
def test_a_question_without_form_is_not_written(question: Question) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- of json and of ours
        question.write()


@pytest.mark.parametrize(
    "receipt",
    [
        replace(RECEIPT, decision=Decision.DENY),
        replace(RECEIPT, decision=Decision.REPORT_FRAUD),
        replace(RECEIPT, match_number="12a"),
        replace(RECEIPT, match_number="\u0661"),
        replace(RECEIPT, match_number="1\n"),
        replace(RECEIPT, time=-1),
        replace(RECEIPT, kid="a" * 42),
        replace(RECEIPT, kid='"' * 43),
    ],
)
def test_a_receipt_without_form_is_not_signed(receipt: Receipt) -> None:
    with pytest.raises(ValueError, match="no place in a receipt"):
        receipt.sign(PRIVATE)


HOSTILE_QUESTIONS = {
    "empty": "",
    "object": "{}",
    "null": "null",
    "bom": "\ufeff" + FORM,
    "space before": " " + FORM,
    "space after": FORM + " ",
    "newline after": FORM + "\n",
    "nul after": FORM + "\x00",
    "twice": FORM + FORM,
    "cut": FORM[:-1],
    "space inside": FORM.replace(":", ": ", 1),
    "space in list": FORM.replace("],[", "], ["),
    "other version": FORM.replace('"v":1', '"v":2'),
    "version as text": FORM.replace('"v":1', '"v":"1"'),
    "other order": FORM.replace('"v":1,"approval_id":"apr_01"', '"approval_id":"apr_01","v":1'),
    "duplicate first": FORM.replace('{"v":1', '{"v":1,"v":1'),
    "duplicate last": FORM.replace("}", ',"message":"other"}'),
    "duplicate before": FORM.replace('"message"', '"message":"other","message"'),
    "extra": FORM.replace("}", ',"x":1}'),
    "missing": FORM.replace('"site_id":"sit_01",', ""),
    "unicode escape": FORM.replace("Pay", "\\u0050ay"),
    "surrogate escapes": FORM.replace("🐢", "\\ud83d\\udc22"),
    "slash escape": FORM.replace("https://", "https:\\/\\/"),
    "newline escape": FORM.replace("Pay", "\\n"),
    "lone escape": FORM.replace('The \\"', "The \\"),
    "bare quote": FORM.replace('\\"Bank', '"Bank'),
    "key escape": FORM.replace('"site"', '"s\\u0069te"'),
    "control": FORM.replace("Pay", "\x01"),
    "newline": FORM.replace("Pay", "\n"),
    "lone surrogate": FORM.replace("Pay", "\ud800"),
    "leading zero": FORM.replace(":6,", ":06,"),
    "minus zero": FORM.replace(":6,", ":-0,"),
    "plus": FORM.replace(":6,", ":+6,"),
    "negative": FORM.replace(":6,", ":-6,"),
    "float": FORM.replace(":6,", ":6.0,"),
    "exponent": FORM.replace(":6,", ":6e0,"),
    "nan": FORM.replace(":6,", ":NaN,"),
    "infinity": FORM.replace(":6,", ":Infinity,"),
    "other digits": FORM.replace(":6,", ":\u0666,"),
    "digits as text": FORM.replace(":6,", ':"6",'),
    "no number": FORM.replace(":6,", ":,"),
    "null number": FORM.replace(":6,", ":null,"),
    "huge number": FORM.replace(":6,", ":" + "9" * 40_000 + ","),
    "true as number": FORM.replace("true", "1"),
    "true in capitals": FORM.replace("true", "True"),
    "text as list": FORM.replace('["To","A\\\\B"]', '"To"'),
    "pair of one": FORM.replace('["To","A\\\\B"]', '["To"]'),
    "pair of three": FORM.replace('["To","A\\\\B"]', '["To","A","B"]'),
    "pair as object": FORM.replace('["To","A\\\\B"]', '{"To":"A"}'),
    "trailing comma": FORM.replace('\\""]]', '\\""],]'),
    "null details": FORM.replace('[["To","A\\\\B"],["Amount","\\"5\\""]]', "null"),
    "deep": FORM.replace('["To"', "[" * 20_000 + '["To"'),
    "deep alone": "[" * 45_000,
    "deep objects": '{"v":' * 9_000,
    "short nonce": FORM.replace("stu_", "stu"),
    "long nonce": FORM.replace("stu_", "stu_A"),
    "padded nonce": FORM.replace("stu_", "stu="),
}


@pytest.mark.parametrize("name", HOSTILE_QUESTIONS)
def test_any_other_spelling_of_a_question_is_refused(name: str) -> None:
    hostile = HOSTILE_QUESTIONS[name]
    assert hostile != FORM
    with pytest.raises(BadSignature):
        Question.read(hostile.encode("utf-8", "surrogatepass"))
    with pytest.raises(BadSignature):
        receipts.read(compact(HEADER, PAYLOAD.replace(FORM, hostile)))


@pytest.mark.parametrize(
    "junk", [b"\xff", b"\xc0\xa2", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80"]
)
def test_what_is_no_utf_8_is_refused(junk: bytes) -> None:
    with pytest.raises(BadSignature):
        Question.read(FORM.encode().replace(b"Pay", junk))
    with pytest.raises(BadSignature):
        receipts.read(compact(HEADER, PAYLOAD.encode().replace(b"Pay", junk)))


def test_a_receipt_of_another_spelling_would_have_verified() -> None:
    """The control of the next two: what they build is refused for its form alone."""
    signed = receipts.read(compact(HEADER, PAYLOAD))
    receipts.verify(signed, POINT)
    assert signed.receipt == RECEIPT


HOSTILE_PAYLOADS = {
    "empty": "",
    "space": PAYLOAD + " ",
    "space inside": PAYLOAD.replace(",", ", ", 1),
    "bom": "\ufeff" + PAYLOAD,
    "other decision": PAYLOAD.replace("approve", "allow"),
    "capital decision": PAYLOAD.replace("approve", "Approve"),
    "escaped decision": PAYLOAD.replace("approve", "\\u0061pprove"),
    "number typed to deny": PAYLOAD.replace("approve", "deny"),
    "number typed to report": PAYLOAD.replace("approve", "report_fraud"),
    "letters typed": PAYLOAD.replace("012345", "O12345"),
    "other digits typed": PAYLOAD.replace("012345", "\u0660\u0661\u0662\u0663\u0664\u0665"),
    "number as number": PAYLOAD.replace('"012345"', "12345"),
    "number with space": PAYLOAD.replace("012345", "012 345"),
    "decision twice": PAYLOAD.replace('{"decision":"approve"', '{"decision":"deny","decision":"approve"'),
    "other order": PAYLOAD.replace(
        '"user_verified":true,"time":1700000010', '"time":1700000010,"user_verified":true'
    ),
    "verified as number": PAYLOAD.replace('"user_verified":true', '"user_verified":1'),
    "time as text": PAYLOAD.replace(":1700000010,", ':"1700000010",'),
    "time as float": PAYLOAD.replace(":1700000010,", ":1700000010.0,"),
    "negative time": PAYLOAD.replace(":1700000010,", ":-1700000010,"),
    "time with zero": PAYLOAD.replace(":1700000010,", ":01700000010,"),
    "huge time": PAYLOAD.replace(":1700000010,", ":" + "1" * 30_000 + ","),
    "question as text": PAYLOAD.replace(FORM, json.dumps(FORM, ensure_ascii=False)),
    "question in base64": PAYLOAD.replace(FORM, base64url(FORM.encode())),
    "no question": PAYLOAD.replace(FORM, ""),
    "two questions": PAYLOAD[:-1] + ',"question":' + FORM + "}",
    "extra": PAYLOAD[:-1] + ',"x":1}',
    "cut": PAYLOAD[:-1],
    "twice": PAYLOAD + PAYLOAD,
    "deep": "[" * 45_000,
}


@pytest.mark.parametrize("name", HOSTILE_PAYLOADS)
def test_any_other_spelling_of_a_payload_is_refused(name: str) -> None:
    assert HOSTILE_PAYLOADS[name] != PAYLOAD
    with pytest.raises(BadSignature):
        receipts.read(compact(HEADER, HOSTILE_PAYLOADS[name]))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{}",
        HEADER + " ",
        HEADER.replace(",", ", "),
        HEADER.replace("ES256", "none"),
        HEADER.replace("ES256", "HS256"),
        HEADER.replace("ES256", "es256"),
        HEADER.replace("authy-approval", "JWT"),
        HEADER.replace('"alg":"ES256",', ""),
        HEADER.replace('{"alg"', '{"alg":"none","alg"'),
        HEADER.replace("}", ',"crit":["x"]}'),
        HEADER.replace("}", ',"b64":false}'),
        HEADER.replace(RECEIPT.kid, RECEIPT.kid[:-1]),
        HEADER.replace(RECEIPT.kid, RECEIPT.kid + "="),
        HEADER.replace(RECEIPT.kid, ""),
        HEADER.replace("typ", "\\u0074yp"),
        '{"kid":"' + RECEIPT.kid + '","alg":"ES256","typ":"authy-approval"}',
    ],
)
def test_any_other_spelling_of_a_header_is_refused(header: str) -> None:
    with pytest.raises(BadSignature):
        receipts.read(compact(header, PAYLOAD))


def spellings(text: str) -> list[str]:
    header, payload, signature = text.split(".")
    flags = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = flags[flags.index(signature[-1]) ^ 1]
    return [
        f"{text}=",
        f"{text}==",
        f"{text}\n",
        f" {text}",
        f"{text}.",
        f".{text}",
        f"{header}=.{payload}.{signature}",
        f"{header}.{payload}=.{signature}",
        f"{header}.{payload[:9]} {payload[9:]}.{signature}",
        f"{header}.{payload[:9]}\r\n{payload[9:]}.{signature}",
        f"{header}.{payload[:9]}!{payload[9:]}.{signature}",
        f"{header}.{payload}.{signature[:-1]}{last}",
        f"{header}.{payload}.{signature[:-1]}",
        f"{header}.{payload}.{signature}AAAA",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{header}..{signature}",
        f"{header}\u2024{payload}\u2024{signature}",
        f"{header}.{payload}.{signature}\ud800",
        "",
        "..",
        "." * 60_000,
    ]


@pytest.mark.parametrize("which", range(len(spellings(TEXT))))
def test_any_other_spelling_in_base64_is_refused(which: int) -> None:
    receipts.verify(receipts.read(TEXT), POINT)
    with pytest.raises(BadSignature):
        receipts.verify(receipts.read(spellings(TEXT)[which]), POINT)


def test_plus_and_slash_are_refused() -> None:
    signed = next(text for text in (RECEIPT.sign(PRIVATE) for _ in range(100)) if "-" in text and "_" in text)
    for ours, theirs in (("-", "+"), ("_", "/")):
        with pytest.raises(BadSignature):
            receipts.read(signed.replace(ours, theirs))


def test_at_most_65536_characters() -> None:
    def padded(size: int) -> str:
        return replace(RECEIPT, question=replace(QUESTION, message="m" * size).write()).sign(PRIVATE)

    spare = (65_536 - len(padded(0))) // 4 * 3
    longest = max(
        (padded(spare + more) for more in range(4)), key=lambda text: (len(text) <= 65_536, len(text))
    )
    assert 65_533 <= len(longest) <= 65_536
    receipts.verify(receipts.read(longest), POINT)
    longer = padded(spare + 8)
    assert len(longer) > 65_536
    with pytest.raises(BadSignature):
        receipts.read(longer)


MUTATED_QUESTIONS = {
    "approval_id": "apr_02",
    "authy_id": "1000002",
    "site_id": "sit_02",
    "site": "Other",
    "origin": "https://other.example",
    "message": "Pay 6 €",
    "details": (("To", "Mallory"),),
    "match_digits": 0,
    "user_verification": False,
    "created": 1,
    "expires": 1_800_000_000,
    "nonce": "A" * 22,
}
MUTATED_RECEIPTS = {
    "kid": keys.thumbprint(keys.public_point(OTHER)),
    "decision": Decision.APPROVE,
    "match_number": "999999",
    "user_verified": False,
    "time": 1_700_000_011,
    "question": replace(QUESTION, message="other").write(),
}


def transplanted(receipt: Receipt, original: Receipt = RECEIPT) -> str:
    """What `receipt` says, with the signature of `original`."""
    return receipt.sign(PRIVATE).rsplit(".", 1)[0] + "." + original.sign(PRIVATE).rsplit(".", 1)[1]


@pytest.mark.parametrize("name", [item.name for item in fields(Question)])
def test_a_question_changed_after_signing_is_refused(name: str) -> None:
    receipts.verify(receipts.read(transplanted(RECEIPT)), POINT)
    changed = replace(QUESTION, **{name: MUTATED_QUESTIONS[name]})  # type: ignore[arg-type]
    assert Question.read(changed.write()) == changed != QUESTION
    signed = receipts.read(transplanted(replace(RECEIPT, question=changed.write())))
    with pytest.raises(BadSignature):
        receipts.verify(signed, POINT)


@pytest.mark.parametrize("name", [item.name for item in fields(Receipt)])
def test_an_answer_changed_after_signing_is_refused(name: str) -> None:
    original = replace(RECEIPT, decision=Decision.DENY, match_number="") if name == "decision" else RECEIPT
    changed = replace(original, **{name: MUTATED_RECEIPTS[name]})  # type: ignore[arg-type]
    assert changed != original
    signed = receipts.read(transplanted(changed, original))
    with pytest.raises(BadSignature):
        receipts.verify(signed, POINT)


def test_another_key_is_refused() -> None:
    other_point = keys.public_point(OTHER)
    with pytest.raises(BadSignature):
        receipts.verify(receipts.read(TEXT), other_point)
    with pytest.raises(BadSignature):
        receipts.verify(receipts.read(RECEIPT.sign(OTHER)), POINT)
    with pytest.raises(BadSignature):
        receipts.verify(receipts.read(RECEIPT.sign(OTHER)), other_point)
    receipts.verify(
        receipts.read(replace(RECEIPT, kid=keys.thumbprint(other_point)).sign(OTHER)), other_point
    )


def test_bit_flips_are_refused(figure: Callable[[int, int], int]) -> None:
    chance = random.Random(2)
    receipts.verify(receipts.read(TEXT), POINT)
    for _ in range(figure(2_000, 100_000)):
        flipped = bytearray(TEXT.encode())
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        with pytest.raises(BadSignature):
            receipts.verify(receipts.read(flipped.decode("latin-1")), POINT)


def test_bit_flips_under_the_base64_are_refused(figure: Callable[[int, int], int]) -> None:
    chance = random.Random(3)
    header, payload, signature = HEADER.encode(), PAYLOAD.encode(), receipts.read(TEXT).signature
    read = 0
    for _ in range(figure(2_000, 100_000)):
        parts = [bytearray(part) for part in (header, payload, signature)]
        part = parts[chance.randrange(3)]
        part[chance.randrange(len(part))] ^= 1 << chance.randrange(8)
        text = ".".join(base64url(bytes(part)) for part in parts)
        read += _is_read(text)
        with pytest.raises(BadSignature):
            receipts.verify(receipts.read(text), POINT)
    # Both guards are at work: some flips keep the form and fall at the signature.
    assert read > 100


def _is_read(text: str) -> bool:
    try:
        receipts.read(text)
    except BadSignature:
        return False
    return True


@given(st.text(st.characters(codec=None)) | st.binary().map(lambda data: data.decode("latin-1")))
def test_anything_else_raises_nothing_else(junk: str) -> None:
    for text in (junk, f"{junk}.{junk}.{junk}", compact(HEADER, junk), compact(junk, PAYLOAD)):
        with pytest.raises(BadSignature):
            receipts.read(text)


@given(st.binary())
def test_any_bytes_raise_nothing_else(junk: bytes) -> None:
    for data in (junk, FORM.encode()[:-1] + junk, junk + FORM.encode()[1:]):
        if data != FORM.encode():
            with pytest.raises(BadSignature):
                Question.read(data)


@pytest.mark.parametrize(
    ("repeated", "end"),
    [('["",""],', "x"), ('\\"', ""), ("\\\\", "\\"), ("a", "\x00"), ('"', ""), ("[", "]"), ("9", "")],
)
def test_hostile_input_costs_linear_time(repeated: str, end: str) -> None:
    def spent(place: str, size: int) -> float:
        data = FORM.replace(place, place + repeated * (size // len(repeated)) + end, 1).encode()
        started = time.process_time()
        with pytest.raises(BadSignature):
            Question.read(data[:-1])
        return time.process_time() - started

    for place in ('"details":[', "Pay", '"match_digits":', '"site":"'):
        # A quadratic reader would take minutes for this.
        assert spent(place, 500_000) < 5


@pytest.mark.parametrize(
    ("when", "good"),
    [
        (QUESTION.created - 61, False),
        (QUESTION.created - 60, True),
        (QUESTION.created, True),
        (QUESTION.expires, True),
        (QUESTION.expires + 60, True),
        (QUESTION.expires + 61, False),
    ],
)
def test_the_time_of_an_answer(when: int, good: bool) -> None:
    receipt = replace(RECEIPT, time=when)
    if good:
        receipts.check_time(receipt, QUESTION)
    else:
        with pytest.raises(BadSignature):
            receipts.check_time(receipt, QUESTION)


def test_a_second_signature_of_the_same_answer_is_the_same_answer() -> None:
    first = receipts.read(TEXT)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = first.signature[:32] + (order - int.from_bytes(first.signature[32:], "big")).to_bytes(32, "big")
    second = receipts.read(TEXT.rsplit(".", 1)[0] + "." + base64url(twin))
    receipts.verify(second, POINT)
    assert second.signature != first.signature
    assert second.signing_input == first.signing_input


def test_nothing_private_shows_in_a_repr() -> None:
    shown = repr(QUESTION) + repr(receipts.read(TEXT))
    assert "apr_01" in shown
    for private in ("Bank", "bank.example", "Pay", "Amount", "012345", QUESTION.nonce):
        assert private not in shown
