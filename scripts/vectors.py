"""Writes docs/vectors/receipts.json: receipts that hold and that do not, to try a check in any language by.

`python scripts/vectors.py` writes it anew: the same bytes each time, since keys and signatures are derived.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from authy_grpc.domain import keys
from authy_grpc.domain.encoding import base64url, base64url_decode
from authy_grpc.domain.receipts import Question

PATH = Path(__file__).parents[1] / "docs/vectors/receipts.json"
ORIGIN = "https://bank.example"
CREATED = 1_800_000_000
EXPIRES = CREATED + 90
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# Of nobody: made for these vectors alone.
MINE, OTHER, SECOND = (ec.derive_private_key(each, ec.SECP256R1()) for each in (0x5157, 0x5158, 0x5159))
NUMBER = "042137"
QUESTION = Question(
    approval_id="apr_00000000000000000000000001",
    authy_id="1234567",
    site_id="sit_00000000000000000000000001",
    site="Bank",
    origin=ORIGIN,
    message='Pay "Zoë" \\ 5 €?',
    details=(("To", "NL00"), ("Amount", "5")),
    match_digits=6,
    user_verification=False,
    created=CREATED,
    expires=EXPIRES,
    nonce="AAAAAAAAAAAAAAAAAAAAAA",
)
STATES = {
    "approve": ("APPROVAL_STATE_APPROVED", "DENY_REASON_UNSPECIFIED"),
    "deny": ("APPROVAL_STATE_DENIED", "DENY_REASON_CANCELED_BY_USER"),
    "report_fraud": ("APPROVAL_STATE_DENIED", "DENY_REASON_FRAUD"),
}
Vector = dict[str, Any]


def moment(seconds: int, nanos: int = 0) -> str:
    """RFC 3339, as JSON has times."""
    days, rest = divmod(seconds, 86_400)
    assert days == CREATED // 86_400, "all vectors are of one day"
    fraction = f".{nanos // 1_000_000:03d}" if nanos else ""
    return f"2027-01-15T{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}{fraction}Z"


def site_key(private: ec.EllipticCurvePrivateKey = MINE, **changes: Any) -> dict[str, Any]:
    """A SiteKey as JSON has it."""
    point = keys.public_point(private)
    key = {"kid": keys.thumbprint(point), "jwk": keys.jwk(point), "createTime": moment(CREATED - 1000)}
    return key | changes


def jws(header: bytes, payload: bytes, private: ec.EllipticCurvePrivateKey = MINE) -> str:
    """Signs anything, by a signature that is the same each time (RFC 6979)."""
    signing_input = f"{base64url(header)}.{base64url(payload)}"
    made = private.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(made)
    return f"{signing_input}.{base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def header(private: ec.EllipticCurvePrivateKey = MINE) -> bytes:
    """Of a receipt by this key."""
    return f'{{"alg":"ES256","kid":"{site_key(private)["kid"]}","typ":"authy-approval"}}'.encode()


def payload(
    decision: str = "approve",
    *,
    question: bytes | None = None,
    number: str | None = None,
    verified: bool = False,
    time: Any = CREATED + 10,
) -> bytes:
    """Of a receipt that says this."""
    typed = (NUMBER if decision == "approve" else "") if number is None else number
    answer = f'{{"decision":"{decision}","match_number":"{typed}","user_verified":{str(verified).lower()},'
    return f'{answer}"time":{time},"question":'.encode() + (question or QUESTION.write()) + b"}"


def asked(question: Question = QUESTION, **changes: Any) -> dict[str, Any]:
    """The Approval that the site keeps from CreateApproval, as JSON has it."""
    return {
        "approvalId": question.approval_id,
        "authyId": question.authy_id,
        "state": "APPROVAL_STATE_PENDING",
        "message": question.message,
        "details": [{"label": label, "value": value} for label, value in question.details],
        "hiddenDetails": {"order": "7"},
        "requireUserVerification": question.user_verification,
        "createTime": moment(question.created, 900_000_000),
        "expireTime": moment(question.expires, 900_000_000),
        "matchNumber": NUMBER if question.match_digits else "",
        "revision": "1",
    } | changes


def vector(name: str, reason: str, decision: str = "approve", **given: Any) -> Vector:
    """One, of what is given; all else is as it should be."""
    question = given.get("question", QUESTION)
    state, deny_reason = STATES[decision]
    kept = asked(question) | given.get("asked", {})
    ended = asked(question) | {"state": state, "denyReason": deny_reason, "revision": "2"}
    signed = payload(decision, question=question.write(), number=None if question.match_digits else "")
    ended |= {"receipt": given.get("receipt", jws(header(), signed))} | given.get("approval", {})
    return {
        "name": name,
        "holds": not reason,
        "result": reason or decision,
        "origin": given.get("origin", ORIGIN),
        "keys": given.get("keys", [site_key()]),
        "asked": kept,
        "approval": ended,
    }


def changed(**fields: Any) -> Question:
    """The question with other values."""
    return dataclasses.replace(QUESTION, **fields)


def good() -> Iterator[Vector]:
    """Those that hold."""
    for decision in STATES:
        yield vector(f"a plain {decision}", "", decision)
    yield vector("an event, which has no match number", "", approval={"matchNumber": ""})
    yield vector("no number was asked for", "", question=changed(match_digits=0))
    yield vector(
        "four digits",
        "",
        question=changed(match_digits=4),
        asked={"matchNumber": "0421"},
        receipt=jws(header(), payload(question=changed(match_digits=4).write(), number="0421")),
    )
    sure = changed(user_verification=True)
    verified = payload(question=sure.write(), verified=True)
    yield vector("the app has verified its user", "", question=sure, receipt=jws(header(), verified))
    yield vector("a denial needs no verified user", "", "deny", question=sure)
    yield vector("verified although nobody asked", "", receipt=jws(header(), payload(verified=True)))
    yield vector("a minute before it was made", "", receipt=jws(header(), payload(time=CREATED - 60)))
    yield vector("a minute after its end", "", receipt=jws(header(), payload(time=EXPIRES + 60)))
    yield vector("one of several keys", "", keys=[site_key(OTHER), site_key(), site_key(SECOND)])
    yield vector("beside a key that is none", "", keys=[site_key(jwk="{}"), site_key()])
    later = moment(CREATED, 901_000_000)
    yield vector("the key was revoked after the question", "", keys=[site_key(revokeTime=later)])
    other = changed(site="Another name", site_id="sit_2", nonce="B" * 22)
    yield vector(
        "name, site_id and nonce are not the site's to know",
        "",
        receipt=jws(header(), payload(question=other.write())),
    )
    yield vector("no message", "", question=changed(message=""))
    yield vector("no details", "", question=changed(details=()))
    yield vector(
        "text of many scripts",
        "",
        question=changed(message="支払う 5 € Żółw 🐢\u2028 [],{}:", details=(("Ж", "שלום"),)),
    )
    yield vector("the other signature that says the same", "", receipt=twin(jws(header(), payload())))
    yield vector(
        "all that escapes",
        "",
        "report_fraud",
        question=changed(message='\\"\\\\"', details=(('"', "\\"), ("", ""))),
    )


def twin(receipt: str) -> str:
    """With s replaced by n - s, which verifies as well: no other answer, so nothing to refuse."""
    signed, _, signature = receipt.rpartition(".")
    raw = base64url_decode(signature)
    return f"{signed}.{base64url(raw[:32] + (ORDER - int.from_bytes(raw[32:], 'big')).to_bytes(32, 'big'))}"


def bad() -> Iterator[Vector]:
    """Those that do not."""
    yield from bad_states()
    yield from bad_forms()
    yield from bad_keys()
    yield from bad_questions()
    yield from bad_answers()


def bad_states() -> Iterator[Vector]:
    """An approval that was changed on its way, or is not what was asked."""
    for state in ("PENDING", "EXPIRED", "CANCELED"):
        yield vector(f"state {state}", "state", approval={"state": f"APPROVAL_STATE_{state}"})
    wrong_number = {"state": "APPROVAL_STATE_DENIED", "denyReason": "DENY_REASON_MATCH_NUMBER"}
    yield vector("a denial by wrong numbers is the service's own", "state", approval=wrong_number)
    fraud = {"denyReason": "DENY_REASON_FRAUD"}
    yield vector("approved with a reason to deny", "state", approval=fraud)
    yield vector(
        "told as another approval", "approval_id", approval={"approvalId": "apr_00000000000000000000000002"}
    )
    yield vector("told of another user", "authy_id", approval={"authyId": "7654321"})
    yield vector("told with another message", "message", approval={"message": "Log in"})
    yield vector("told without details", "details", approval={"details": []})
    yield vector(
        "told with other hidden details", "hidden_details", approval={"hiddenDetails": {"order": "8"}}
    )
    yield vector("told as verified", "require_user_verification", approval={"requireUserVerification": True})
    yield vector("no receipt", "receipt", approval={"receipt": ""})
    denied = jws(header(), payload("deny"))
    yield vector("a denial told as an approval", "decision", receipt=denied)
    yield vector(
        "a report told as a denial", "decision", "deny", receipt=jws(header(), payload("report_fraud"))
    )
    yield vector("an approval told as a denial", "decision", "deny", receipt=jws(header(), payload()))


def bad_forms() -> Iterator[Vector]:
    """Bytes that no authenticator writes."""
    head, body, kid = header(), payload(), site_key()["kid"]
    receipt = jws(head, body)
    first, second, third = receipt.split(".")
    swapped = f'{{"kid":"{kid}","alg":"ES256","typ":"authy-approval"}}'.encode()
    forms = {
        "padded base64": f"{first}=.{second}.{third}",
        "a line break at its end": f"{receipt}\n",
        "a fourth part": f"{receipt}.AA",
        "no signature": f"{first}.{second}.",
        "a short signature": f"{first}.{second}.{base64url(b'1' * 63)}",
        "a signature of zeros": f"{first}.{second}.{base64url(bytes(64))}",
        "a signature of another receipt": f"{first}.{second}.{jws(head, payload('deny')).split('.')[2]}",
        "alg none": f"{base64url(head.replace(b'ES256', b'none'))}.{second}.",
        "alg HS256": jws(head.replace(b"ES256", b"HS256"), body),
        "another typ": jws(head.replace(b"authy-approval", b"JWT"), body),
        "a header in another order": jws(swapped, body),
        "a header with a space": jws(head.replace(b",", b", "), body),
        "a header with a key of its own": jws(head[:-1] + b',"jwk":{}}', body),
        "a payload with a space": jws(head, body.replace(b'"time":', b'"time": ')),
        "a payload with one more name": jws(head, body[:-1] + b',"x":1}'),
        "a name that comes twice": jws(head, b'{"decision":"deny",' + body[1:]),
        "time as text": jws(head, payload(time=f'"{CREATED + 10}"')),
        "time with a fraction": jws(head, payload(time=f"{CREATED + 10}.5")),
        "time with a zero before it": jws(head, payload(time=f"0{CREATED + 10}")),
        "a decision that is none": jws(head, body.replace(b"approve", b"accept")),
        "an escape that JSON allows and the form does not": jws(head, body.replace("€".encode(), b"\\u20ac")),
        "a question of another version": jws(head, body.replace(b'"v":1', b'"v":2')),
        "not UTF-8": jws(head, body.replace("€".encode(), b"\xff")),
        "a byte order mark": jws(head, b"\xef\xbb\xbf" + body),
        "a number typed to deny": jws(head, payload("deny", number=NUMBER)),
    }
    for name, form in forms.items():
        yield vector(name, "receipt", receipt=form)


def bad_keys() -> Iterator[Vector]:
    """Signed by nobody that the site knows."""
    by_other = jws(header(OTHER), payload())
    yield vector("no keys", "kid", keys=[])
    yield vector("a key of somebody else", "kid", receipt=by_other)
    yield vector("another's key under this name", "kid", keys=[site_key(OTHER) | {"kid": site_key()["kid"]}])
    yield vector("this key's name by another's signature", "receipt", receipt=jws(header(), payload(), OTHER))
    yield vector("revoked before the question", "kid", keys=[site_key(revokeTime=moment(CREATED - 1))])
    yield vector(
        "revoked as the question was made", "kid", keys=[site_key(revokeTime=moment(CREATED, 900_000_000))]
    )


def bad_questions() -> Iterator[Vector]:
    """The user has signed, but something else."""
    others = {
        "approval_id": changed(approval_id="apr_00000000000000000000000002"),
        "authy_id": changed(authy_id="7654321"),
        "origin": changed(origin="https://bank.example.evil.example"),
        "message": changed(message="Log in"),
        "details": changed(details=QUESTION.details[::-1]),
        "require_user_verification": changed(user_verification=True),
        "match_digits": changed(match_digits=4),
        "create_time": changed(created=CREATED + 1),
        "expire_time": changed(expires=EXPIRES - 1),
    }
    for name, question in others.items():
        yield vector(
            f"signed with another {name}", name, receipt=jws(header(), payload(question=question.write()))
        )


def bad_answers() -> Iterator[Vector]:
    """The right question, and another answer than it takes."""
    yield vector("another number", "match_number", receipt=jws(header(), payload(number="042138")))
    yield vector("no number", "match_number", receipt=jws(header(), payload(number="")))
    sure = changed(user_verification=True)
    yield vector("not verified where that was asked", "user_verified", question=sure)
    yield vector("more than a minute before", "receipt", receipt=jws(header(), payload(time=CREATED - 61)))
    yield vector("more than a minute late", "receipt", receipt=jws(header(), payload(time=EXPIRES + 61)))


def document() -> str:
    """The file's text."""
    told = "See docs/receipts.md. `result` is the decision where `holds`, else the first rule that fails."
    lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in [*good(), *bad()])
    return f'{{"about": {json.dumps(told)},\n"vectors": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(document(), encoding="utf-8")
    print(f"{PATH.relative_to(Path.cwd())} is written.")
