"""Receipts that nobody may take: made of a genuine one, most of them signed by the key that made it."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from authy_grpc.domain import keys
from authy_grpc.domain.encoding import base64url, base64url_decode

# Of a question, what the site is never told, and so cannot compare.
UNTOLD = {"site", "site_id", "nonce"}
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def sign(header: str | bytes, payload: str | bytes, private: EllipticCurvePrivateKey) -> str:
    """Signs anything, as a device of bad will could."""
    parts = [part.encode() if isinstance(part, str) else part for part in (header, payload)]
    signing_input = ".".join(map(base64url, parts))
    return f"{signing_input}.{base64url(keys.sign(private, signing_input.encode()))}"


@dataclass
class Mint:
    """Makes false receipts of a genuine one.

    Attributes:
        genuine: the receipt, which approves.
        private: the key that signed it.
        expires: of its question, seconds since 1970.
    """

    genuine: str
    private: EllipticCurvePrivateKey
    created: int
    expires: int

    def __post_init__(self) -> None:
        header, payload, self.signature = map(base64url_decode, self.genuine.split("."))
        self.header, self.payload = header.decode(), payload.decode()
        self.answer = json.loads(self.payload)
        self.question = self.answer["question"]
        # What is forged below differs from the genuine one in what its name says, and in nothing else.
        assert self._payload() == self.payload

    def forged(self) -> Iterator[tuple[str, str]]:
        """All that neither service nor site takes, with what is wrong about each."""
        yield from self._tampered()
        yield from self._other_values()
        yield from self._other_spellings()
        yield from self._other_headers()
        yield from self._other_base64()
        yield from self._other_signatures()

    def untold(self) -> Iterator[tuple[str, str]]:
        """What the service does not take, and the site cannot tell: it is not told these values."""
        for name in sorted(UNTOLD):
            yield f"question.{name}", sign(self.header, self._asked(name), self.private)

    def _asked(self, name: str) -> str:
        """The payload with another value of one field of the question."""
        question = dict(self.question)
        question[name] = _changed(question[name])
        return self._payload(question=question)

    def _payload(self, **fields: Any) -> str:
        """The payload in its form, with other values."""
        values = dict(self.answer, **fields)
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))

    def _tampered(self) -> Iterator[tuple[str, str]]:
        """Every field changed, under the signature of the genuine one."""
        changed = {f"question.{name}": self._asked(name) for name in self.question}
        for name in ("decision", "match_number", "user_verified", "time"):
            value = {"decision": "deny"}.get(name, _changed(self.answer[name]))
            changed[name] = self._payload(**{name: value})
        changed["a denial"] = self._payload(decision="deny", match_number="")
        for name, payload in changed.items():
            assert payload != self.payload
            text = ".".join(map(base64url, (self.header.encode(), payload.encode(), self.signature)))
            yield f"tampered {name}", text
        for name in ("alg", "kid", "typ"):
            header = dict(json.loads(self.header))
            header[name] = _changed(header[name])
            spelled = json.dumps(header, separators=(",", ":")).encode()
            yield f"tampered {name}", ".".join([base64url(spelled), *self.genuine.split(".")[1:]])

    def _other_values(self) -> Iterator[tuple[str, str]]:
        """Every field changed, and well signed."""
        for name in self.question.keys() - UNTOLD:
            yield f"signed question.{name}", sign(self.header, self._asked(name), self.private)
        values: dict[str, dict[str, Any]] = {
            "too early": {"time": self.created - 61},
            "too late": {"time": self.expires + 61},
            "a number to deny": {"decision": "deny"},
            "another decision": {"decision": "accept"},
            "decision in capitals": {"decision": "APPROVE"},
            "no decision": {"decision": ""},
            "a number as number": {"match_number": int(self.answer["match_number"])},
            "a number with a space": {"match_number": self.answer["match_number"] + " "},
            "an Arabic number": {"match_number": "\u0661\u0662\u0663\u0664\u0665\u0666"},
            "verified as number": {"user_verified": 1},
            "verified as text": {"user_verified": "false"},
            "verified null": {"user_verified": None},
            "time as text": {"time": str(self.answer["time"])},
            "time as fraction": {"time": self.answer["time"] + 0.0},
            "negative time": {"time": -1},
            "no question": {"question": {}},
            "a question as text": {"question": json.dumps(self.question)},
        }
        for name, fields in values.items():
            yield name, sign(self.header, self._payload(**fields), self.private)

    def _other_spellings(self) -> Iterator[tuple[str, str]]:
        """The same values, or a parser's idea of the same, spelled in another way and well signed."""
        text, time = self.payload, str(self.answer["time"])
        reordered = dict(reversed(self.answer.items()))
        spelled = {
            "spaces": json.dumps(self.answer, ensure_ascii=False),
            "indented": json.dumps(self.answer, ensure_ascii=False, indent=1),
            "another order": json.dumps(reordered, ensure_ascii=False, separators=(",", ":")),
            "question in another order": self._payload(question=dict(reversed(self.question.items()))),
            "sorted": json.dumps(self.answer, ensure_ascii=False, separators=(",", ":"), sort_keys=True),
            "escaped": json.dumps(self.answer, ensure_ascii=True, separators=(",", ":")),
            "an escape": text.replace("approve", "\\u0061pprove", 1),
            "slashes escaped": text.replace("/", "\\/"),
            "a key escaped": text.replace('"time"', '"t\\u0069me"', 1),
            "a key twice, first": text.replace("{", '{"decision":"deny",', 1),
            "a key twice, last": text[:-1] + ',"decision":"approve"}',
            "question twice": text[:-1] + ',"question":{}}',
            "message twice": text.replace('"message":', '"message":"Nothing","message":', 1),
            "details twice": text.replace('"match_digits":', '"details":[],"match_digits":', 1),
            "one more": text[:-1] + ',"note":""}',
            "one more in the question": text[:-2] + ',"note":""}}',
            "one less": text.replace(f'"time":{time},', "", 1),
            "version 2": text.replace('"v":1', '"v":2', 1),
            "zero before": text.replace(time, "0" + time, 1),
            "plus before": text.replace(time, "+" + time, 1),
            "fraction": text.replace(time, time + ".0", 1),
            "exponent": text.replace(time, time + "e0", 1),
            "true in capitals": text.replace("false", "False", 1),
            "space before": " " + text,
            "newline after": text + "\n",
            "nul after": text + "\0",
            "mark before": "\ufeff" + text,
            "twice": text + text,
            "in a list": f"[{text}]",
            "empty": "",
            "null": "null",
            "cut": text[:-1],
        }
        for name, payload in spelled.items():
            assert payload != text, name
            yield f"spelled: {name}", sign(self.header, payload, self.private)
        yield "spelled: bad UTF-8", sign(self.header, self.payload.encode() + b"\xff", self.private)
        yield "spelled: UTF-16", sign(self.header, self.payload.encode("utf-16"), self.private)

    def _other_headers(self) -> Iterator[tuple[str, str]]:
        header = self.header
        for name, spelled in {
            "none": header.replace("ES256", "none"),
            "HS256": header.replace("ES256", "HS256"),
            "ES256K": header.replace("ES256", "ES256K"),
            "small": header.replace("ES256", "es256"),
            "another typ": header.replace("authy-approval", "JWT"),
            "no typ": header.replace(',"typ":"authy-approval"', ""),
            "another order": '{"typ":"authy-approval",' + header[1:].replace(',"typ":"authy-approval"', ""),
            "a key in it": header[:-1] + f',"jwk":{keys.jwk(keys.public_point(self.private))}}}',
            "alg twice": header[:-1] + ',"alg":"none"}',
            "crit": header[:-1] + ',"crit":["exp"],"exp":1}',
            "b64": header[:-1] + ',"b64":false,"crit":["b64"]}',
            "spaces": header.replace(",", ", "),
            "empty": "{}",
        }.items():
            assert spelled != header, name
            yield f"header: {name}", sign(spelled, self.payload, self.private)
        point = keys.public_point(self.private)
        for alg, secret in (("none", b""), ("HS256", point), ("HS256", keys.jwk(point).encode())):
            spelled = header.replace("ES256", alg)
            signing_input = f"{base64url(spelled.encode())}.{base64url(self.payload.encode())}"
            mac = hmac.digest(secret, signing_input.encode(), hashlib.sha256) if secret else b""
            yield f"header: {alg} by the public key", f"{signing_input}.{base64url(mac)}"

    def _other_base64(self) -> Iterator[tuple[str, str]]:
        parts = self.genuine.split(".")
        for index, part in enumerate(parts):
            for name, spelled in {
                "padded": part + "=" * (-len(part) % 4 or 4),
                "a newline in it": part[:7] + "\n" + part[7:],
                "a space in it": part[:7] + " " + part[7:],
                "junk in it": part[:7] + "!" + part[7:],
                "stray bits": _stray(part),
                "standard alphabet": base64.b64encode(base64url_decode(part)).decode().rstrip("="),
                "empty": "",
                "one character more": part + "A",
            }.items():
                if spelled != part:
                    yield f"segment {index} {name}", ".".join([*parts[:index], spelled, *parts[index + 1 :]])
        for name, text in {
            "two segments": ".".join(parts[:2]),
            "four segments": self.genuine + ".",
            "an empty one": "..",
            "nothing": "",
            "a space before": " " + self.genuine,
            "a newline after": self.genuine + "\n",
            "as an object": json.dumps(dict(zip(("protected", "payload", "signature"), parts, strict=True))),
            "too long": parts[0] + "." + parts[1] + "A" * 65_536 + "." + parts[2],
        }.items():
            yield name, text

    def _other_signatures(self) -> Iterator[tuple[str, str]]:
        r, s = (int.from_bytes(half, "big") for half in (self.signature[:32], self.signature[32:]))
        for name, signature in {
            "zeros": bytes(64),
            "ones": b"\xff" * 64,
            "swapped": self.signature[32:] + self.signature[:32],
            "no r": bytes(32) + self.signature[32:],
            "no s": self.signature[:32] + bytes(32),
            "s one more": self.signature[:32] + ((s + 1) % _ORDER).to_bytes(32, "big"),
            "r and the order": ((r + _ORDER) % 2**256).to_bytes(32, "big") + self.signature[32:],
            "cut": self.signature[:63],
            "longer": self.signature + b"\0",
            "twice": self.signature * 2,
            "DER": encode_dss_signature(r, s),
        }.items():
            yield f"signature: {name}", ".".join([*self.genuine.split(".")[:2], base64url(signature)])


def flips(text: str, count: int, draw: Random) -> Iterator[str]:
    """The text with one bit turned, as often as there are bits, then with several."""
    bits = 8 * len(text)
    singles = draw.sample(range(bits), min(count, bits))
    several = (draw.sample(range(bits), draw.randint(2, 8)) for _ in range(count - len(singles)))
    for turned in [*([bit] for bit in singles), *several]:
        changed = bytearray(text.encode("latin-1"))
        for bit in turned:
            changed[bit // 8] ^= 1 << bit % 8
        yield changed.decode("latin-1")


def _changed(value: Any) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str() if value.isdigit():
            return f"{(int(value) + 1) % 10 ** len(value):0{len(value)}d}"
        case str():
            return value[:-1] + ("A" if value[-1:] != "A" else "B")
        case list():
            return value[:-1]
    raise TypeError(type(value))


def _stray(part: str) -> str:
    """Another spelling of the same bytes, where there is one."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part if len(part) % 4 in (0, 1) else part[:-1] + alphabet[alphabet.index(part[-1]) ^ 1]
