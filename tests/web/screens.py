"""Lists every screen of the web authenticator in each of its states: a new one is a line here."""

from tests.web.staging import Screen

SCREENS = [
    Screen("start", "start"),
    Screen("start-empty", "start", then="document.querySelector('form').requestSubmit()"),
    Screen(
        "start-limited",
        "start",
        given={"api": {"startPhoneVerification": {"error": {"reason": "RATE_LIMITED", "retryDelay": 90}}}},
        then="document.querySelector('input').value = '0612345678';"
        "document.querySelector('form').requestSubmit();"
        "await new Promise(done => setTimeout(done, 50))",
    ),
    Screen("start-offline", "start", given={"store": {"online": False}}),
]
