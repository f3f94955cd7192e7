"""Other ways through the story in Chromium: by the keyboard alone, and verified by a passkey."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from authy_grpc.domain import receipts
from authy_grpc.v1.approval_pb2 import ApprovalState, CreateApprovalRequest, GetApprovalRequest
from authy_grpc.v1.enrollment_pb2 import (
    ConfirmEnrollmentRequest,
    CreateEnrollmentRequest,
    GetEnrollmentRequest,
)
from tests.examples.shop import MovingClock
from tests.harness import NUMBER, Service, Site
from tests.web.story.acting import Person, World, world
from tests.web.test_setting_up import sent

pytestmark = [pytest.mark.web, pytest.mark.slow]
# Name and ring of what has the focus.
_FOCUS = """() => {
  const at = document.activeElement, {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(at);
  const said = at.getAttribute('aria-label') ?? at.labels?.[0]?.textContent ?? at.textContent;
  return [said.trim(), (outlineStyle !== 'none' && outlineWidth !== '0px') || boxShadow !== 'none'];
}"""


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def stage(sqlite_url: str, clock: MovingClock, random: Any, tmp_path: Path) -> AsyncIterator[World]:
    # A passkey is of a name, and not of an address.
    async with world(Service.on(sqlite_url, clock, random), tmp_path, "localhost") as running:
        yield running


async def reach(person: Person, name: str) -> None:
    """Tab until something has the focus, and shows it."""
    met = []
    for _ in range(40):
        await person.page.keyboard.press("Tab")
        said, ring = await person.page.evaluate(_FOCUS)
        met.append(said)
        if said == name:
            assert ring, f"{name} shows no focus"
            return
    raise AssertionError(f"{name!r} is not among {met}")


async def go(person: Person, name: str, key: str = "Enter") -> None:
    """Reach a thing, and press it."""
    await reach(person, name)
    await person.page.keyboard.press(key)


async def begun(site: Site, **fields: Any) -> tuple[str, str]:
    """A new enrollment: its id and its link."""
    asked = CreateEnrollmentRequest(custom_user_id="ada", **fields)
    made = await site.client.enrollments.CreateEnrollment(asked)
    return made.enrollment.enrollment_id, made.qr.uri


async def test_by_the_keyboard_alone(stage: World) -> None:
    service = stage.service
    site = await service.site("Books", require_code=True)
    enrollment, link = await begun(site)
    async with stage.person("keyboard", width=1280, height=800) as person:
        keyboard = person.page.keyboard
        await person.page.goto(f"{stage.origin}/app/")
        await person.on("Authenticator")
        await reach(person, "Country")
        await keyboard.type("Germany")
        await reach(person, "Phone number")
        await keyboard.type("0" + NUMBER.removeprefix("+49"))
        await go(person, "Text me a code")
        await person.on("Check your phone")
        await reach(person, "Code")
        await keyboard.type(await sent(service, 0))
        await keyboard.press("Enter")
        await person.on("Name this device")
        await go(person, "Finish")
        await person.on("Ready")
        await go(person, "Finish")
        await person.on("Codes")
        await person.page.evaluate("text => navigator.clipboard.writeText(text)", link)
        await go(person, "Scan")
        await person.on("Scan")
        await go(person, "Paste a link")
        await person.on("Add this site?")
        await person.page.locator("button:not([disabled])", has_text="Yes, I have it open").wait_for()
        await go(person, "Yes, I have it open: add it")
        await person.on("Finish on books.example")
        code = await person.code()
        confirm = ConfirmEnrollmentRequest(enrollment_id=enrollment, code=code)
        enrolled = (await site.client.enrollments.ConfirmEnrollment(confirm)).enrollment
        await person.on("Added")
        await go(person, "Done")
        await person.on("Codes")
        asked = CreateApprovalRequest(authy_id=enrolled.authy_id, message="Log in?", match_digits=6)
        approval = (await site.client.approvals.CreateApproval(asked)).approval
        await person.says("Books asks")
        # What arrives moves no focus.
        assert (await person.page.evaluate(_FOCUS))[0] == "Codes"
        await go(person, "Look at it")
        await person.page.locator(".key:not([disabled])").first.wait_for()
        await keyboard.type(approval.match_number)
        await go(person, "Approve")
        await person.on("Approved")
        await go(person, "Done")
        await person.on("Codes")


async def test_a_passkey_verifies_the_person_or_nothing_is_approved(stage: World) -> None:
    site = await stage.service.site("Books")
    enrollment, link = await begun(site)
    async with stage.person("passkey") as person:
        cdp = await person.context.new_cdp_session(person.page)
        await cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = await cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        await stage.set_up(person)
        await person.on("Ready")
        await person.page.goto(link)
        await person.press("Yes, I have it open: add it")
        await person.on("Added")
        found = await site.client.enrollments.GetEnrollment(GetEnrollmentRequest(enrollment_id=enrollment))
        await person.press("Done")

        async def ask() -> str:
            asked = CreateApprovalRequest(authy_id=found.enrollment.authy_id, message="Pay?")
            asked.require_user_verification = True
            approval = (await site.client.approvals.CreateApproval(asked)).approval
            await person.press("Look at it", "link")
            await person.page.locator(".key:not([disabled])").first.wait_for()
            await person.page.keyboard.type(approval.match_number)
            await person.press("Approve")
            return approval.approval_id

        first = await ask()
        await person.on("Approved")
        approval = (await site.client.approvals.GetApproval(GetApprovalRequest(approval_id=first))).approval
        assert approval.state == ApprovalState.APPROVAL_STATE_APPROVED
        assert receipts.read(approval.receipt).receipt.user_verified is True
        await person.press("Done")
        unverified = {"authenticatorId": made["authenticatorId"], "isUserVerified": False}
        await cdp.send("WebAuthn.setUserVerified", unverified)
        second = await ask()
        await person.says("You were not recognised. Nothing was approved.")
        approval = (await site.client.approvals.GetApproval(GetApprovalRequest(approval_id=second))).approval
        assert approval.state == ApprovalState.APPROVAL_STATE_PENDING


@pytest.mark.proof
async def test_it_is_ready_within_two_seconds_on_a_slow_phone(stage: World) -> None:
    async with stage.person("slow") as person:
        cdp = await person.context.new_cdp_session(person.page)
        await cdp.send("Network.enable")
        slow = {"offline": False, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 200_000}
        await cdp.send("Network.emulateNetworkConditions", slow)
        await cdp.send("Emulation.setCPUThrottlingRate", {"rate": 4})
        await person.page.goto(f"{stage.origin}/app/", wait_until="commit")
        await person.on("Authenticator")
        millis = await person.page.evaluate("performance.now()")
        sizes = await person.page.evaluate(
            "performance.getEntriesByType('resource').reduce((sum, each) => sum + each.encodedBodySize, 0)"
        )
        print(f"ready after {millis / 1000:.2f} s, {sizes / 1000:.1f} kB")
        assert millis <= 2000
        assert sizes <= 150_000
