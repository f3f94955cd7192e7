"""Keys: strangers' points, signatures, names, and each message byte for byte."""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from authy_grpc.domain import keys
from authy_grpc.domain.encoding import base64url_decode
from authy_grpc.domain.errors import BadSignature

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
FIELD = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
PRIVATE = ec.derive_private_key(
    0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433, ec.SECP256R1()
)
POINT = keys.public_point(PRIVATE)
OTHER = ec.derive_private_key(7, ec.SECP256R1())
OTHER_POINT = keys.public_point(OTHER)


def test_a_point_is_65_bytes_and_loads() -> None:
    numbers = PRIVATE.public_key().public_numbers()
    assert b"\x04" + numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big") == POINT
    assert keys.load_point(POINT).public_numbers() == numbers


@pytest.mark.parametrize(
    "point",
    [
        b"",
        b"\x00",
        b"\x00" * 65,
        b"\x04" + b"\x00" * 64,
        b"\x04" + b"\xff" * 64,
        POINT[:-1],
        POINT + b"\x00",
        POINT[1:],
        POINT[:-1] + bytes([POINT[-1] ^ 1]),
        bytes([2 + (POINT[-1] & 1)]) + POINT[1:33],
        bytes([2 + (POINT[-1] & 1)]) + POINT[1:],
        bytes([6 + (POINT[-1] & 1)]) + POINT[1:],
        b"\x04" + FIELD.to_bytes(32, "big") + POINT[33:],
        b"\x04" + POINT[33:] + POINT[1:33],
    ],
)
def test_what_is_no_point_is_refused(point: bytes) -> None:
    for read in (keys.load_point, keys.jwk, keys.thumbprint):
        with pytest.raises(BadSignature):
            read(point)
    with pytest.raises(BadSignature):
        keys.agree(PRIVATE, point)
    with pytest.raises(BadSignature):
        keys.verify(point, b"", bytes(63) + b"\x01")


def test_rfc_7515_appendix_a_3() -> None:
    point = b"\x04" + base64url_decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")
    point += base64url_decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")
    signed = (
        b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        b"cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    )
    signature = base64url_decode(
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    keys.verify(point, signed, signature)
    with pytest.raises(BadSignature):
        keys.verify(point, signed + b"A", signature)


def test_own_signatures_verify() -> None:
    for n in range(50):
        signature = keys.sign(PRIVATE, bytes([n]))
        assert len(signature) == 64
        keys.verify(POINT, bytes([n]), signature)
        with pytest.raises(BadSignature):
            keys.verify(OTHER_POINT, bytes([n]), signature)


def test_both_halves_of_a_malleable_signature_verify() -> None:
    signature = keys.sign(PRIVATE, b"message")
    twin = signature[:32] + (ORDER - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    assert twin != signature
    keys.verify(POINT, b"message", twin)


@pytest.mark.parametrize("r", [0, 1, ORDER - 1, ORDER, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, ORDER - 1, ORDER, 2**256 - 1])
def test_numbers_at_the_edge_are_refused(r: int, s: int) -> None:
    with pytest.raises(BadSignature):
        keys.verify(POINT, b"message", r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def test_signatures_of_another_length_or_form_are_refused() -> None:
    signature = keys.sign(PRIVATE, b"message")
    der = PRIVATE.sign(b"message", ec.ECDSA(SHA256()))
    for wrong in (
        b"",
        signature[:-1],
        signature + b"\x00",
        b"\x00" + signature,
        signature * 2,
        der,
        der[:64],
    ):
        with pytest.raises(BadSignature):
            keys.verify(POINT, b"message", wrong)


def test_bit_flips_are_refused(figure: Callable[[int, int], int]) -> None:
    chance = random.Random(1)
    message = b"a message"
    parts = [POINT, message, keys.sign(PRIVATE, message)]
    keys.verify(*parts)
    for _ in range(figure(2_000, 100_000)):
        which = chance.randrange(3)
        flipped = bytearray(parts[which])
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        changed = [*parts[:which], bytes(flipped), *parts[which + 1 :]]
        with pytest.raises(BadSignature):
            keys.verify(*changed)


def test_thumbprint_by_another_path() -> None:
    numbers = keys.load_point(POINT).public_numbers()
    coordinates = {
        name: base64.urlsafe_b64encode(value.to_bytes(32, "big")).decode().rstrip("=")
        for name, value in (("x", numbers.x), ("y", numbers.y))
    }
    members = {"kty": "EC", "crv": "P-256", **coordinates}
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).digest()
    assert keys.jwk(POINT) == canonical
    assert keys.thumbprint(POINT) == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert keys.thumbprint(OTHER_POINT) != keys.thumbprint(POINT)


def test_jwk_round_trip() -> None:
    assert keys.point_of_jwk(keys.jwk(POINT)) == POINT


GOOD = keys.jwk(POINT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        GOOD + " ",
        GOOD + "\n",
        " " + GOOD,
        "\ufeff" + GOOD,
        GOOD.replace(",", ", "),
        GOOD.replace("P-256", "P-384"),
        GOOD.replace("P-256", "P\\u002d256"),
        GOOD.replace('"crv":"P-256","kty":"EC"', '"kty":"EC","crv":"P-256"'),
        GOOD.replace("}", ',"d":"AA"}'),
        GOOD.replace('"y":"', '"y":"A'),
        GOOD.replace('"}', '="}'),
        GOOD[:-3] + chr(ord(GOOD[-3]) + 1) + '"}',
        GOOD.replace('"x"', '"y"'),
        GOOD.replace('"x"', '"z"').replace('"y"', '"x"').replace('"z"', '"y"'),
        "[" * 100_000,
        "\ud800",
    ],
)
def test_other_spellings_of_a_jwk_are_refused(text: str) -> None:
    assert text != GOOD
    with pytest.raises(BadSignature):
        keys.point_of_jwk(text)


def test_rfc_5903_section_8_1() -> None:
    peer = bytes.fromhex(
        "04D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
        "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB"
    )
    agreed = bytes.fromhex("D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE")
    assert keys.agree(PRIVATE, peer) == agreed


def test_both_sides_agree() -> None:
    assert keys.agree(PRIVATE, OTHER_POINT) == keys.agree(OTHER, POINT)


def test_messages_byte_for_byte() -> None:
    registration = keys.registration_message("pvn_1", POINT, OTHER_POINT)
    assert registration == b"authy_grpc register v1\npvn_1\n" + POINT + OTHER_POINT
    site_key = keys.site_key_message("dev_1", "sit_1", POINT)
    assert site_key == b"authy_grpc site key v1\ndev_1\nsit_1\n" + POINT


def test_a_proof_byte_for_byte() -> None:
    method = "authy_grpc.v1.AccountService/ApproveDevice"
    start = b"authy_grpc proof v1\ndev_1\nauthy_grpc.v1.AccountService/ApproveDevice\n1700000000123\n"
    assert keys.proof_message("dev_1", method, 1_700_000_000_123) == start
    assert keys.proof_message("dev_1", method, 1_700_000_000_123, "dev_2") == start + b"dev_2"
    assert keys.proof_message("dev_1", method, 1_700_000_000_123, "dev_2", "é") == start + b"dev_2\n\xc3\xa9"


def test_totp_secret_by_hand() -> None:
    shared = keys.agree(PRIVATE, OTHER_POINT)
    secret = keys.totp_secret(
        shared, site_id="sit_1", device_id="dev_1", agreement_key=POINT, server_agreement_key=OTHER_POINT
    )
    pseudorandom = hmac.digest(b"sit_1", shared, "sha256")
    info = b"authy_grpc totp v1\ndev_1" + POINT + OTHER_POINT
    assert secret == hmac.digest(pseudorandom, info + b"\x01", "sha256")[:20]


def test_totp_secret_hangs_on_all_that_goes_in() -> None:
    secrets = {
        keys.totp_secret(
            shared, site_id=site_id, device_id=device_id, agreement_key=mine, server_agreement_key=theirs
        )
        for shared in (bytes(32), b"\x01" * 32)
        for site_id in ("sit_1", "sit_2")
        for device_id in ("dev_1", "dev_2")
        for mine in (POINT, OTHER_POINT)
        for theirs in (POINT, OTHER_POINT)
    }
    assert len(secrets) == 32


def test_device_check_by_hand() -> None:
    server = keys.public_point(ec.derive_private_key(9, ec.SECP256R1()))
    digest = hashlib.sha256(b"authy_grpc device check v1\ndev_1\n" + POINT + OTHER_POINT + server).hexdigest()
    check = keys.device_check("dev_1", POINT, OTHER_POINT, server)
    assert check == str(int(digest, 16))[-6:]
    assert check != keys.device_check("dev_2", POINT, OTHER_POINT, server)
    assert check != keys.device_check("dev_1", OTHER_POINT, OTHER_POINT, server)
    assert check != keys.device_check("dev_1", POINT, POINT, server)
    assert check != keys.device_check("dev_1", POINT, OTHER_POINT, POINT)


@pytest.mark.parametrize(("drawn", "scalar"), [(0, 1), (1, 2), (ORDER - 2, ORDER - 1), (ORDER - 1, 1)])
def test_a_private_key_is_any_but_zero(drawn: int, scalar: int) -> None:
    private = keys.new_private_key(lambda count: drawn.to_bytes(count, "big"))
    assert private.private_numbers().private_value == scalar
