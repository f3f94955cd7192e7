"""Lists the screens about accounts of other services, in each of their states: a new one is a line here."""

from tests.web.screens import FAR, SUBMIT, refusal
from tests.web.staging import Screen

PRESS = "document.querySelector('.button.main').click(); await new Promise(done => setTimeout(done, 100));"
SECRET = [72, 101, 108, 108, 111, 33, 222, 173, 190, 239]
DRAFT = {
    "type": "totp", "issuer": "GitHub", "account": "octo", "secret": SECRET,
    "hash": "SHA-1", "digits": 6, "period": 30, "counter": 0,
}  # fmt: skip
LONG = {
    **DRAFT,
    "issuer": "Bürgeramt der Stadt Unterschleißheim",
    "account": "erika.mustermann@unterschleissheim.example",
}
HOTP = {**DRAFT, "type": "hotp", "issuer": "Old VPN", "account": "", "digits": 8, "counter": 41}
REFUSED = {"issuer": "Steam", "account": "octo", "reason": "BAD_ALGORITHM"}
SCANNED = {"app": {"scanned": {"drafts": [DRAFT], "refused": []}}}
EXPORT = {"app": {"scanned": {"drafts": [DRAFT, LONG, HOTP], "refused": [REFUSED]}}}
FOREIGN = {
    **{name: value for name, value in DRAFT.items() if name != "secret"},
    "id": "a1", "label": "work", "pinned": True, "addedTime": 1764500000000, "removedTime": 0, "sealed": True,
}  # fmt: skip
UNSEALED = {**FOREIGN, "id": "a2", "issuer": LONG["issuer"], "account": LONG["account"], "sealed": False}
COUNTED = {
    **FOREIGN,
    "id": "a3",
    "type": "hotp",
    "issuer": "Old VPN",
    "account": "",
    "digits": 8,
    "counter": 41,
}
CODE = {"code": "731204", "next": "900113", "secondsLeft": 8, "period": 30}
THREE = {"list": [FOREIGN, UNSEALED, COUNTED], "removed": [], "code": CODE, "rename": None, "pin": None}
GONE = [{**UNSEALED, "removedTime": FAR}, {**FOREIGN, "removedTime": FAR}]
URIS = [
    "otpauth://totp/GitHub:octo?secret=JBSWY3DPEHPK3PXP&issuer=GitHub&algorithm=SHA1&digits=6&period=30",
    "otpauth://hotp/Old%20VPN?secret=JBSWY3DPEHPK3PXP&issuer=&algorithm=SHA1&digits=8&counter=41",
]
WRONG = {"plain": refusal("WRONG_PASSWORD"), "write": refusal("WRONG_PASSWORD")}


def typed(password: str) -> str:
    """A password in each of its fields."""
    each = f"field.value = '{password}'; field.dispatchEvent(new Event('input'))"
    return f"for (const field of document.querySelectorAll('input[type=password]')) {{ {each} }}"


def unlock(button: int) -> str:
    """A password, and one of the buttons below it; then what it shows is there."""
    there = "document.querySelector('pre, .qr')"
    wait = f"for (let n = 0; n < 200 && !{there}; n++) await new Promise(done => setTimeout(done, 50))"
    return (
        f"{typed('correct horse')}; document.querySelectorAll('.actions .button')[{button}].click(); {wait}"
    )


SCREENS = [
    Screen("account-type", "account"),
    Screen("account-type-more", "account", then="document.querySelector('summary').click()"),
    Screen(
        "account-type-wrong",
        "account",
        then="document.querySelectorAll('input')[0].value = 'GitHub';" + SUBMIT,
    ),
    Screen("account-one", "account", given=SCANNED),
    Screen("account-one-hotp", "account", given={"app": {"scanned": {"drafts": [HOTP], "refused": []}}}),
    Screen(
        "account-have",
        "account",
        given={**SCANNED, "accounts": {"add": {"added": False, "account": FOREIGN}}},
        then=PRESS,
    ),
    Screen("account-full", "account", given={**SCANNED, "accounts": {"add": refusal("FULL")}}, then=PRESS),
    Screen("account-password", "account", given={**SCANNED, "backup": {"ready": False}}, then=PRESS),
    Screen("account-many", "account", given=EXPORT),
    Screen(
        "account-many-added",
        "account",
        given={**EXPORT, "accounts": {"add": {"added": True, "account": FOREIGN}}},
        then=PRESS,
    ),
    Screen("account-none", "account", given={"app": {"scanned": {"drafts": [], "refused": [REFUSED]}}}),
    Screen("account-shown", "account", params={"id": "a1"}, given={"accounts": THREE}),
    Screen("account-shown-unsealed", "account", params={"id": "a2"}, given={"accounts": THREE}),
    Screen("account-shown-hotp", "account", params={"id": "a3"}, given={"accounts": THREE}),
    Screen(
        "account-remove",
        "account",
        params={"id": "a2"},
        given={"accounts": THREE},
        then="document.querySelector('.button.link.danger').click()",
    ),
    Screen(
        "account-resting", "account", params={"id": "a2"}, given={"accounts": {"list": [], "removed": GONE}}
    ),
    Screen("account-gone", "account", params={"id": "a9"}, given={"accounts": THREE}),
    Screen("backup", "backup", given={"accounts": {"list": [FOREIGN, COUNTED]}}),
    Screen("backup-left", "backup", given={"accounts": THREE}),
    Screen("backup-none", "backup"),
    Screen(
        "backup-first",
        "backup",
        given={"backup": {"ready": False}, "accounts": {"list": [UNSEALED]}},
        then=typed("qwertz1234"),
    ),
    Screen("backup-wrong", "backup", given={"backup": WRONG, "accounts": THREE}, then=PRESS),
    Screen(
        "backup-done",
        "backup",
        given={"backup": {"write": {"text": "{}", "count": 2, "left": 1}}, "accounts": THREE},
        then=PRESS,
    ),
    Screen("restore", "restore"),
    Screen("restore-none", "restore", then=SUBMIT),
    Screen("export", "export"),
    Screen("export-wrong", "export", given={"backup": WRONG}, then=PRESS),
    Screen("export-text", "export", given={"backup": {"plain": URIS}}, then=unlock(0)),
    Screen("export-codes", "export", given={"backup": {"plain": URIS}}, then=unlock(1)),
    Screen("password", "password", then=typed("gravel opera mittens lagoon")),
    Screen("removed", "removed", given={"accounts": {"removed": GONE}}),
    Screen("removed-none", "removed"),
]
