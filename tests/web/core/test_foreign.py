"""Accounts of other services in the web authenticator: what is read, kept, backed up and read back."""

import base64
import itertools
import json
from typing import Any
from urllib.parse import quote, unquote

import pyotp
import pytest

from authy_grpc.domain.qr_text import otpauth_uri, token_uri
from tests.web.conftest import engines
from tests.web.engines import Tab

SECRET = base64.b32encode(bytes(range(20))).decode()
# A `Draft` is shown with its secret as base32.
_READ = """
const {parseOtpauth, readScanned, writeOtpauth} = await load('/app/core/otpauth.js');
const {fromBase32, toBase32} = await load('/app/core/bytes.js');
const shown = draft => ({...draft, secret: toBase32(draft.secret)});
"""
_OPEN = """
const {open} = await load('/app/core/vault.js');
const {Accounts} = await load('/app/core/accounts.js');
const {Backup} = await load('/app/core/backup.js');
const {parseOtpauth} = await load('/app/core/otpauth.js');
const vault = open(args[0]), accounts = new Accounts(vault), backup = new Backup(vault, accounts);
const why = promise => promise.then(() => 'OK', error => error.reason ?? String(error));
"""


def draft(**fields: Any) -> dict[str, Any]:
    given = {
        "type": "totp",
        "issuer": "ACME Co",
        "account": "ada@acme.example",
        "secret": SECRET,
        "hash": "SHA-1",
        "digits": 6,
        "period": 30,
        "counter": 0,
    }
    return given | fields


# A protobuf writer of its own: what the module reads is not written by the module.
def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def parameters(name: str, issuer: str = "", **kinds: int) -> bytes:
    numbers = {"algorithm": 4, "digits": 5, "type": 6, "counter": 7}
    ends = b"".join(field(numbers[kind], value) for kind, value in kinds.items())
    return field(1, bytes(range(20))) + field(2, name) + field(3, issuer) + ends


def exported(*accounts: bytes, size: int = 1, index: int = 0, batch: int = -7) -> str:
    payload = b"".join(field(1, each) for each in accounts)
    payload += field(2, 1) + field(3, size) + field(4, index) + field(5, batch)
    return f"otpauth-migration://offline?data={quote(base64.b64encode(payload).decode(), safe='')}"


@engines()
async def test_what_is_scanned_is_read_or_refused_with_a_reason(tab: Tab) -> None:
    ours = "https://auth.example/a/app/"
    token = "Zm9vYmFyYmF6cXV4cXV1eA"
    uri = f"otpauth://totp/ACME%20Co:ada%40acme.example?secret={SECRET}"
    cases: dict[str, Any] = {
        token_uri("https://auth.example/a", token): {"kind": "enrollment", "token": token},
        f"  {ours}#/e/{token}\n": {"kind": "enrollment", "token": token},
        f"{ours}#/e/{token}x": {"kind": "unknown"},
        f"{ours}#/e/{token[:-1]}": {"kind": "unknown"},
        token: {"kind": "unknown"},
        token_uri("https://evil.example", token): {"kind": "elsewhere", "host": "evil.example"},
        token_uri("https://auth.example@evil.example:444", token): {
            "kind": "elsewhere",
            "host": "evil.example:444",
        },
        # Where a browser would go, and not what the link is made to look like.
        token_uri("https://evil.example\\@auth.example", token): {
            "kind": "elsewhere",
            "host": "evil.example",
        },
        token_uri("https://b\u00fccher.example", token): {
            "kind": "elsewhere",
            "host": "xn--bcher-kva.example",
        },
        token_uri("https://\u202eelpmaxe.live", token): {"kind": "unknown"},
        f"javascript:alert(1)//{ours}#/e/{token}": {"kind": "unknown"},
        "https://books.example/": {"kind": "unknown"},
        "": {"kind": "unknown"},
        "x" * 5000: {"kind": "unknown"},
        uri: {"kind": "account", "draft": draft()},
        f"OTPAUTH://TOTP/ada?secret={SECRET.lower()}&issuer=ACME%20Co": {
            "kind": "account",
            "draft": draft(account="ada"),
        },
        f"{uri}&algorithm=SHA512&digits=8&period=60&issuer=ACME%20Co": {
            "kind": "account",
            "draft": draft(hash="SHA-512", digits=8, period=60),
        },
        f"otpauth://hotp/x?secret={SECRET}&counter=41": {
            "kind": "account",
            "draft": draft(type="hotp", issuer="", account="x", counter=41),
        },
        f"otpauth://totp/%3Cb%3E%E2%80%AE?secret={SECRET}": {
            "kind": "account",
            "draft": draft(issuer="", account="<b>\u202e"),
        },
        # The seed that this service gives to any authenticator.
        otpauth_uri(bytes(range(20)), issuer="A: B", label="ada:x", digits=7, period=30): {
            "kind": "account",
            "draft": draft(issuer="A: B", account="ada-x", digits=7),
        },
    }
    refused = {
        uri.replace(SECRET, ""): "NO_SECRET",
        uri.replace(SECRET, "ABC1"): "BAD_SECRET",
        uri.replace(SECRET, "AA" * 400): "BAD_SECRET",
        f"{uri}&digits=5": "BAD_DIGITS",
        f"{uri}&digits=9": "BAD_DIGITS",
        f"{uri}&digits=six": "BAD_DIGITS",
        f"{uri}&period=0": "BAD_PERIOD",
        f"{uri}&period=121": "BAD_PERIOD",
        f"{uri}&algorithm=MD5": "BAD_ALGORITHM",
        f"{uri}&algorithm=constructor": "BAD_ALGORITHM",
        f"{uri}&encoder=steam": "BAD_TYPE",
        f"otpauth://steam/x?secret={SECRET}": "BAD_TYPE",
        f"otpauth://hotp/x?secret={SECRET}&counter=-1": "BAD_COUNTER",
        f"otpauth://totp/{'x' * 300}?secret={SECRET}": "TOO_LONG",
        f"otpauth://totp/%ff?secret={SECRET}": "NOT_OTPAUTH",
        "otpauth://totp": "NOT_OTPAUTH",
        "otpauth-migration://offline?data=%": "NOT_OTPAUTH",
        exported(parameters("ada"), size=2**60): "NOT_OTPAUTH",
        exported(parameters("ada"), size=2, index=2): "NOT_OTPAUTH",
        exported(parameters("ada"), size=2, index=2**64 - 1): "NOT_OTPAUTH",
    }
    cases |= {text: {"kind": "refused", "reason": reason} for text, reason in refused.items()}
    told = await tab.run(
        _READ
        + """
        return args[1].map(text => {
          const read = readScanned(text, args[0]);
          return read.draft ? {...read, draft: shown(read.draft)} : read;
        });
        """,
        ours,
        list(cases),
    )
    assert dict(zip(cases, told, strict=True)) == cases


@engines()
async def test_an_account_that_is_written_is_read_back_by_this_app_and_by_pyotp(tab: Tab) -> None:
    drafts = [
        draft(type=kind, hash=hash_, digits=digits, period=period, issuer=issuer, counter=counter)
        for kind, hash_, digits, period, issuer, counter in (
            ("totp", "SHA-1", 6, 30, "ACME Co", 0),
            ("totp", "SHA-256", 8, 60, "Zoë & Söhne?#", 0),
            ("totp", "SHA-512", 7, 15, "", 0),
            ("hotp", "SHA-1", 6, 30, "A/B%", 3),
        )
    ]
    told = await tab.run(
        _READ
        + """
        const {importCodeKey, codeAt, codeOf} = await load('/app/core/keys.js');
        return Promise.all(args[0].map(async each => {
          const draft = {...each, secret: fromBase32(each.secret)};
          const uri = writeOtpauth(draft), key = await importCodeKey(draft.secret, draft.hash);
          const code = draft.type === 'hotp' ? await codeOf(key, draft.counter, draft.digits)
            : await codeAt(key, 1764000000, draft);
          return [uri, shown(parseOtpauth(uri)), code];
        }));
        """,
        drafts,
    )
    for given, (uri, again, code) in zip(drafts, told, strict=True):
        assert again == given
        other: Any = pyotp.parse_uri(uri)
        # An HOTP of pyotp begins with the counter of its URI.
        expected = other.at(0 if given["type"] == "hotp" else 1764000000)
        assert (code, unquote(other.name), other.issuer or "") == (
            expected,
            given["account"],
            given["issuer"],
        )


@engines()
async def test_an_export_of_google_is_read_account_by_account(tab: Tab) -> None:
    good = exported(
        parameters("ACME Co:ada@acme.example", "ACME Co", algorithm=1, digits=1, type=2),
        parameters("ada@acme.example", "ACME Co", algorithm=3, digits=2, type=2),
        parameters("count", "", type=1, counter=2**40),
        parameters("old", "MD5", algorithm=4, digits=1, type=2),
        parameters("bare"),
        field(2, "nothing") + field(9, b"new") + b"\x4d\0\0\0\0",
        size=3,
        index=1,
    )
    told = await tab.run(
        _READ
        + """
        const read = readScanned(args[0], 'https://auth.example/app/');
        return {...read, drafts: read.drafts.map(shown)};
        """,
        good,
    )
    assert told == {
        "kind": "migration",
        "drafts": [
            draft(),
            draft(hash="SHA-512", digits=8),
            draft(type="hotp", issuer="", account="count", counter=2**40),
            draft(issuer="", account="bare"),
        ],
        "refused": [
            {"issuer": "MD5", "account": "old", "reason": "BAD_ALGORITHM"},
            {"issuer": "", "account": "nothing", "reason": "NO_SECRET"},
        ],
        "size": 3,
        "index": 1,
        "batch": -7,
    }
    # Cut anywhere, or with a byte turned, it is read or refused, and never anything else.
    data = base64.b64decode(unquote(good.partition("=")[2]))
    broken = [data[:length] for length in range(len(data))]
    broken += [data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :] for at in range(len(data))]
    kinds = await tab.run(
        """
        const {readScanned} = await load('/app/core/otpauth.js');
        const kinds = new Set(args[0].map(data => readScanned(
          'otpauth-migration://offline?data=' + encodeURIComponent(data), 'https://auth.example/app/').kind));
        return [...kinds].sort();
        """,
        [base64.b64encode(each).decode() for each in broken],
    )
    assert kinds == ["migration", "refused"]


@engines()
async def test_no_account_overwrites_another_and_removed_ones_come_back(tab: Tab) -> None:
    told = await tab.run(
        _OPEN
        + """
        let now = 1764000000000;
        accounts.now = () => now;
        const secret = args[1], uri = `otpauth://totp/ACME:ada?secret=${secret}&issuer=ACME`;
        const other = uri.replace(secret, 'MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK');
        const first = await accounts.add(parseOtpauth(uri), {label: 'work'});
        const again = await accounts.add(parseOtpauth(uri), {label: 'home'});
        const second = await accounts.add(parseOtpauth(other));
        const names = (await accounts.list()).map(each => [each.issuer, each.label, each.sealed]);
        const codes = [await accounts.code(first.account, now), await accounts.code(second.account, now)];
        await accounts.remove(first.account.id);
        const left = (await accounts.list()).length, resting = (await accounts.removed()).length;
        const back = await accounts.add(parseOtpauth(uri));
        await accounts.remove(first.account.id);
        now += 31 * 24 * 3600 * 1000;
        const gone = [(await accounts.removed()).length, (await accounts.list()).length];
        const counting = (await accounts.add(parseOtpauth(`otpauth://hotp/x?secret=${secret}`))).account;
        await accounts.advance(counting.id);
        const counted = (await accounts.list()).find(each => each.id === counting.id);
        return {
          added: [first.added, again.added, second.added, back.added], label: back.account.label,
          names, codes, left, resting, gone,
          counts: [await accounts.code(counting, 0), await accounts.code(counted, 0)],
          keys: (await vault.all('accounts')).map(each => [each.key.extractable, each.key.usages]),
        };
        """,
        "accounts",
        SECRET,
    )
    one, two = pyotp.TOTP(SECRET), pyotp.TOTP("MFRGGZDFMZTWQ2LKMFRGGZDFMZTWQ2LK")
    assert [code["code"] for code in told["codes"]] == [one.at(1764000000), two.at(1764000000)]
    assert [code["next"] for code in told["codes"]] == [one.at(1764000030), two.at(1764000030)]
    assert told["added"] == [True, False, True, True]
    assert told["names"] == [["ACME", "work", False], ["ACME", "", False]]
    assert (told["left"], told["resting"], told["gone"], told["label"]) == (1, 1, [0, 1], "work")
    assert [code["code"] for code in told["counts"]] == [pyotp.HOTP(SECRET).at(count) for count in (0, 1)]
    assert told["keys"] == [[False, ["sign"]]] * 2


@engines()
async def test_a_backup_is_read_back_by_its_password_alone(tab: Tab) -> None:
    uris = [
        f"otpauth://totp/ACME:ada?secret={SECRET}&issuer=ACME&algorithm=SHA256&digits=8&period=60",
        f"otpauth://hotp/B:bob?secret={SECRET}&issuer=B&algorithm=SHA1&digits=6&counter=9",
    ]
    told = await tab.run(
        _OPEN
        + """
        const bare = (await accounts.add(parseOtpauth(args[2].replace('ACME', 'Bare')))).account;
        const early = [await why(backup.write('x')), await why(backup.setPassword('')), await backup.ready()];
        await backup.setPassword('correct horse');
        const twice = await why(backup.setPassword('other'));
        for (const uri of args[1]) await accounts.add(parseOtpauth(uri), {label: 'mine', pinned: true});
        const made = await backup.write('correct horse');
        const wrong = await why(backup.write('wrong'));
        await backup.changePassword('correct horse', 'battery staple');
        const changed = [await why(backup.write('correct horse')), await why(backup.plain('battery staple'))];
        return {early, twice, made, wrong, changed, plain: await backup.plain('battery staple')};
        """,
        "one",
        uris,
        f"otpauth://totp/ACME:ada?secret={SECRET}",
    )
    assert told["early"] == ["NO_PASSWORD", "NO_PASSWORD", False]
    assert (told["twice"], told["wrong"]) == ("HAS_PASSWORD", "WRONG_PASSWORD")
    assert told["changed"] == ["WRONG_PASSWORD", "OK"]
    assert (told["made"]["count"], told["made"]["left"]) == (2, 1)
    assert {pyotp.parse_uri(uri).secret for uri in told["plain"]} == {SECRET}
    assert told["plain"] == uris
    text = told["made"]["text"]
    file = json.loads(text)
    assert file["key"]["rounds"] >= 600_000
    for hidden in (SECRET, base64.b64encode(bytes(range(20))).decode()):
        assert hidden not in text
    # An entry says what was sealed, or is refused; the others come all the same.
    forged = {**file, "accounts": [{**file["accounts"][0], "issuer": "Bank"}, file["accounts"][1]]}
    swapped = json.loads(text)
    first, second = swapped["accounts"]
    first["sealed"], second["sealed"] = second["sealed"], first["sealed"]
    again = await tab.run(
        _OPEN
        + """
        const [text, forged, swapped] = args[1];
        const refused = [];
        const newer = text.replace('"version": 1', '"version": 2');
        const less = text.replace(/"point": "[^"]+"/, '"point": 1');
        for (const bad of ['', '{}', 'null', '[]', text.slice(0, -9), newer, 'x'.repeat(1000001), less])
          refused.push(await why(backup.read(bad, 'correct horse')));
        const wrong = await why(backup.read(text, 'battery staple'));
        const none = (await accounts.list()).length;
        const results = [];
        for (const each of [forged, swapped, text, text])
          results.push((await backup.read(each, 'correct horse')).results.map(at => [at.outcome, at.reason]));
        const kept = await accounts.list();
        return {refused, wrong, none, results, plain: await backup.plain('correct horse'),
          kept: kept.map(each => [each.label, each.pinned, each.sealed, each.counter])};
        """,
        "two",
        [text, json.dumps(forged), json.dumps(swapped)],
    )
    assert again["refused"] == [*["NOT_A_BACKUP"] * 5, "NEWER", "TOO_LARGE", "NOT_A_BACKUP"]
    assert (again["wrong"], again["none"]) == ("WRONG_PASSWORD", 0)
    damaged, added, have = ["refused", "DAMAGED"], ["added", ""], ["have", ""]
    assert again["results"] == [[damaged, added], [damaged, damaged], [added, have], [have, have]]
    assert sorted(again["plain"]) == sorted(uris)
    assert sorted(map(tuple, again["kept"])) == [("mine", True, True, 0), ("mine", True, True, 9)]


@pytest.mark.parametrize("engine", ["chromium"])
async def test_there_is_room_for_a_thousand_accounts(tab: Tab) -> None:
    secrets = ["".join(letters) for letters in itertools.islice(itertools.product("ABCD", repeat=8), 1001)]
    told = await tab.run(
        _OPEN
        + """
        const outcomes = new Set();
        for (const secret of args[1].slice(0, 1000))
          outcomes.add(await why(accounts.add(parseOtpauth(`otpauth://totp/x?secret=${secret}`))));
        const last = await why(accounts.add(parseOtpauth(`otpauth://totp/x?secret=${args[1][1000]}`)));
        const known = await why(accounts.add(parseOtpauth(`otpauth://totp/x?secret=${args[1][0]}`)));
        return [[...outcomes], last, known, (await accounts.list()).length];
        """,
        "many",
        secrets,
    )
    assert told == [["OK"], "FULL", "OK", 1000]
