"""Lists every screen of the web authenticator in each of its states: a new one is a line here."""

from typing import Any

from tests.web.staging import Screen

FAR = 4102444800000
NUMBER = {"verificationId": "ver_1", "phoneNumber": "+33612345678", "expireTime": "2026-11-30T13:42:00Z"}
REGISTERING = {"state": "registering", "registration": {**NUMBER, "retryTime": 0}}
OTHERS = {"otherDevices": 2, "accountCreateTime": "2026-03-03T12:00:00Z", "phoneNumber": "+33612345678"}
HELD = {"device": {"state": "held", "check": "418207"}, "cannot": ["codes"]}
WAITS = {"deviceId": "dev_1", "current": True, "releaseTime": "2026-12-01T13:32:00Z"}
SUBMIT = "document.querySelector('form').requestSubmit(); await new Promise(done => setTimeout(done, 50))"
CALL = "document.querySelectorAll('.button.link')[1].click(); await new Promise(r => setTimeout(r, 50))"
SEND = f"document.querySelector('input').value = '0612345678'; {SUBMIT}"


def refusal(reason: str, **more: Any) -> dict[str, Any]:
    """What is thrown in the page."""
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
]
