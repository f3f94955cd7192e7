"""The small site of docs/integrating.md, put together from the guide's own code."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from google.protobuf import descriptor_pool

from authy_grpc import client
from authy_grpc.client import AsyncClient, AuthyError
from authy_grpc.phone import Phone
from authy_grpc.v1.enrollment_pb2 import Enrollment
from authy_grpc.v1.event_pb2 import Event, UserEvent
from authy_grpc.v1.user_pb2 import SiteKey
from tests.examples.shop import SECRET, Browser, MovingClock, posted
from tests.gateway.asking import serving
from tests.harness import Service
from tests.threads import PATIENCE

GUIDE = (Path(__file__).parents[2] / "docs" / "integrating.md").read_text()
SERVICES = {
    "enrollments": "EnrollmentService",
    "users": "UserService",
    "verification": "VerificationService",
    "approvals": "ApprovalService",
    "events": "EventService",
    "webhooks": "WebhookService",
}


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def service(sqlite_url: str, clock: MovingClock, random: Any) -> AsyncIterator[Service]:
    async with Service.on(sqlite_url, clock, random) as running:
        yield running


@asynccontextmanager
async def guided(
    service: Service, monkeypatch: pytest.MonkeyPatch, guide: str = GUIDE
) -> AsyncIterator[tuple[Browser, dict[str, Any]]]:
    """A browser before the guide's site, and the site's names."""
    site = await service.site("Books")
    given = {
        "AUTHY_API_KEY": site.api_key,
        "AUTHY_SERVER": service.target,
        "ORIGIN": site.application.origin,
        "HOOK_SECRET": SECRET,
    }
    for name, value in given.items():
        monkeypatch.setitem(os.environ, name, value)
    names: dict[str, Any] = {}
    code = "\n".join(re.findall(r"```python\n(.*?)```", guide, re.DOTALL))
    assert code.count("timeout=3)") == 1
    exec(code.replace("timeout=3)", f"timeout={PATIENCE})"), names)
    app = names["app"]
    async with (
        app.router.lifespan_context(app),
        serving(app) as port,
        Browser(f"http://127.0.0.1:{port}") as browser,
    ):
        yield browser, names


def take_token(browser: Browser) -> None:
    """Keep the token of a page whose only sender is an element."""
    [token] = re.findall(r'csrf="([^"]+)"', browser.page)
    browser.page = f'name="csrf" value="{token}"'


async def test_the_guides_site_tells_the_whole_story(
    service: Service, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await service.phone()
    async with guided(service, monkeypatch) as (browser, names):
        assert "Switch on" in await browser.go("/second")
        assert browser.path == "/enroll"
        take_token(browser)
        told = await browser.ask("/enrollment")
        assert told == await browser.ask("/enrollment")
        assert b"<svg" in (await browser.http.get(told["image"])).content
        linked = await phone.accept(await phone.open(told["link"]))
        assert await browser.ask("/enrollment/code", code="000000") == {"error": "wrong"}
        end = await browser.ask("/enrollment/code", code=await phone.code(linked))
        assert end == {"state": "completed", "next": "/backup-codes"}
        assert [told async for told in browser.told("/enrollment/events")] == [end]
        await browser.go("/backup-codes")
        await browser.send("/backup-codes")
        [codes] = re.findall(r"<pre>(.*?)</pre>", browser.page, re.DOTALL)
        assert len(codes.split()) == 10

        page = await browser.go("/second")
        assert "<authy-approval" in page and "Text me" in page
        asked = await browser.ask("/approval")
        assert await browser.ask("/approval") == asked
        await phone.approve(await phone.question(), asked["number"])
        heard = [told async for told in browser.told(asked["events"])]
        assert heard[-1] == {"state": "approved", "next": "/approved"}
        assert "You are in." in await browser.go("/approved")

        await browser.go("/second")
        await browser.send("/code", code="000000")
        assert "Tries left: " in browser.page
        for typed in (codes.split()[0], None):
            await browser.go("/second")
            if typed is None:
                await browser.send("/text")
                typed = await service.text_code()
            await browser.send("/code", code=typed)
            assert "You are in." in browser.page

        [user] = names["USERS"].values()
        event = Event(
            event_id="evt_1",
            type="user.device_added",
            user=UserEvent(authy_id=user["authy_id"], key=SiteKey(kid="one-more")),
        )
        body, headers = posted(event, clock())
        for _ in range(2):
            assert (await browser.http.post("/hook", content=body, headers=headers)).status_code == 204
        assert list(user["keys"])[1:] == ["one-more"]
        # What comes late takes nothing back.
        names["keep"](Enrollment(custom_user_id=user["id"], authy_id=user["authy_id"]))
        assert list(user["keys"])[1:] == ["one-more"]
        assert (await browser.http.post("/hook", content=body)).status_code == 400


async def enroll(browser: Browser, phone: Phone) -> None:
    """Switch on, by the code that the page asks for first."""
    await browser.go("/enroll")
    take_token(browser)
    linked = await phone.accept(await phone.open((await browser.ask("/enrollment"))["link"]))
    await browser.ask("/enrollment/code", code=await phone.code(linked))


async def test_a_password_alone_neither_shows_backup_codes_nor_switches_off(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await service.phone()
    async with guided(service, monkeypatch) as (browser, names):
        await enroll(browser, phone)
        assert "Show my backup codes" in await browser.go("/backup-codes")
        with monkeypatch.context() as later:
            later.setitem(names, "shown", lambda request: False)  # Five minutes later.
            for path in ("/backup-codes", "/off"):
                await browser.go("/second")
                await browser.send(path)
                assert (browser.path, "<authy-approval" in browser.page) == ("/second", True)
        [user] = names["USERS"].values()
        assert user["authy_id"]
        await browser.go("/off")
        await browser.send("/off")
        assert (user["authy_id"], user["keys"]) == ("", {})
        await browser.go("/enroll")
        take_token(browser)
        assert (await browser.ask("/enrollment"))["state"] == "pending"


async def test_each_attempt_asks_anew_and_a_no_says_why(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await service.phone()
    async with guided(service, monkeypatch) as (browser, _):
        await browser.go("/enroll")
        take_token(browser)
        linked = await phone.accept(await phone.open((await browser.ask("/enrollment"))["link"]))
        first = await phone.code(linked)
        await browser.ask("/enrollment/code", code=first)
        await browser.go("/second")
        await browser.send("/code", code=first)
        assert "was used before" in browser.page and "Tries left" not in browser.page
        assert "on its way" not in await browser.go("/second")
        asked = await browser.ask("/approval")
        assert "on its way" in await browser.send("/text")
        await browser.send("/code", code=await service.text_code())
        assert "You are in." in browser.page and "books" in browser.http.cookies
        # What was asked for that attempt opens nothing later.
        await phone.approve(await phone.question(), asked["number"])
        await browser.send("/out")
        assert "You are out." in browser.page and "Log out" not in browser.page
        assert "You are out." in await browser.go("/approved")
        await browser.go("/second")
        assert (await browser.ask("/approval"))["state"] == "pending"


async def test_a_question_that_was_not_asked_is_not_kept(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*_: object) -> None:
        raise client.ReceiptError("not what was asked")

    phone = await service.phone()
    async with guided(service, monkeypatch) as (browser, names):
        await enroll(browser, phone)
        with monkeypatch.context() as forged:
            forged.setitem(names, "check_asked", other)
            for _ in range(2):  # A reload does not take what the first has refused.
                assert await browser.ask("/approval") == {"error": "unavailable"}
        assert (await browser.ask("/approval"))["state"] == "pending"


async def test_an_event_counts_once_it_is_dealt_with(
    service: Service, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await service.phone()
    async with guided(service, monkeypatch) as (browser, names):
        stranger = Enrollment(enrollment_id="enr_1", custom_user_id="of-before-a-restart", authy_id="a")
        event = Event(event_id="evt_1", type="enrollment.completed", enrollment=stranger)
        body, headers = posted(event, clock())
        assert (await browser.http.post("/hook", content=body, headers=headers)).status_code == 204
        await enroll(browser, phone)
        [user] = names["USERS"].values()
        known = UserEvent(authy_id=user["authy_id"], key=SiteKey(kid="one-more"))
        event = Event(event_id="evt_2", type="user.device_added", user=known)

        def breaks(*_: object) -> None:
            raise EOFError

        with monkeypatch.context() as broken:
            broken.setitem(names, "learn", breaks)
            with pytest.raises(EOFError):
                names["once"](event)
        assert "one-more" not in user["keys"]
        names["once"](event)
        assert "one-more" in user["keys"]


async def test_the_feed_tells_what_the_webhook_does(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await service.phone()
    async with guided(service, monkeypatch) as (browser, names):
        await enroll(browser, phone)
        [user] = names["USERS"].values()
        [linked] = await phone.sites()
        await phone.remove_site(linked)
        # Nobody has told the site yet: nobody comes in, and what is switched off is so already.
        assert "cannot be checked now" in await browser.go("/second")
        once = names["once"]

        def until_deleted(event: Event) -> None:
            once(event)
            if event.type == "user.deleted":
                raise EOFError

        monkeypatch.setitem(names, "once", until_deleted)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(EOFError):
                await names["follow"](names["app"].state.site)
        assert not user["authy_id"]
        assert "<authy-enroll" in await browser.go("/second")


async def test_what_was_removed_on_the_phone_can_be_switched_off(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await service.phone()
    async with guided(service, monkeypatch) as (browser, names):
        await enroll(browser, phone)
        await browser.go("/off")
        [linked] = await phone.sites()
        await phone.remove_site(linked)
        await browser.send("/off")
        [user] = names["USERS"].values()
        assert (browser.path, user["authy_id"], user["keys"]) == ("/", "", {})


async def test_the_guides_site_serves_generic_totp_by_the_one_line_that_it_names(
    service: Service, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    [line] = re.findall(r"`(method=\S+)`", GUIDE)
    guide = GUIDE.replace("require_code=True,", f"{line},")
    assert guide != GUIDE
    async with guided(service, monkeypatch, guide) as (browser, _):
        await browser.go("/enroll")
        take_token(browser)
        told = await browser.ask("/enrollment")
        assert told["state"] == "awaiting_code"
        [secret] = parse_qs(urlsplit(told["link"]).query)["secret"]
        app = pyotp.TOTP(secret)
        end = await browser.ask("/enrollment/code", code=app.at(clock()))
        assert end == {"state": "completed", "next": "/backup-codes"}
        page = await browser.go("/second")
        assert "Code <input" in page and "<authy-approval" not in page and "Text me" not in page
        clock.now += timedelta(seconds=30)
        await browser.send("/code", code=app.at(clock()))
        assert "You are in." in browser.page


async def test_a_receipt_that_does_not_verify_lets_nobody_in(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await service.phone()
    async with guided(service, monkeypatch) as (browser, names):
        await enroll(browser, phone)
        [user] = names["USERS"].values()
        user["keys"].clear()
        asked = await browser.ask("/approval")
        await phone.approve(await phone.question(), asked["number"])
        assert [told async for told in browser.told(asked["events"])][-1] == {"state": "failed"}
        assert "You are out." in await browser.go("/approved")


async def test_what_the_service_refuses_is_told_in_words_and_never_a_fault(
    service: Service, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await service.phone()
    async with guided(service, monkeypatch) as (browser, _):
        await enroll(browser, phone)
        element = {"accept": "application/json", "x-csrf-token": browser.token}

        async def asked(path: str, **body: Any) -> tuple[int, Any, bool]:
            answer = await browser.http.post(path, json=body, headers=element)
            return answer.status_code, answer.json(), "retry-after" in answer.headers

        await browser.ask("/approval")
        await phone.report_fraud(await phone.question())
        assert await asked("/approval", again=True) == (200, {"error": "push_frozen"}, False)
        page = await browser.go("/second")
        assert 'text-push-frozen="Too many questions had no answer' in page
        await browser.send("/code", code="")
        assert "That cannot be a code." in browser.page
        await browser.go("/second")
        for _ in range(20):
            sent = await browser.http.post("/text", data={"csrf": browser.token})
            if sent.status_code != 200:
                break
        assert sent.status_code == 429 and int(sent.headers["retry-after"]) > 0
        assert "Too many tries: wait a while." in sent.text
        for _ in range(30):
            wrong = await browser.http.post("/code", data={"csrf": browser.token, "code": "000000"})
            if wrong.status_code != 200:
                break
        assert wrong.status_code == 429 and int(wrong.headers["retry-after"]) > 0
        assert "Too many wrong codes: wait a while, or use a backup code." in wrong.text
    nobody = AsyncClient("127.0.0.1:1", "ak_" + "a" * 52, timeout=0.2)
    async with guided(service, monkeypatch) as (browser, names), nobody as away:
        names["app"].state.site = away
        await browser.go("/enroll")
        take_token(browser)
        element["x-csrf-token"] = browser.token
        answer = await browser.http.post("/enrollment", json={}, headers=element)
        assert (answer.status_code, answer.json()) == (503, {"error": "unavailable"})


def test_every_call_and_every_name_of_the_client_stands_in_the_guide() -> None:
    table = GUIDE[GUIDE.index("## The client, in one table") :]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    for attribute, service in SERVICES.items():
        found = descriptor_pool.Default().FindServiceByName(f"authy_grpc.v1.{service}")
        named = " ".join(row for row in rows if row.startswith(f"| `{attribute}`"))
        assert [method.name for method in found.methods if f"`{method.name}`" not in named] == []
    errors = {name for name in client.__all__ if issubclass_of(getattr(client, name), AuthyError)}
    assert {"UserLocked", "AuthyError"} <= errors
    names = set(client.__all__) - errors - {"Client", "AsyncClient", "EventAt"}
    names |= {name for name in dir(AsyncClient) if not name.startswith("_")}
    assert {name for name in names if f"`{name}`" not in "".join(rows)} == set()


def issubclass_of(found: Any, kind: type) -> bool:
    return isinstance(found, type) and issubclass(found, kind)
