"""Questions and receipts of the web authenticator, held against the service's strict readers."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from authy_grpc.domain import keys, receipts
from authy_grpc.domain.encoding import base64url_decode
from authy_grpc.domain.errors import BadSignature
from authy_grpc.domain.receipts import Decision, Question, Receipt
from authy_grpc.phone.state import new_key
from tests.counterfeiting import Mint
from tests.web.conftest import engines
from tests.web.core.test_keys import b64
from tests.web.engines import Tab

QUESTION = Question(
    approval_id="apr_01",
    authy_id="1000001",
    site_id="sit_01",
    site='The "Bank" \\ Co',
    origin="https://bank.example",
    message="Pay 5 € to Żółw 🐢?\u2028\u202e\ufeff",
    details=(("To", "A\\B"), ("Amount", '"5"')),
    match_digits=6,
    user_verification=True,
    created=1_700_000_000,
    expires=1_700_000_090,
    nonce="abcdefghijklmnopqrstu_",
)
PLAIN = replace(QUESTION, details=(), match_digits=0, user_verification=False, message="", site="\ufeff\x7f")
FORM = QUESTION.write()
SPELLINGS = [
    (b'"v":1', b'"v":1.0'),
    (b'"v":1', b'"v":2'),
    (b'"v":1', b'"v":true'),
    (b'"v":1', b'"v": 1'),
    (b'"v":1', b'"v":1,"v":1'),
    (b'"v":1,', b""),
    (b'{"v":1', b'{"__proto__":{},"v":1'),
    (b'"match_digits":6', b'"match_digits":6e0'),
    (b'"match_digits":6', b'"match_digits":06'),
    (b'"match_digits":6', b'"match_digits":-0'),
    (b'"match_digits":6', b'"match_digits":"6"'),
    (b'"match_digits":6', b'"match_digits":6.5'),
    (b'"match_digits":6', b'"match_digits":1e400'),
    (b'"created":1700000000', b'"created":999999999999999'),
    (b'"created":1700000000', b'"created":1000000000000000'),
    (b'"created":1700000000', b'"created":9007199254740993'),
    (b'"created":1700000000', b'"created":-1'),
    (b'"user_verification":true', b'"user_verification":1'),
    (b'"user_verification":true', b'"user_verification":null'),
    (b"bank.example", b"b\\u0061nk.example"),
    (b"bank.example", b"bank\\/example"),
    (b"bank.example", b"bank\\nexample"),
    (b"bank.example", b"bank\nexample"),
    (b"bank.example", b"bank\x00example"),
    (b"bank.example", b"bank\\ud800example"),
    (b"bank.example", b"bank\xed\xa0\x80example"),
    (b"bank.example", b"bank\xc0\xafexample"),
    (b"bank.example", b"bank\xffexample"),
    (b'[["To"', b'[["To","x"],["To"'),
    (b'[["To","A\\\\B"]', b'[["To"]'),
    (b'[["To","A\\\\B"]', b'[["To","A","B"]'),
    (b'[["To","A\\\\B"]', b'[["To",1]'),
    (b'[["To","A\\\\B"]', b'[{"0":"To","1":"A","length":2}'),
    (b'"details":[["To","A\\\\B"],["Amount","\\"5\\""]]', b'"details":{}'),
    (b'"details":[["To","A\\\\B"],["Amount","\\"5\\""]]', b'"details":null'),
    (b"qrstu_", b"qrstu="),
    (b"qrstu_", b"qrstu"),
    (b"qrstu_", b"qrstu_\\n"),
    (b'"}', b'"} '),
    (b'"}', b'","more":1}'),
    (b'"}', b""),
    (b'{"v"', b' {"v"'),
    (b'{"v"', b'\xef\xbb\xbf{"v"'),
    (b'{"v"', b'[{"v"'),
]


def genuine() -> tuple[Mint, str]:
    """A receipt, and what forges others of it."""
    private = new_key()
    question = QUESTION.write()
    receipt = Receipt(
        keys.thumbprint(keys.public_point(private)),
        Decision.APPROVE,
        "012345",
        False,
        QUESTION.created + 5,
        question,
    ).sign(private)
    return Mint(receipt, private, QUESTION.created, QUESTION.expires), receipt


def candidates() -> Iterator[bytes]:
    """Bytes that are questions or nearly so."""
    yield from (FORM, PLAIN.write(), b"", b"null", b"{}", b"[]", b'"x"', b"1", b"\xff")
    yield from (FORM.replace(old, new, 1) for old, new in SPELLINGS)
    mint, _ = genuine()
    for _, forged in mint.forged():
        parts = forged.split(".")
        try:
            payload = base64url_decode(parts[1])
        except (ValueError, IndexError):
            continue
        start = payload.find(b'"question":')
        yield payload[start + 11 : -1]
    random = Random(9)
    for _ in range(1500):
        data = bytearray(FORM)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            at = random.randrange(len(data))
            kind = random.randrange(4)
            if kind == 0:
                data[at] = random.choice(b'"\\{}[]:,0159 \n\x00\x7f\xc3\xe2aZtruefalsn-+.')
            elif kind == 1:
                data.insert(at, random.choice(b'"\\{}[]:,019 \t\x00\xefa'))
            elif kind == 2:
                del data[at]
            else:
                data[at] ^= 1 << random.randrange(8)
        yield bytes(data)


def taken(data: bytes) -> bool:
    try:
        Question.read(data)
    except BadSignature:
        return False
    return True


@engines()
async def test_what_the_service_would_not_read_is_not_shown(tab: Tab) -> None:
    given = list(candidates())
    told = await tab.run(
        """
        const {readQuestion} = await load('/app/core/question.js');
        const {fromBase64, equal} = await load('/app/core/bytes.js');
        return args[0].map(text => {
          const bytes = fromBase64(text);
          try { return equal(readQuestion(bytes).bytes, bytes); } catch (error) { return error.name; }
        });
        """,
        [b64(data) for data in given],
    )
    expected = [True if taken(data) else "QuestionError" for data in given]
    assert [data for data, one, other in zip(given, told, expected, strict=True) if one != other] == []
    # The control: of each kind there are many.
    assert expected.count(True) > 100
    assert expected.count("QuestionError") > 1000


@engines()
async def test_a_question_says_what_the_service_wrote_and_is_the_one_of_its_envelope(tab: Tab) -> None:
    told = await tab.run(
        """
        const {readPending} = await load('/app/core/question.js');
        const {bytes, ...said} = readPending({approvalId: 'apr_01', siteId: 'sit_01', question: args[0]});
        const refused = [];
        const others = [{approvalId: 'apr_02'}, {siteId: 'sit_02'}, {question: args[0] + '='}, {question: 7}];
        for (const other of others)
          try { readPending({approvalId: 'apr_01', siteId: 'sit_01', question: args[0], ...other}); }
          catch (error) { refused.push(error.name); }
        return [said, refused];
        """,
        b64(FORM),
    )
    said = {
        "approvalId": QUESTION.approval_id,
        "authyId": QUESTION.authy_id,
        "siteId": QUESTION.site_id,
        "site": QUESTION.site,
        "origin": QUESTION.origin,
        "message": QUESTION.message,
        "details": [list(pair) for pair in QUESTION.details],
        "matchDigits": 6,
        "userVerification": True,
        "created": QUESTION.created,
        "expires": QUESTION.expires,
        "nonce": QUESTION.nonce,
    }
    assert told == [said, ["QuestionError"] * 4]


@engines()
async def test_receipts_are_those_that_the_service_reads(tab: Tab) -> None:
    answers: list[dict[str, Any]] = [
        {"decision": decision, "matchNumber": number, "userVerified": verified, "seconds": seconds}
        for decision, number in (("approve", "012345"), ("approve", ""), ("deny", ""), ("report_fraud", ""))
        for verified in (True, False)
        for seconds in (0, 1_700_000_010)
    ]
    refused = [
        {"decision": "deny", "matchNumber": "1", "seconds": 1},
        {"decision": "approve", "matchNumber": "12 34", "seconds": 1},
        {"decision": "approve", "matchNumber": "\u0661", "seconds": 1},
        {"decision": "approve", "matchNumber": "1\n", "seconds": 1},
        {"decision": "accept", "seconds": 1},
        {"decision": "approve", "seconds": 1.5},
        {"decision": "approve", "seconds": -1},
        {"decision": "approve", "seconds": "1"},
    ]
    told = await tab.run(
        """
        const {readQuestion, writeReceipt} = await load('/app/core/question.js');
        const {fromBase64, toBase64} = await load('/app/core/bytes.js');
        const {makeSiteKey} = await load('/app/core/keys.js');
        const question = readQuestion(fromBase64(args[0])), key = await makeSiteKey(), refused = [];
        const written = await Promise.all(args[1].map(answer => writeReceipt(question, key, answer)));
        for (const answer of args[2])
          refused.push(await writeReceipt(question, key, answer).then(() => 'OK', error => error.name));
        return [toBase64(key.point), written, refused];
        """,
        b64(FORM),
        answers,
        refused,
    )
    point, written, errors = told
    for answer, text in zip(answers, written, strict=True):
        signed = receipts.read(text)
        receipts.verify(signed, base64.b64decode(point))
        assert signed.receipt == Receipt(
            kid=keys.thumbprint(base64.b64decode(point)),
            decision=Decision(answer["decision"]),
            match_number=answer["matchNumber"],
            user_verified=answer["userVerified"],
            time=answer["seconds"],
            question=FORM,
        )
    assert errors == ["RangeError"] * len(refused)
