"""The two elements of a site in a real Chromium: each state, under the strict policy of another site."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from authy_grpc.client.browser import path
from tests.gateway.test_browser import window
from tests.web.embedding import ASKED, CSRF, LINK, PENDING, embedding
from tests.web.staging import until

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
ENROLLED = {
    "completed": "Switched on.",
    "rejected": "Refused on the phone.",
    "expired": "Time ran out.",
    "canceled": "Called off.",
}
ANSWERED = {
    "approved": "Approved.",
    "denied": "Refused on the phone.",
    "fraud": "Reported. Change your password.",
    "wrong_number": "The number typed was wrong too often.",
    "expired": "Time ran out.",
    "canceled": "Called off.",
    "failed": "This did not work.",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator["Browser"]:
    async with window() as opened:
        assert opened.browser is not None
        yield opened.browser


@pytest_asyncio.fixture(loop_scope="module")
async def browser(chromium: "Browser") -> AsyncIterator["BrowserContext"]:
    opened = await chromium.new_context()
    yield opened
    await opened.close()


@asynccontextmanager
async def shown(
    browser: "BrowserContext", address: str, complaints: int = 0, **more: Any
) -> AsyncIterator["Page"]:
    """A page, which leaves no more in the console than expected: a violation of the policy would be there."""
    page, said = await browser.new_page(), list[str]()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.goto(address)
    yield page
    await page.close()
    assert len(said) == complaints, said


def status(page: "Page") -> "Locator":
    """Where the state is said, for those who see and those who hear."""
    return page.get_by_role("status")


async def says(page: "Page", words: str) -> None:
    """Wait until the element says this."""
    await status(page).filter(has_text=words).wait_for()


@pytest.mark.web
async def test_a_policy_of_the_site_holds(browser: "BrowserContext") -> None:
    """The control: what the elements must not do is seen where it is done."""
    attack = "document.body.innerHTML = '<i style=\"color: red\">x</i>'"
    async with embedding() as site, shown(browser, site.page(), complaints=1) as page:
        await says(page, "Scan this code")
        assert "TrustedHTML" in await page.evaluate(
            f"(() => {{ try {{ {attack} }} catch (e) {{ return '' + e }} }})()"
        )


async def test_an_enrollment_from_the_code_to_its_end(browser: "BrowserContext") -> None:
    # The browser itself logs an answer of 500.
    async with embedding() as site, shown(browser, site.page(), complaints=1) as page:
        await says(page, "Scan this code with your authenticator.")
        image = page.get_by_role("img", name="QR code. If you cannot scan it, use the link below.")
        assert await image.evaluate("image => image.complete && image.naturalWidth > 0")
        link = page.get_by_role("link", name="I am on my phone: open the authenticator")
        assert await link.get_attribute("href") == LINK
        await page.get_by_text("On iPhone: open your authenticator and tap Scan.").wait_for()
        await browser.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.get_by_role("button", name="Copy link").click()
        await says(page, "Link copied.")
        assert await page.evaluate("navigator.clipboard.readText()") == LINK

        site.tell("scanned")
        await says(page, "Seen. Go on on your phone.")
        assert await image.count() == await link.count() == 0
        # Who was at a button that has gone keeps a place.
        assert await page.evaluate("document.activeElement.localName") == "authy-enroll"
        site.tell("awaiting_code")
        await says(page, "Type the code that your authenticator shows.")

        site.answers["POST /code"] = [
            {"error": "wrong", "left": 4},
            {"error": "locked"},
            500,
            {"state": "completed"},
        ]
        field = page.get_by_role("textbox", name="Code")
        await page.keyboard.type("111111")
        await page.keyboard.press("Enter")
        await page.get_by_role("alert").filter(has_text="That is not the code. Tries left: 4").wait_for()
        assert await field.get_attribute("aria-invalid") == "true"
        assert await field.get_attribute("autocomplete") == "one-time-code"
        # What was wrong is marked: the next code takes its place.
        await page.keyboard.type("222222")
        await page.keyboard.press("Enter")
        await page.get_by_role("alert").filter(has_text="Too many wrong codes.").wait_for()
        await page.get_by_role("button", name="Confirm").click()
        await page.get_by_role("alert").filter(has_text="This did not work.").wait_for()
        await page.get_by_role("button", name="Confirm").click()
        await says(page, "Switched on.")
        assert await page.get_by_role("button").count() == 0
    codes = [body["code"] for _, path, body, _ in site.asked if path == "/code"]
    assert codes == ["111111", "222222", "222222", "222222"]
    assert {token for *_, token in site.asked} == {CSRF}


@pytest.mark.web
@pytest.mark.parametrize("element", ["authy-enroll", "authy-approval"])
async def test_each_end_is_said_at_once_and_closes_the_stream(
    browser: "BrowserContext", element: str
) -> None:
    ends, begin = (ENROLLED, PENDING) if element == "authy-enroll" else (ANSWERED, ASKED)
    async with embedding(POST=begin) as site, shown(browser, site.page(element)) as page:
        for number, (state, words) in enumerate(ends.items()):
            if number:
                await page.reload()
            await page.locator(f"{element}[state=pending]").wait_for()
            site.tell(state)
            await says(page, words)
            assert await page.locator(element).get_attribute("state") == state
            again = page.get_by_role("button", name="Try again")
            assert await again.count() == (state not in ("completed", "approved", "fraud"))
        site.cut()
        assert site.opened_streams == len(ends)


@pytest.mark.web
async def test_what_has_run_out_is_asked_for_anew(browser: "BrowserContext") -> None:
    async with embedding() as site, shown(browser, site.page()) as page:
        await says(page, "Scan this code")
        site.tell("expired")
        await says(page, "Time ran out.")
        await page.get_by_role("button", name="Try again").click()
        await says(page, "Scan this code")
        site.answers["DELETE"] = {"state": "canceled"}
        await page.get_by_role("button", name="Cancel").click()
        await says(page, "Called off.")
    # A reload goes on with what there is; the button alone asks for another.
    assert [(method, body) for method, _, body, _ in site.asked] == [
        ("POST", {}), ("POST", {"again": True}), ("DELETE", {}),
    ]  # fmt: skip


@pytest.mark.web
async def test_a_number_is_large_spoken_by_digits_and_runs_out(browser: "BrowserContext") -> None:
    asked = {**ASKED, "expires": (datetime.now(UTC) + timedelta(seconds=90)).isoformat()}
    async with embedding(POST=asked) as site, shown(browser, site.page("authy-approval")) as page:
        await says(page, "Type this number on your phone.")
        number = page.get_by_role("img", name="4 1 9 2 0 7")
        assert await number.inner_text() == "419 207"
        size = await number.evaluate("node => parseFloat(getComputedStyle(node).fontSize)")
        assert size >= 48
        left = page.get_by_role("progressbar", name="Time left")
        first = float(await left.evaluate("bar => bar.value"))
        bar = "document.querySelector('authy-approval').shadowRoot.querySelector('progress')"
        await until(page, f"{bar}.value < {first}")
        assert await page.get_by_text("Number:").is_hidden()
        site.tell("approved", next="/in")
        await page.wait_for_url("**/in")
    del asked["number"]
    async with embedding(POST=asked) as site, shown(browser, site.page("authy-approval")) as page:
        await says(page, "Answer on your phone.")


@pytest.mark.web
async def test_a_site_elsewhere_is_never_gone_to(browser: "BrowserContext") -> None:
    bad = {**PENDING, "link": "javascript:alert(1)"}
    async with embedding(POST=bad) as site, shown(browser, site.page()) as page:
        await says(page, "Scan this code")
        assert await page.get_by_role("link").count() == 0
        for elsewhere in ("https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"):
            site.tell("scanned", next=elsewhere)
            await says(page, "Seen.")
            site.tell("pending")
            await says(page, "Scan this code")
        assert page.url.startswith(site.origin)


@pytest.mark.web
async def test_an_app_that_scans_while_its_code_is_awaited(browser: "BrowserContext") -> None:
    other = {**PENDING, "state": "awaiting_code", "link": "otpauth://totp/Books?secret=GEZDGNBV"}
    async with embedding(POST=other) as site, shown(browser, site.page()) as page:
        await says(page, "Type the code that your authenticator shows.")
        assert (
            await page.get_by_role("img").count() == 1
            and await page.get_by_role("textbox", name="Code").count() == 1
        )
        # That line is for our own.
        assert await page.get_by_text("On iPhone").count() == 0


@pytest.mark.web
async def test_words_by_language_and_by_attribute(browser: "BrowserContext") -> None:
    async with embedding() as site:
        async with shown(browser, site.page(lang="de-AT")) as page:
            await says(page, "Scannen Sie diesen Code mit Ihrem Authenticator.")
            await page.get_by_role("button", name="Link kopieren").wait_for()
        async with shown(
            browser, site.page(lang="fr", **{"text-scan": "Scannez", "text-awaiting-code": "Tapez"})
        ) as page:
            await says(page, "Scannez")
            # What nobody has translated is English.
            await page.get_by_role("button", name="Copy link").wait_for()
            site.tell("awaiting_code")
            await says(page, "Tapez")
    script = (path() / "authy-site.js").read_text()
    begin, end = script.index("{"), script.index("};\n")
    async with embedding() as site, shown(browser, site.page()) as page:
        words = json.loads(await page.evaluate(f"JSON.stringify({script[begin:end]}}})"))
    assert words["en"].keys() == words["de"].keys() and len(words["en"]) > 20


@pytest.mark.web
async def test_a_broken_way_keeps_what_the_site_has_written(browser: "BrowserContext") -> None:
    answers = [500, {"error": "unavailable"}, PENDING]
    # The browser itself logs an answer of 500.
    async with embedding(POST=answers) as site, shown(browser, site.page(), complaints=1) as page:
        await says(page, "This did not work.")
        await page.get_by_role("link", name="Open the authenticator").wait_for()
        await page.get_by_role("button", name="Try again").click()
        await says(page, "The service cannot be reached.")
        await page.get_by_role("button", name="Try again").click()
        await says(page, "Scan this code")
        site.cut()
        # The browser comes back by itself.
        site.tell("scanned")
        await says(page, "Seen.")
    assert site.opened_streams == 2


@pytest.mark.web
async def test_a_hidden_page_holds_no_stream(browser: "BrowserContext") -> None:
    hide = """hidden => {
      Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
      document.dispatchEvent(new Event('visibilitychange'));
    }"""
    async with embedding() as site, shown(browser, site.page()) as page:
        site.tell("scanned")
        await says(page, "Seen.")
        await page.evaluate(hide, True)
        # What it waits for comes to the stream that is opened when it is seen again.
        await page.evaluate(hide, False)
        await until(page, "performance.getEntriesByName(location.origin + '/events').length >= 1")
        await page.evaluate("document.querySelector('authy-enroll').remove()")
        await until(page, "!document.querySelector('authy-enroll')")
    assert site.opened_streams == 2


@pytest.mark.web
async def test_a_page_without_script_has_image_link_and_form(chromium: "Browser") -> None:
    plain = await chromium.new_context(java_script_enabled=False)
    async with embedding() as site, shown(plain, site.page()) as page:
        assert await page.get_by_role("link", name="Open the authenticator").get_attribute("href") == LINK
        assert await page.get_by_role("img", name="QR code").is_visible()
        await page.get_by_label("Code").last.fill("123456")
        await page.get_by_role("button", name="Confirm").click()
        await page.get_by_text("Taken").wait_for()
    assert site.posted == ["123456"] and site.asked == []


async def test_an_answer_leads_nowhere_but_to_the_site(browser: "BrowserContext") -> None:
    for next in ("javascript:alert(1)", "//evil.example/", "blob:{}/x", "data:text/html,x"):
        async with embedding(POST=ASKED) as site, shown(browser, site.page("authy-approval")) as page:
            await says(page, "Type this number")
            site.tell("approved", next=next.format(site.origin))
            await says(page, "Approved.")
            await page.evaluate("new Promise(done => setTimeout(done, 100))")
            assert page.url == site.page("authy-approval")


async def test_a_state_of_a_prototypes_name_says_nothing(browser: "BrowserContext") -> None:
    async with embedding(POST=ASKED) as site, shown(browser, site.page("authy-approval")) as page:
        await says(page, "Type this number")
        site.tell("constructor")
        await page.locator("authy-approval[state=constructor]").wait_for()
        assert await status(page).inner_text() == ""


async def test_what_a_site_answers_in_another_form_is_said_or_ignored(browser: "BrowserContext") -> None:
    """A time that no browser reads, a number that is no text, nothing at all: what comes next is shown."""
    odd = {**ASKED, "number": 419207, "expires": "soon"}
    async with embedding(POST=odd) as site, shown(browser, site.page("authy-approval")) as page:
        await says(page, "Type this number")
        assert await page.get_by_role("img", name="4 1 9 2 0 7").inner_text() == "419 207"
        assert await page.get_by_role("progressbar").count() == 0
        site.tell("denied")
        await says(page, "Refused on the phone.")
    begin = {**PENDING, "state": "awaiting_code"}
    async with embedding(POST=begin) as site, shown(browser, site.page()) as page:
        site.answers["POST /code"] = [None, {"error": {}}, {"error": 7}, {"state": "completed"}]
        await page.get_by_role("textbox", name="Code").fill("123456")
        for _ in range(3):
            await page.get_by_role("button", name="Confirm").click()
            await page.get_by_role("alert").filter(has_text="This did not work.").wait_for()
        await page.get_by_role("button", name="Confirm").click()
        await says(page, "Switched on.")
