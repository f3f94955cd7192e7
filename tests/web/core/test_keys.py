"""Keys, codes and encodings of the web authenticator, held against the service's own and pyotp's."""

import base64
import os

import pyotp
import pytest

from authy_grpc.domain import encoding, keys
from authy_grpc.phone.state import new_key
from tests.web.conftest import engines
from tests.web.engines import ScriptError, Tab

SITE = "sit_01JD0000000000000000000000"
DEVICE = "dev_01JD0000000000000000000000"

# A device as it stands after registration; its names are of every test here.
DEVICE_MADE = """
const bytes = await load('/app/core/bytes.js'), keys = await load('/app/core/keys.js');
const made = await keys.makeDeviceKeys();
const device = {...made, deviceId: args[0], serverPoint: bytes.fromBase64(args[1])};
device.base = await keys.agree(made.agreement, device.serverPoint);
const points = {signing: bytes.toBase64(made.signingPoint), agreement: bytes.toBase64(made.agreementPoint)};
"""


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@engines()
async def test_codes_are_those_of_the_service_and_of_pyotp(tab: Tab) -> None:
    server = new_key()
    times = [0, 59, 1_111_111_109, 1_234_567_890, 2_000_000_000, 20_000_000_000]
    told = await tab.run(
        DEVICE_MADE
        + """
        const key = await keys.siteCodeKey(device, args[2]);
        const codes = [];
        for (const digits of [6, 7, 8]) for (const period of [30, 60]) for (const time of args[3])
          codes.push(await keys.codeAt(key, time, {digits, period}));
        return {...points, codes, check: await keys.deviceCheck(device)};
        """,
        DEVICE,
        b64(keys.public_point(server)),
        SITE,
        times,
    )
    agreement = base64.b64decode(told["agreement"])
    secret = keys.totp_secret(
        keys.agree(server, agreement),
        site_id=SITE,
        device_id=DEVICE,
        agreement_key=agreement,
        server_agreement_key=keys.public_point(server),
    )
    text = base64.b32encode(secret).decode()
    assert told["codes"] == [
        pyotp.TOTP(text, digits=digits, interval=period).at(time)
        for digits in (6, 7, 8)
        for period in (30, 60)
        for time in times
    ]
    signing = base64.b64decode(told["signing"])
    assert told["check"] == keys.device_check(DEVICE, signing, agreement, keys.public_point(server))


@engines()
async def test_what_a_device_signs_is_what_the_service_verifies(tab: Tab) -> None:
    told = await tab.run(
        DEVICE_MADE
        + """
        const site = await keys.makeSiteKey();
        return {
          ...points,
          registration: bytes.toBase64(await keys.signRegistration(made, 'pvn_1')),
          proof: await keys.prove(device, 'AccountService/UpdateDevice', 1764000000123, ['d_2', 'Zoë 電話']),
          bare: await keys.prove(device, 'AccountService/CreateSession', 1764000000124, []),
          site: {...await keys.proveSiteKey(device, site, args[2]), kid: site.kid},
        };
        """,
        DEVICE,
        b64(keys.public_point(new_key())),
        SITE,
    )
    signing, agreement = (base64.b64decode(told[name]) for name in ("signing", "agreement"))
    message = keys.registration_message("pvn_1", signing, agreement)
    keys.verify(signing, message, base64.b64decode(told["registration"]))
    for proof, method, names in (
        (told["proof"], "UpdateDevice", ("d_2", "Zoë 電話")),
        (told["bare"], "CreateSession", ()),
    ):
        message = keys.proof_message(
            DEVICE, f"authy_grpc.v1.AccountService/{method}", int(proof["timeMillis"]), *names
        )
        keys.verify(signing, message, base64.b64decode(proof["signature"]))
    site = told["site"]
    point = base64.b64decode(site["siteKey"])
    message = keys.site_key_message(DEVICE, SITE, point)
    keys.verify(point, message, base64.b64decode(site["siteKeyProof"]))
    keys.verify(signing, message, base64.b64decode(site["signature"]))
    assert site["kid"] == keys.thumbprint(point)


@engines()
async def test_no_private_key_can_be_exported_or_does_more_than_it_is_for(tab: Tab) -> None:
    told = await tab.run(
        DEVICE_MADE
        + """
        const site = await keys.makeSiteKey();
        const all = {
          signing: device.signing, agreement: device.agreement, base: device.base, site: site.key,
          code: await keys.siteCodeKey(device, 'sit_1'),
          foreign: await keys.importCodeKey(new Uint8Array(20), 'SHA-1'),
        };
        const out = {};
        for (const [name, key] of Object.entries(all)) {
          const exported = [];
          for (const format of ['pkcs8', 'raw', 'jwk', 'spki'])
            await crypto.subtle.exportKey(format, key).then(() => exported.push(format), () => {});
          out[name] = [key.extractable, key.usages, exported];
        }
        // The control: what may be exported is.
        const open = await crypto.subtle.generateKey({name: 'ECDSA', namedCurve: 'P-256'}, true, ['sign']);
        await crypto.subtle.exportKey('jwk', open.privateKey);
        return out;
        """,
        DEVICE,
        b64(keys.public_point(new_key())),
    )
    uses = {
        "signing": "sign",
        "agreement": "deriveKey",
        "base": "deriveKey",
        "site": "sign",
        "code": "sign",
        "foreign": "sign",
    }
    assert told == {name: [False, [use], []] for name, use in uses.items()}


@engines()
async def test_another_point_than_one_of_the_curve_makes_no_codes(tab: Tab) -> None:
    good = keys.public_point(new_key())
    for bad in (good[:-1] + bytes([good[-1] ^ 1]), b"\0", b"\4" + bytes(64), good[:33]):
        with pytest.raises(ScriptError):
            await tab.run(DEVICE_MADE, DEVICE, b64(bad))
    await tab.run(DEVICE_MADE, DEVICE, b64(good))


@engines()
async def test_encodings_are_those_of_the_service_in_one_spelling(tab: Tab) -> None:
    samples = [os.urandom(length) for length in (*range(40), 1000)]
    told = await tab.run(
        """
        const bytes = await load('/app/core/bytes.js');
        return args[0].map(text => {
          const data = bytes.fromBase64(text);
          const again = [
            bytes.fromBase64Url(bytes.toBase64Url(data)),
            bytes.fromBase32(bytes.toBase32(data)),
            bytes.join(data),
          ].every(each => bytes.equal(each, data));
          return [again, bytes.toBase64(data), bytes.toBase64Url(data), bytes.toBase32(data)];
        });
        """,
        [b64(sample) for sample in samples],
    )
    assert told == [
        [
            True,
            b64(sample),
            encoding.base64url(sample),
            base64.b32encode(sample).decode().rstrip("="),
        ]
        for sample in samples
    ]
    wrong = {
        "fromBase64": ["QQ", "QR==", "Q Q==", "QQ==\n", "-_==", "QQ=", "é"],
        "fromBase64Url": ["QQ==", "QR", "Q", "+/", "Q Q", "QQ\n", "\u017f"],
        "fromBase32": ["A", "AB1", "ABC", "0", "ABCDEF", "é"],
        "fromUtf8": [],
    }
    refused = await tab.run(
        """
        const bytes = await load('/app/core/bytes.js'), taken = [];
        const refuses = (name, value) => {
          try { bytes[name](value); taken.push([name, String(value)]); } catch (error) {
            if (error.name !== 'RangeError') throw error;
          }
        };
        for (const [name, texts] of Object.entries(args[0])) for (const text of texts) refuses(name, text);
        for (const bad of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80]])
          refuses('fromUtf8', new Uint8Array(bad));
        const marked = bytes.fromUtf8(new Uint8Array([0xef, 0xbb, 0xbf, 65]));
        return [taken, marked, bytes.toBase32(bytes.fromBase32('mf rg-g==='))];
        """,
        wrong,
    )
    assert refused == [[], "\ufeffA", "MFRGG"]
