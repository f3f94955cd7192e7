"""Writes and reads questions and receipts, byte for byte: reads back nothing but what it would write.

The forms are fixed by `PendingApproval.question` and `RespondApprovalRequest.receipt`. They are read by
patterns, not by a JSON parser: linear, without recursion, and blind to no spelling.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec

from authy_grpc.domain import keys
from authy_grpc.domain.encoding import base64url, base64url_decode
from authy_grpc.domain.errors import BadSignature

_MOST_CHARACTERS = 65_536
_SKEW = 60

# Each alternative begins with a character of its own, so a failure is found in linear time.
_TEXT = r'"[^"\\\x00-\x1f]*(?:\\["\\][^"\\\x00-\x1f]*)*"'
_NUMBER = "(?:0|[1-9][0-9]{0,14})"
_PAIR = rf"\[({_TEXT}),({_TEXT})\]"
_PAIRS = rf"\[(?:\[{_TEXT},{_TEXT}\](?:,\[{_TEXT},{_TEXT}\])*)?\]"
_QUESTION = re.compile(
    rf'\{{"v":1,"approval_id":({_TEXT}),"authy_id":({_TEXT}),"site_id":({_TEXT}),"site":({_TEXT}),'
    rf'"origin":({_TEXT}),"message":({_TEXT}),"details":({_PAIRS}),"match_digits":({_NUMBER}),'
    rf'"user_verification":(true|false),"created":({_NUMBER}),"expires":({_NUMBER}),'
    r'"nonce":"([A-Za-z0-9_-]{22})"\}'
)
_ONE_PAIR = re.compile(_PAIR)
_ESCAPED = re.compile(r'\\(["\\])')
_HEADER = re.compile(rb'\{"alg":"ES256","kid":"([A-Za-z0-9_-]{43})","typ":"authy-approval"\}')
# All of the payload before the question: a number is typed to approve, and for nothing else.
_ANSWER = re.compile(
    rb'\{"decision":"(approve|deny|report_fraud)","match_number":"((?:(?<="approve","match_number":")[0-9]+)?)",'
    rb'"user_verified":(true|false),"time":(' + _NUMBER.encode() + rb'),"question":'
)


@dataclass(frozen=True)
class Question:
    """What a user is asked.

    Attributes:
        approval_id: of the approval.
        authy_id: of the link, as the site knows it.
        site_id: of the link, as the authenticator knows it.
        site: the application's name.
        origin: the site's own web origin.
        message: what the user reads.
        details: pairs of label and value, in the order shown.
        match_digits: how many digits to ask for; 0 for none.
        user_verification: whether to ask for a PIN or a biometric.
        created: seconds since 1970.
        expires: seconds since 1970.
        nonce: 22 base64url characters.
    """

    approval_id: str
    authy_id: str
    site_id: str
    site: str = field(repr=False)
    origin: str = field(repr=False)
    message: str = field(repr=False)
    details: tuple[tuple[str, str], ...] = field(repr=False)
    match_digits: int
    user_verification: bool
    created: int
    expires: int
    nonce: str = field(repr=False)

    def write(self) -> bytes:
        """Writes the question in its fixed form.

        Returns:
            UTF-8 JSON on one line.

        Raises:
            ValueError: a text has characters that JSON does not take bare (U+0000 to U+001F) or a lone
                surrogate, a number is negative or has more than 15 digits, or the nonce has another form.
        """
        details = ",".join(f"[{_quoted(label)},{_quoted(value)}]" for label, value in self.details)
        text = (
            f'{{"v":1,"approval_id":{_quoted(self.approval_id)},"authy_id":{_quoted(self.authy_id)},'
            f'"site_id":{_quoted(self.site_id)},"site":{_quoted(self.site)},"origin":{_quoted(self.origin)},'
            f'"message":{_quoted(self.message)},"details":[{details}],"match_digits":{self.match_digits},'
            f'"user_verification":{_boolean(self.user_verification)},"created":{self.created},'
            f'"expires":{self.expires},"nonce":{_quoted(self.nonce)}}}'
        )
        if _QUESTION.fullmatch(text) is None:
            raise ValueError("a value has no place in a question")
        return text.encode()

    @classmethod
    def read(cls, data: bytes) -> "Question":
        """Reads a question.

        Args:
            data: bytes from anywhere.

        Returns:
            The question whose `write` gives these very bytes.

        Raises:
            BadSignature: anything else.
        """
        try:
            found = _QUESTION.fullmatch(data.decode())
        except UnicodeDecodeError:
            raise BadSignature from None
        if found is None:
            raise BadSignature
        *texts, details, match_digits, user_verification, created, expires, nonce = found.groups()
        approval_id, authy_id, site_id, site, origin, message = map(_unquoted, texts)
        question = cls(
            approval_id=approval_id,
            authy_id=authy_id,
            site_id=site_id,
            site=site,
            origin=origin,
            message=message,
            details=tuple((_unquoted(label), _unquoted(text)) for label, text in _ONE_PAIR.findall(details)),
            match_digits=int(match_digits),
            user_verification=user_verification == "true",
            created=int(created),
            expires=int(expires),
            nonce=nonce,
        )
        if question.write() != data:
            raise BadSignature
        return question


class Decision(StrEnum):
    """What the user chose."""

    APPROVE = "approve"
    DENY = "deny"
    REPORT_FRAUD = "report_fraud"


@dataclass(frozen=True)
class Receipt:
    """An answer.

    Attributes:
        kid: thumbprint of the device's key for the site.
        decision: what the user chose.
        match_number: the digits typed, where they approve; else empty.
        user_verified: whether a PIN or a biometric was asked for.
        time: seconds since 1970 by the service's clock.
        question: byte for byte.
    """

    kid: str
    decision: Decision
    match_number: str = field(repr=False)
    user_verified: bool
    time: int
    question: bytes = field(repr=False)

    def sign(self, private: ec.EllipticCurvePrivateKey) -> str:
        """Signs the answer (compact JWS, RFC 7515 section 7.1).

        Args:
            private: the key that `kid` names.

        Returns:
            The receipt.

        Raises:
            ValueError: a value has no place in a receipt, such as a number typed to deny.
        """
        signing_input = self._signing_input()
        return f"{signing_input.decode()}.{base64url(keys.sign(private, signing_input))}"

    def _signing_input(self) -> bytes:
        header = f'{{"alg":"ES256","kid":"{self.kid}","typ":"authy-approval"}}'.encode()
        answer = (
            f'{{"decision":"{self.decision.value}","match_number":"{self.match_number}",'
            f'"user_verified":{_boolean(self.user_verified)},"time":{self.time},"question":'
        ).encode()
        if _HEADER.fullmatch(header) is None or _ANSWER.fullmatch(answer) is None:
            raise ValueError("a value has no place in a receipt")
        payload = answer + self.question + b"}"
        return f"{base64url(header)}.{base64url(payload)}".encode()


@dataclass(frozen=True)
class Signed:
    """A receipt as it came, not yet verified.

    Attributes:
        receipt: what it says.
        signing_input: what is signed. Two receipts are the same answer where these are equal; the signature
            does not tell, since anybody can make a second one of it (see `keys.verify`).
        signature: 64 bytes.
    """

    receipt: Receipt
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def read(text: str) -> Signed:
    """Reads a receipt, and the question in it, in their fixed forms. Verifies no signature.

    Args:
        text: a compact JWS from anywhere.

    Returns:
        What it says, and what `verify` needs. `Question.read` takes its question.

    Raises:
        BadSignature: more than 65,536 characters, or other bytes than those that `Receipt.sign` writes.
    """
    if len(text) > _MOST_CHARACTERS or text.count(".") != 2:
        raise BadSignature
    try:
        header, payload, signature = map(base64url_decode, text.split("."))
    except ValueError:
        raise BadSignature from None
    named, answered = _HEADER.fullmatch(header), _ANSWER.match(payload)
    if named is None or answered is None or not payload.endswith(b"}"):
        raise BadSignature
    decision, match_number, user_verified, time = (group.decode("ascii") for group in answered.groups())
    receipt = Receipt(
        kid=named[1].decode("ascii"),
        decision=Decision(decision),
        match_number=match_number,
        user_verified=user_verified == "true",
        time=int(time),
        question=payload[answered.end() : -1],
    )
    Question.read(receipt.question)
    signing_input = receipt._signing_input()
    if text != f"{signing_input.decode('ascii')}.{base64url(signature)}":
        raise BadSignature
    return Signed(receipt, signing_input, signature)


def verify(signed: Signed, point: bytes) -> None:
    """Checks who signed a receipt.

    Args:
        signed: from `read`.
        point: the public half of the key that must have signed it, an uncompressed point.

    Raises:
        BadSignature: `kid` names another key, or the signature does not verify.
    """
    if signed.receipt.kid != keys.thumbprint(point):
        raise BadSignature
    keys.verify(point, signed.signing_input, signed.signature)


def check_time(receipt: Receipt, question: Question) -> None:
    """Checks that an answer was given while its question stood, with a minute to spare on each side.

    Args:
        receipt: the answer.
        question: what it answers.

    Raises:
        BadSignature: its time is outside.
    """
    if not question.created - _SKEW <= receipt.time <= question.expires + _SKEW:
        raise BadSignature


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unquoted(literal: str) -> str:
    return _ESCAPED.sub(r"\1", literal[1:-1])


def _boolean(value: bool) -> str:
    return "true" if value else "false"
