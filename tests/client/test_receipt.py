"""Receipts as a site checks them: the service is the attacker."""

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.timestamp_pb2 import Timestamp

from authy_grpc.client import Decision, ReceiptError, Verified, verify_receipt
from authy_grpc.domain import keys as p256
from authy_grpc.domain.receipts import Question, Receipt
from authy_grpc.v1 import approval_pb2
from authy_grpc.v1.approval_pb2 import Approval, Detail
from authy_grpc.v1.user_pb2 import SiteKey

ORIGIN = "https://bank.example"
CREATED = 1_800_000_000
EXPIRES = CREATED + 90
PRIVATE = ec.derive_private_key(0x1234567, ec.SECP256R1())
OTHER = ec.derive_private_key(0x7654321, ec.SECP256R1())
APPROVED = approval_pb2.APPROVAL_STATE_APPROVED
DENIED = approval_pb2.APPROVAL_STATE_DENIED
STATES = {
    Decision.APPROVE: (APPROVED, approval_pb2.DENY_REASON_UNSPECIFIED),
    Decision.DENY: (DENIED, approval_pb2.DENY_REASON_CANCELED_BY_USER),
    Decision.REPORT_FRAUD: (DENIED, approval_pb2.DENY_REASON_FRAUD),
}
QUESTION = Question(
    approval_id="apr_00000000000000000000000001",
    authy_id="1234567",
    site_id="sit_00000000000000000000000001",
    site="Bank",
    origin=ORIGIN,
    message='Pay "Zoë" \\ 5 €?',
    details=(("To", "NL00"), ("Amount", "5")),
    match_digits=6,
    user_verification=True,
    created=CREATED,
    expires=EXPIRES,
    nonce="AAAAAAAAAAAAAAAAAAAAAA",
)
ASKED = Approval(
    approval_id=QUESTION.approval_id,
    authy_id=QUESTION.authy_id,
    state=approval_pb2.APPROVAL_STATE_PENDING,
    message=QUESTION.message,
    details=[Detail(label=label, value=value) for label, value in QUESTION.details],
    create_time=Timestamp(seconds=CREATED, nanos=900_000_000),
    expire_time=Timestamp(seconds=EXPIRES, nanos=900_000_000),
    match_number="042137",
    revision=1,
    hidden_details={"order": "7"},
    require_user_verification=True,
)


def _key(private: ec.EllipticCurvePrivateKey = PRIVATE, **fields: Any) -> SiteKey:
    point = p256.public_point(private)
    key = SiteKey(kid=p256.thumbprint(point), jwk=p256.jwk(point), create_time=Timestamp(seconds=1))
    key.MergeFrom(SiteKey(**fields))
    return key


def _receipt(
    decision: Decision = Decision.APPROVE,
    private: ec.EllipticCurvePrivateKey = PRIVATE,
    question: Question = QUESTION,
    **changes: Any,
) -> str:
    values: dict[str, Any] = {
        "kid": _key(private).kid,
        "match_number": ASKED.match_number if decision is Decision.APPROVE else "",
        "user_verified": True,
        "time": CREATED + 10,
    } | changes
    return Receipt(decision=decision, question=question.write(), **values).sign(private)


def _ended(decision: Decision = Decision.APPROVE, receipt: str | None = None, **changes: Any) -> Approval:
    ended = Approval()
    ended.CopyFrom(ASKED)
    ended.state, ended.deny_reason = STATES[decision]
    ended.receipt = _receipt(decision) if receipt is None else receipt
    ended.revision = 2
    return _with(ended, **changes)


def _with(approval: Approval, **changes: Any) -> Approval:
    changed = Approval()
    changed.CopyFrom(approval)
    for name, value in changes.items():
        changed.ClearField(name)  # type: ignore[arg-type]
        changed.MergeFrom(Approval(**{name: value}))
    return changed


def _refused(approval: Approval, asked: Approval = ASKED, keys: Any = None, origin: str = ORIGIN) -> str:
    with pytest.raises(ReceiptError) as caught:
        verify_receipt(approval, asked, origin, [_key()] if keys is None else keys)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"state": approval_pb2.APPROVAL_STATE_EXPIRED}, "state: APPROVAL_STATE_EXPIRED,"),
        ({"state": approval_pb2.APPROVAL_STATE_PENDING}, "state: APPROVAL_STATE_PENDING,"),
        ({"state": 99}, "state: 99,"),
        (
            {
                "state": approval_pb2.APPROVAL_STATE_DENIED,
                "deny_reason": approval_pb2.DENY_REASON_MATCH_NUMBER,
            },
            "state: APPROVAL_STATE_DENIED (DENY_REASON_MATCH_NUMBER),",
        ),
    ],
)
def test_a_state_without_a_receipt_is_named(change: dict[str, Any], told: str) -> None:
    assert told in _refused(_ended(**change))


@pytest.mark.parametrize("decision", Decision)
def test_a_genuine_receipt_is_taken(decision: Decision) -> None:
    verified = verify_receipt(_ended(decision), ASKED, ORIGIN, [_key(OTHER), _key()])
    assert verified == Verified(decision, _key().kid, datetime.fromtimestamp(CREATED + 10, UTC))
    with pytest.raises(dataclasses.FrozenInstanceError):
        verified.decision = Decision.DENY  # type: ignore[misc]


def test_an_event_without_the_match_number_is_taken() -> None:
    assert verify_receipt(_ended(match_number=""), ASKED, ORIGIN, [_key()]).decision is Decision.APPROVE


@pytest.mark.parametrize(
    "change",
    [
        {"approval_id": "apr_00000000000000000000000002"},
        {"authy_id": "7654321"},
        {"origin": "https://bank.example.evil"},
        {"message": "Log in"},
        {"details": QUESTION.details[::-1]},
        {"details": QUESTION.details[:1]},
        {"details": (*QUESTION.details, ("", ""))},
        {"details": (QUESTION.details[0], ("Amount", "500"))},
        {"match_digits": 0},
        {"user_verification": False},
        *({"created": CREATED + 1}, {"created": CREATED - 1}),
        *({"expires": EXPIRES + 1}, {"expires": EXPIRES - 1}),
    ],
    ids=str,
)
def test_another_question_is_refused(change: dict[str, Any]) -> None:
    question = dataclasses.replace(QUESTION, **change)
    assert "differs" in _refused(_ended(receipt=_receipt(question=question)))


def test_what_the_site_cannot_know_is_not_compared() -> None:
    question = dataclasses.replace(QUESTION, site="Another", site_id="sit_2", nonce="B" * 22)
    verify_receipt(_ended(receipt=_receipt(question=question)), ASKED, ORIGIN, [_key()])


@pytest.mark.parametrize(
    "change",
    [
        {"approval_id": "apr_00000000000000000000000002"},
        {"authy_id": "7654321"},
        {"message": "Log in"},
        {"details": []},
        {"hidden_details": {"order": "8"}},
        {"require_user_verification": False},
        *({"state": state} for state in set(approval_pb2.ApprovalState.values()) - {APPROVED}),
        *({"deny_reason": reason} for reason in approval_pb2.DenyReason.values()[1:]),
        {"receipt": ""},
    ],
    ids=str,
)
def test_an_approval_that_was_changed_is_refused(change: dict[str, Any]) -> None:
    _refused(_ended(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"approval_id": "apr_00000000000000000000000002"},
        {"approval_id": ""},
        {"authy_id": "7654321"},
        {"message": "Log in"},
        {"details": []},
        {"hidden_details": {}},
        *({"match_number": number} for number in ("042138", "42137", "")),
        {"require_user_verification": False},
        {"create_time": Timestamp(seconds=CREATED + 1)},
        {"expire_time": Timestamp(seconds=EXPIRES + 1)},
    ],
    ids=str,
)
def test_what_was_not_asked_is_refused(change: dict[str, Any]) -> None:
    _refused(_ended(), _with(ASKED, **change))


@pytest.mark.parametrize(("signed", "told"), list(permutations(Decision, 2)))
def test_the_decision_fits_the_state(signed: Decision, told: Decision) -> None:
    assert "decision" in _refused(_ended(told, _receipt(signed)))


@pytest.mark.parametrize("number", ["042138", "42137", "0421370", ""])
def test_another_match_number_is_refused(number: str) -> None:
    assert "match_number" in _refused(_ended(receipt=_receipt(match_number=number)))


def test_a_number_is_not_asked_for_where_there_is_none() -> None:
    question = dataclasses.replace(QUESTION, match_digits=0)
    asked = _with(ASKED, match_number="")
    approval = _ended(receipt=_receipt(question=question, match_number=""))
    assert verify_receipt(approval, asked, ORIGIN, [_key()]).decision is Decision.APPROVE


def test_user_verification_is_demanded_of_an_approval_alone() -> None:
    assert "user_verified" in _refused(_ended(receipt=_receipt(user_verified=False)))
    denied = _ended(Decision.DENY, _receipt(Decision.DENY, user_verified=False))
    verify_receipt(denied, ASKED, ORIGIN, [_key()])


def test_the_time_is_that_of_the_question() -> None:
    for time in (CREATED - 60, EXPIRES + 60):
        verify_receipt(_ended(receipt=_receipt(time=time)), ASKED, ORIGIN, [_key()])
    for time in (CREATED - 61, EXPIRES + 61):
        assert "in time" in _refused(_ended(receipt=_receipt(time=time)))


def test_nothing_asked_is_nothing_approved() -> None:
    question = dataclasses.replace(QUESTION, approval_id="")
    approval = _ended(receipt=_receipt(question=question), approval_id="")
    assert "approval_id" in _refused(approval, _with(ASKED, approval_id=""))


def test_a_time_beyond_the_calendar_is_refused() -> None:
    far = 10**14
    question = dataclasses.replace(QUESTION, created=far, expires=far)
    asked = _with(ASKED, create_time=Timestamp(seconds=far), expire_time=Timestamp(seconds=far))
    assert "calendar" in _refused(_ended(receipt=_receipt(question=question, time=far)), asked)


@pytest.mark.parametrize(
    ("seconds", "nanos", "good"),
    [
        (CREATED, 0, False),
        (CREATED, 900_000_000, False),
        (CREATED, 900_000_001, True),
        (CREATED + 5, 0, True),
    ],
)
def test_a_key_revoked_when_the_site_asked_is_refused(seconds: int, nanos: int, good: bool) -> None:
    revoked = _key(revoke_time=Timestamp(seconds=seconds, nanos=nanos))
    if good:
        verify_receipt(_ended(), ASKED, ORIGIN, [revoked])
        return
    for keys in ([revoked], [revoked, _key()], [_key(), revoked]):
        assert "revoked" in _refused(_ended(), keys=keys)


def test_a_key_of_nobody_or_of_another_is_refused() -> None:
    for keys in ([], [_key(OTHER)]):
        assert "no key of this user" in _refused(_ended(), keys=keys)
    assert "no key of this user" in _refused(_ended(receipt=_receipt(private=OTHER)))


def test_a_key_under_another_name_is_refused() -> None:
    mine, others = _key(), _key(OTHER)
    signed_by_other = _ended(receipt=_receipt(private=OTHER))
    claims_mine = _ended(receipt=_receipt(private=OTHER, kid=mine.kid))
    swapped, misnamed = SiteKey(kid=mine.kid, jwk=others.jwk), SiteKey(kid=others.kid, jwk=mine.jwk)
    for keys in ([mine], [swapped], [misnamed], [swapped, mine]):
        _refused(signed_by_other, keys=keys)
        _refused(claims_mine, keys=keys)
    verify_receipt(signed_by_other, ASKED, ORIGIN, [others])


@pytest.mark.parametrize("jwk", ["", "{}", "null", _key().jwk + " ", _key().jwk.replace("EC", "OKP")])
def test_a_key_that_is_none_is_passed_over(jwk: str) -> None:
    broken = SiteKey(kid=_key().kid, jwk=jwk)
    assert "no key" in _refused(_ended(), keys=[broken])
    verify_receipt(_ended(), ASKED, ORIGIN, [broken, _key()])


def test_another_origin_is_refused() -> None:
    for origin in ("", "https://bank.example/", "http://bank.example", "https://bank.example.evil"):
        assert "origin" in _refused(_ended(), origin=origin)


def test_a_receipt_of_another_key_is_not_taken_by_its_signature() -> None:
    signed, other = (_receipt(private=private).rpartition(".") for private in (PRIVATE, OTHER))
    for receipt in (f"{signed[0]}.{other[2]}", f"{signed[0]}.", f"{_receipt()}.", f"{_receipt()}\n"):
        _refused(_ended(receipt=receipt))


def test_no_flipped_bit_is_taken(figure: Callable[[int, int], int]) -> None:
    receipt = _receipt()
    verify_receipt(_ended(receipt=receipt), ASKED, ORIGIN, [_key()])
    ended, raw, tried = _ended(), receipt.encode(), 0
    bits = len(raw) * 7
    for step in range(figure(1_000, 100_000)):
        first, second = divmod(step * 997, bits)
        flipped = bytearray(raw)
        flipped[second // 7] ^= 1 << second % 7
        if first % 2:
            other = (second * 31 + first) % bits
            flipped[other // 7] ^= 1 << other % 7
        if bytes(flipped) == raw:
            continue
        ended.receipt = flipped.decode("ascii")
        tried += 1
        with pytest.raises(ReceiptError):
            verify_receipt(ended, ASKED, ORIGIN, [_key()])
    assert tried > figure(900, 90_000)
