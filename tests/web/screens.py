"""Lists every screen of the web authenticator in each of its states: a new one is a line here."""

from typing import Any

from tests.web.staging import Screen

FAR = 4102444800000
NUMBER = {"verificationId": "ver_1", "phoneNumber": "+33612345678", "expireTime": "2026-11-30T13:42:00Z"}
REGISTERING = {"state": "registering", "registration": {**NUMBER, "retryTime": 0}}
OTHERS = {"otherDevices": 2, "accountCreateTime": "2026-03-03T12:00:00Z", "phoneNumber": "+33612345678"}
HELD = {"device": {"state": "held", "check": "418207"}, "cannot": ["codes"]}
WAITS = {"deviceId": "dev_1", "current": True, "releaseTime": "2026-12-01T13:32:00Z"}
DEVICES = [
    {
        "deviceId": "dev_1",
        "name": "Home Screen app, iPhone",
        "platform": "DEVICE_PLATFORM_WEB",
        "state": "DEVICE_STATE_ACTIVE",
        "createTime": "2026-03-03T12:00:00Z",
        "lastSeenTime": "2026-11-30T13:00:00Z",
        "current": True,
    },
    {
        "deviceId": "dev_2",
        "name": "Firefox, Windows",
        "platform": "DEVICE_PLATFORM_WEB",
        "state": "DEVICE_STATE_ACTIVE",
        "createTime": "2026-05-04T12:00:00Z",
        "lastSeenTime": "2026-11-27T13:00:00Z",
    },
    {
        "deviceId": "dev_3",
        "name": "Old tablet",
        "platform": "DEVICE_PLATFORM_ANDROID",
        "state": "DEVICE_STATE_REVOKED",
        "createTime": "2025-05-04T12:00:00Z",
        "lastSeenTime": "2026-11-02T13:00:00Z",
    },
]
WANTS_IN = {
    "deviceId": "dev_4",
    "name": "Pixel 9",
    "platform": "DEVICE_PLATFORM_ANDROID",
    "state": "DEVICE_STATE_HELD",
    "createTime": "2026-11-30T13:20:00Z",
    "releaseTime": "2026-12-07T13:20:00Z",
}
RELEASED = {
    **WANTS_IN,
    "state": "DEVICE_STATE_ACTIVE",
    "createTime": "2026-11-28T13:20:00Z",
    "limitedUntil": "2026-12-06T13:20:00Z",
}
ACCOUNT = {"phoneNumber": "+33612345678", "newDevicePolicy": "NEW_DEVICE_POLICY_HOLD"}
LIMITED = {"limitedUntil": 1796562000000}
ALARM = {"listDevices": [*DEVICES, WANTS_IN], "getAccount": ACCOUNT}
TYPED = "for (const key of '418207') document.querySelector('digit-pad').type(key)"
LET_IN = (
    f"{TYPED}; document.querySelector('.key.go').click(); await new Promise(done => setTimeout(done, 50))"
)
REFUSE = "document.querySelector('.button.danger').click(); await new Promise(done => setTimeout(done, 50))"
HAPPENED = [
    {
        "type": "approval.approved",
        "siteName": "Northwind Books",
        "deviceName": "Home Screen app, iPhone",
        "time": "2026-11-30T13:20:00Z",
    },
    {"type": "code.accepted", "siteName": "City Library", "deviceName": "", "time": "2026-11-30T12:02:00Z"},
    {"type": "device.added", "siteName": "", "deviceName": "Pixel 9", "time": "2026-11-30T08:20:00Z"},
    {"type": "device.refused", "siteName": "", "deviceName": "Pixel 9", "time": "2026-11-29T13:20:00Z"},
    {"type": "site.added", "siteName": "City Library", "deviceName": "", "time": "2026-11-29T12:20:00Z"},
    {"type": "approval.denied", "siteName": "", "deviceName": "", "time": "2026-11-03T13:20:00Z"},
    {"type": "what.comes_later", "siteName": "", "deviceName": "", "time": "2026-11-03T12:20:00Z"},
]
ELSEWHERE = [
    {"id": "a", "type": "totp", "issuer": "GitHub", "account": "octo", "label": ""},
    {"id": "b", "type": "totp", "issuer": "Mail", "account": "ada@mail.example", "label": "work"},
]
KEPT = {
    "list": ELSEWHERE,
    "code": {"code": "731204", "next": "120934", "secondsLeft": 18, "period": 30},
}
PAUSE = "await new Promise(done => setTimeout(done, 50))"
MEASURED = (
    "document.querySelector('details').open = true;"
    " while (!document.querySelector('.hash')) await new Promise(done => setTimeout(done, 20))"
)
SUBMIT = "document.querySelector('form').requestSubmit(); await new Promise(done => setTimeout(done, 50))"
CALL = "document.querySelectorAll('.button.link')[1].click(); await new Promise(r => setTimeout(r, 50))"
SEND = f"document.querySelector('input').value = '0612345678'; {SUBMIT}"

SHOP: dict[str, Any] = {
    "siteId": "sit_1",
    "name": "Northwind Books",
    "logoId": "",
    "codeDigits": 6,
    "codePeriodSeconds": 30,
}
SHOP |= {
    "createTime": "2026-03-03T12:00:00Z",
    "lastUseTime": "2026-11-29T12:00:00Z",
    "hasKey": True,
    "label": "my shop",
}
SHOP |= {"awaitingCode": False, "origin": "https://books.example"}
LIBRARY: dict[str, Any] = {
    **SHOP,
    "siteId": "sit_2",
    "name": "City Library",
    "label": "",
    "origin": "https://library.example",
}
KEYLESS: dict[str, Any] = {
    **SHOP,
    "siteId": "sit_3",
    "name": "\u05d1\u05e0\u05e7 <b>x</b>",
    "hasKey": False,
    "origin": "https://bank.example",
}
AWAITS: dict[str, Any] = {**LIBRARY, "siteId": "sit_4", "awaitingCode": True}
SITES = [SHOP, LIBRARY, KEYLESS]
FOREIGN: dict[str, Any] = {
    "id": "f1",
    "type": "totp",
    "issuer": "GitHub",
    "account": "octo",
    "label": "",
    "digits": 6,
    "period": 30,
}
COUNTED: dict[str, Any] = {
    **FOREIGN,
    "id": "f2",
    "type": "hotp",
    "issuer": "Old VPN",
    "counter": 7,
    "period": 0,
}
ACCOUNTS: dict[str, Any] = {
    "list": [FOREIGN, COUNTED],
    "code": {"code": "731204", "next": "009347", "secondsLeft": 18, "period": 30},
}
ASKED: dict[str, Any] = {
    "approvalId": "apr_1",
    "site": "Northwind Books",
    "origin": "https://books.example",
    "message": "Log in?",
}
ASKED |= {
    "details": [["Browser", "Firefox, Windows"], ["Place", "Lyon, France"]],
    "matchDigits": 6,
    "siteId": "sit_1",
}
ASKED |= {"userVerification": False, "created": 1796045500, "expires": 1796045592}
ENDED: dict[str, Any] = {
    "site": "books.example",
    "name": "Northwind Books",
    "time": 1796045520000,
    "expires": 1796045592000,
}
OFFER: dict[str, Any] = {
    "siteName": "Northwind Books",
    "logoId": "",
    "origin": "https://books.example",
    "requiresCode": True,
}
OFFER |= {"createTime": "2026-11-30T13:31:40Z", "expireTime": "2026-11-30T13:41:40Z"}
YES = (
    "await new Promise(r => setTimeout(r, 1100)); document.querySelector('.button.main').click(); "
    "await new Promise(r => setTimeout(r, 100))"
)


def refusal(reason: str, **more: Any) -> dict[str, Any]:
    """An error as the service's client throws it in the page."""
    return {"error": {"reason": reason, **more}}


def answered(call: str, reason: str, **more: Any) -> dict[str, Any]:
    """A service that refuses a call."""
    return {"api": {call: refusal(reason, **more)}}


SCREENS = [
    Screen("start", "start"),
    Screen("start-empty", "start", then="document.querySelector('form').requestSubmit()"),
    Screen(
        "start-limited",
        "start",
        given=answered("startPhoneVerification", "RATE_LIMITED", retryDelay=90),
        then=SEND,
    ),
    Screen("start-update", "start", given={"store": {"update": True, "safari": True}}),
    Screen("start-trouble", "start", given={"store": {"trouble": True, "retryTime": FAR}}),
    Screen("start-offline", "start", given={"store": {"online": False}}),
    Screen("start-proof", "start", given=answered("startPhoneVerification", "REGISTRATION_PROOF"), then=SEND),
    Screen("start-no-storage", "start", given={"vault": {"probe": refusal("KEYS_REFUSED")}}, then=SEND),
    Screen("code", "code", given={"device": REGISTERING}),
    Screen("code-soon", "code", given={"device": {"registration": {**NUMBER, "retryTime": FAR}}}),
    Screen("code-rejected", "code", given={"device": REGISTERING, "store": {"rejected": True}}),
    Screen(
        "code-no-calls",
        "code",
        given={"device": REGISTERING, **answered("startPhoneVerification", "UNIMPLEMENTED")},
        then=CALL,
    ),
    Screen("name", "name", given={"device": REGISTERING, "store": {"code": "520756"}}),
    Screen(
        "name-devices-off",
        "name",
        given={
            "device": REGISTERING,
            "store": {"code": "520756"},
            **answered("registerDevice", "NEW_DEVICES_OFF"),
        },
        then=SUBMIT,
    ),
    Screen("whose", "whose", given={"store": {"registered": OTHERS}}),
    Screen(
        "whose-not-mine",
        "whose",
        given={"store": {"registered": OTHERS}},
        then="document.querySelectorAll('.button')[1].click()",
    ),
    Screen("waiting", "waiting", given={**HELD, "api": {"listDevices": [WAITS]}}),
    Screen("waiting-give-up", "waiting", given=HELD, then="document.querySelectorAll('summary')[1].click()"),
    Screen("ready", "ready"),
    Screen(
        "ready-token",
        "ready",
        given={"app": {"standalone": True}, "token": {"held": "AAAAAAAAAAAAAAAAAAAAAA"}},
    ),
    Screen("handover-iphone", "handover", given={"app": {"ios": True}, "cannot": ["codes"]}),
    Screen(
        "handover-iphone-no-token",
        "handover",
        given={"app": {"ios": True}, "token": {"current": ""}, "cannot": ["codes"]},
    ),
    Screen("handover-elsewhere", "handover", given={"cannot": ["codes"]}),
    Screen(
        "handover-elsewhere-yes",
        "handover",
        given={"cannot": ["codes"]},
        then="document.querySelectorAll('.button')[1].click()",
    ),
    Screen("handover-embedded", "handover", given={"app": {"embedded": True}, "cannot": ["codes"]}),
    Screen("codes", "codes", given={"api": {"listSites": SITES}, "accounts": ACCOUNTS}),
    Screen("codes-empty", "codes", given={"api": {"listSites": []}}),
    Screen(
        "codes-asked",
        "codes",
        given={
            "api": {"listSites": [AWAITS, SHOP]},
            "store": {"questions": [ASKED], "waiting": True, "clockOffset": 120000},
        },
    ),
    Screen(
        "codes-not-found",
        "codes",
        given={"api": {"listSites": SITES}, "accounts": ACCOUNTS},
        then="const s = document.querySelector('[type=search]'); s.value = 'xyz'; "
        "s.dispatchEvent(new Event('input'))",
    ),
    Screen("codes-offline", "codes", given={"api": {"listSites": SITES}, "store": {"online": False}}),
    Screen("scan", "scan"),
    Screen(
        "scan-no-camera",
        "scan",
        then="document.querySelector('.button.main').click(); await new Promise(r => setTimeout(r, 300))",
    ),
    Screen(
        "scan-pasted",
        "scan",
        then="document.querySelectorAll('.actions .button')[1].click(); "
        "await new Promise(r => setTimeout(r, 50)); document.querySelector('form .input').value = 'hello'; "
        "document.querySelector('form').requestSubmit()",
    ),
    Screen(
        "scan-refused",
        "scan",
        then="document.querySelector('form').hidden = false; document.querySelector('form .input').value = "
        "'otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&period=5'; document.querySelector('form').requestSubmit()",
    ),
    Screen("accept", "accept", given={"api": {"openEnrollment": OFFER, "listSites": []}}),
    Screen("accept-loading", "accept"),
    Screen("accept-again", "accept", given={"api": {"openEnrollment": OFFER, "listSites": SITES}}),
    Screen("accept-gone", "accept", given=answered("openEnrollment", "NOT_FOUND")),
    Screen("accept-unreachable", "accept", given=answered("openEnrollment", "UNREACHABLE")),
    Screen("accept-none", "accept", given={"token": {"current": ""}}),
    Screen(
        "accept-first-code",
        "accept",
        given={"api": {"openEnrollment": OFFER, "listSites": [], "acceptEnrollment": AWAITS}},
        then=YES,
    ),
    Screen(
        "accept-added",
        "accept",
        given={"api": {"openEnrollment": OFFER, "listSites": [], "acceptEnrollment": SHOP}},
        then=YES,
    ),
    Screen(
        "accept-sent-to-me",
        "accept",
        given={"api": {"openEnrollment": OFFER, "listSites": [], "rejectEnrollment": {}}},
        then="document.querySelector('.button.link').click(); await new Promise(r => setTimeout(r, 100))",
    ),
    Screen("site", "site", params={"id": "sit_1"}, given={"api": {"listSites": SITES}}),
    Screen("site-no-key", "site", params={"id": "sit_3"}, given={"api": {"listSites": SITES}}),
    Screen(
        "site-remove",
        "site",
        params={"id": "sit_1"},
        given={"api": {"listSites": SITES}},
        then="[...document.querySelectorAll('.button.danger')][0].click()",
    ),
    Screen(
        "ask",
        "ask",
        params={"id": "apr_1"},
        given={"api": {"listSites": SITES}, "store": {"questions": [ASKED]}},
    ),
    Screen(
        "ask-no-number",
        "ask",
        params={"id": "apr_1"},
        given={
            "api": {"listSites": SITES},
            "store": {"questions": [{**ASKED, "matchDigits": 0, "details": [], "userVerification": True}]},
        },
    ),
    Screen(
        "ask-wrong",
        "ask",
        params={"id": "apr_1"},
        given={
            "api": {
                "listSites": SITES,
                "respondApproval": {"state": "APPROVAL_STATE_PENDING", "attemptsRemaining": 2},
            },
            "store": {"questions": [ASKED]},
        },
        then="await new Promise(r => setTimeout(r, 600)); const pad = document.querySelector('digit-pad'); "
        "for (const each of '419207') pad.type(each); pad.querySelector('.go').click(); "
        "await new Promise(r => setTimeout(r, 100)); for (const each of '419') pad.type(each)",
    ),
    Screen(
        "ask-not-me",
        "ask",
        params={"id": "apr_1"},
        given={"api": {"listSites": SITES}, "store": {"questions": [ASKED]}},
        then="document.querySelector('.button.danger').click()",
    ),
    Screen("ask-loading", "ask", params={"id": "apr_1"}, given={"store": {"heard": False}}),
    Screen("ask-over", "ask", params={"id": "apr_2"}, given={"api": {"listSites": SITES}}),
    Screen(
        "ask-unreadable",
        "ask",
        params={"id": "apr_3"},
        given={"api": {"listSites": SITES}, "store": {"refused": ["apr_3"]}},
    ),
    *(
        Screen(
            f"result-{kind}",
            "result",
            params={"id": "apr_1"},
            given={"store": {"results": {"apr_1": {**ENDED, "kind": kind}}}},
        )
        for kind in ("approved", "denied", "reported", "closed", "expired", "canceled", "elsewhere", "unsure")
    ),
    Screen("result-unknown", "result", params={"id": "apr_2"}),
    Screen("devices", "devices", given={"api": {"listDevices": DEVICES, "getAccount": ACCOUNT}}),
    Screen("devices-alarm", "devices", given={"api": ALARM, "store": {"waiting": True}}),
    Screen(
        "devices-let-in-by-time",
        "devices",
        given={"api": {"listDevices": [*DEVICES, RELEASED], "getAccount": ACCOUNT}},
    ),
    Screen(
        "devices-limited",
        "devices",
        given={
            "device": LIMITED,
            "api": {
                "listDevices": DEVICES,
                "getAccount": ACCOUNT,
                "updateAccount": refusal("DEVICE_HELD"),
            },
        },
        then="document.querySelectorAll('.choice')[1].click(); await new Promise(r => setTimeout(r, 50))",
    ),
    Screen("devices-loading", "devices"),
    Screen(
        "devices-offline",
        "devices",
        given={
            "store": {"online": False},
            "api": {"listDevices": refusal("UNREACHABLE"), "getAccount": refusal("UNREACHABLE")},
        },
    ),
    Screen("device-alarm", "device", {"id": "dev_4"}, given={"api": ALARM}, title="A device wants in"),
    Screen("device-alarm-typed", "device", {"id": "dev_4"}, given={"api": ALARM}, then=TYPED),
    Screen(
        "device-alarm-wrong",
        "device",
        {"id": "dev_4"},
        given={"api": {**ALARM, "approveDevice": refusal("CODE_REJECTED")}},
        then=LET_IN,
    ),
    Screen(
        "device-alarm-let-in",
        "device",
        {"id": "dev_4"},
        given={"api": {**ALARM, "approveDevice": WANTS_IN}},
        then=LET_IN,
        title="Let in",
    ),
    Screen(
        "device-alarm-refused",
        "device",
        {"id": "dev_4"},
        given={"api": {**ALARM, "revokeDevice": None}},
        then=REFUSE,
        title="Refused",
    ),
    Screen(
        "device-alarm-limited",
        "device",
        {"id": "dev_4"},
        given={"device": LIMITED, "api": {**ALARM, "revokeDevice": refusal("DEVICE_HELD")}},
        then=REFUSE,
    ),
    Screen("device", "device", {"id": "dev_2"}, given={"api": ALARM}),
    Screen(
        "device-remove",
        "device",
        {"id": "dev_2"},
        given={"api": ALARM},
        then="document.querySelector('.button.danger').click()",
    ),
    Screen("device-this", "device", {"id": "dev_1"}, given={"api": ALARM}),
    Screen(
        "device-let-in-by-time",
        "device",
        {"id": "dev_4"},
        given={"api": {"listDevices": [*DEVICES, RELEASED]}},
    ),
    Screen("device-removed", "device", {"id": "dev_3"}, given={"api": ALARM}),
    Screen("device-none", "device", {"id": "dev_9"}, given={"api": ALARM}),
    Screen(
        "device-offline",
        "device",
        {"id": "dev_4"},
        given={"api": {"listDevices": refusal("UNREACHABLE")}},
    ),
    Screen(
        "activity",
        "activity",
        given={"api": {"listActivity": {"activities": HAPPENED, "nextPageToken": "more"}}},
    ),
    Screen(
        "activity-empty",
        "activity",
        given={"api": {"listActivity": {"activities": [], "nextPageToken": ""}}},
    ),
    Screen("activity-loading", "activity"),
    Screen(
        "activity-offline",
        "activity",
        given={"store": {"online": False}, "api": {"listActivity": refusal("UNREACHABLE")}},
    ),
    Screen("settings", "settings", given={"api": {"getAccount": ACCOUNT}, "accounts": KEPT}),
    Screen(
        "settings-offline",
        "settings",
        given={"store": {"online": False}, "api": {"getAccount": refusal("UNREACHABLE")}},
    ),
    Screen(
        "settings-limited",
        "settings",
        given={
            "device": LIMITED,
            "api": {"getAccount": ACCOUNT, "updateAccount": refusal("DEVICE_HELD")},
        },
        then=f"{PAUSE}; document.querySelector('.switch').click(); {PAUSE}",
    ),
    Screen("settings-version", "settings", given={"api": {"getAccount": ACCOUNT}}, then=MEASURED),
    Screen(
        "settings-erase",
        "settings",
        given={"api": {"getAccount": ACCOUNT}, "accounts": KEPT},
        then="document.querySelector('button.row.danger').click()",
    ),
    Screen(
        "settings-erase-alone",
        "settings",
        given={"api": {"getAccount": ACCOUNT, "revokeDevice": refusal("UNREACHABLE")}},
        then=(
            "document.querySelector('button.row.danger').click();"
            f" document.querySelectorAll('.confirm .button.danger')[0].click(); {PAUSE}"
        ),
    ),
    Screen(
        "settings-delete",
        "settings",
        given={"api": {"getAccount": ACCOUNT}},
        then=(
            f"{PAUSE}; document.querySelectorAll('button.row.danger')[1].click();"
            f" document.querySelectorAll('.confirm .button.danger')[1].click(); {PAUSE}"
        ),
    ),
    Screen(
        "lost-keys",
        "lost",
        given={"device": {"state": "lost"}, "cannot": ["codes"], "accounts": KEPT},
        title="This browser lost its keys",
    ),
    Screen(
        "lost-keys-alone", "lost", given={"device": {"state": "lost", "seenTime": 0}, "cannot": ["codes"]}
    ),
    Screen(
        "lost-removed",
        "lost",
        given={"device": {"state": "removed"}, "cannot": ["codes"]},
        title="This device was removed",
    ),
]
