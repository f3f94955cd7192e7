"""Activity, settings and lost keys: a sentence for each type, the hash, what is kept or erased."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

import authy_grpc
from authy_grpc.domain.approval import ApprovalState
from gateway.web.files import served, total
from tests.web.screens import ACCOUNT, KEPT, MEASURED
from tests.web.staging import Screen, Stage, stage, until

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
SERVICE = Path(authy_grpc.__file__).parent
UNKNOWN = {"en": "Something changed.", "de": "Etwas hat sich geändert."}
SETTINGS = Screen("settings", "settings", given={"api": {"getAccount": ACCOUNT}, "accounts": KEPT})
# What the app is told to do, in their order.
RECORDED = """answers => {
  window.told = [];
  const heard = name => (...args) => {
    told.push([name, ...args]);
    return answers[name] ? Promise.reject({reason: answers[name]}) : Promise.resolve({});
  };
  const recorded = () => new Proxy({}, {get: (_, name) => heard(name)});
  app.api = recorded();
  app.vault = recorded();
  app.device.forget = heard('forget');
  app.restart = heard('restart');
}"""
TOLD = "async () => { await new Promise(done => setTimeout(done)); return told; }"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def staged() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


def types() -> set[str]:
    """What the service can write as an activity's type."""
    written = re.compile(r'"((?:account|code|device|site)\.[a-z_]+)"')
    files = [*(SERVICE / "service").glob("*.py"), SERVICE / "store" / "logins.py"]
    found = {hit for file in files for hit in written.findall(file.read_text())} - {"device.name"}
    ends = set(ApprovalState) - {ApprovalState.PENDING, ApprovalState.CANCELED}
    return found | {f"approval.{end.lower()}" for end in ends}


@pytest.mark.parametrize("language", ["en", "de"])
async def test_each_type_that_the_service_writes_has_a_sentence(staged: Stage, language: str) -> None:
    known = sorted(types())
    assert {"account.updated", "code.accepted", "device.released", "site.key_added"} < set(known)
    assert {"approval.approved", "approval.denied", "approval.expired"} < set(known)
    strange = ["constructor", "device.constructor", "did.site", "<b>x</b>", ""]
    happened = [
        {"type": each, "siteName": "<i>Shop</i>", "deviceName": "Pixel 9", "time": "2026-11-30T13:20:00Z"}
        for each in [*known, *strange]
    ]
    answer = {"activities": happened, "nextPageToken": ""}
    async with staged.page() as page:
        screen = Screen("activity", "activity", given={"api": {"listActivity": answer}})
        await staged.show(page, screen, language=language)
        said = await page.locator(".row .fill > span:first-child").all_inner_texts()
        assert len(said) == len(happened)
        sentences = said[: len(known)]
        assert len(set(sentences)) == len(known) and UNKNOWN[language] not in sentences
        assert set(said[len(known) :]) == {UNKNOWN[language]}
        named = {each for each, words in zip(known, sentences, strict=True) if "<i>Shop</i>" in words}
        assert named == {each for each in known if each.startswith(("site.", "code.", "approval."))}


async def test_pages_follow_each_other_and_news_stand_first(staged: Stage) -> None:
    page_of = """async (of) => {
      const item = (minute) => ({type: 'code.accepted', siteName: `Site ${minute}`, deviceName: '',
        time: `2026-11-30T12:${String(minute).padStart(2, '0')}:00Z`});
      const last = {activities: [item(3)], nextPageToken: ''};
      const pages = {'': {activities: [item(9), item(8)], nextPageToken: 'b'}, b: last};
      app.api = {listActivity: async ({pageToken = ''}) => pages[pageToken]};
      window.pages = pages;
      window.item = item;
      app.store.set({revisions: {activity: '1'}});
    }"""
    read = "() => [...document.querySelectorAll('.row bdi')].map(each => each.textContent)"
    async with staged.page() as page:
        await staged.show(page, Screen("activity", "activity"))
        await page.evaluate(page_of)
        await page.locator(".actions .button").click()
        await page.locator("text=Site 3").wait_for()
        assert await page.evaluate(read) == ["Site 9", "Site 8", "Site 3"]
        assert not await page.locator(".actions .button").is_visible()
        await page.evaluate(
            "pages[''].activities.unshift(item(11)); app.store.set({revisions: {activity: '2'}})"
        )
        await page.locator("text=Site 11").wait_for()
        assert await page.evaluate(read) == ["Site 11", "Site 9", "Site 8", "Site 3"]


async def test_settings_show_the_number_of_files_and_the_hash_that_is_printed(staged: Stage) -> None:
    async with staged.page() as page:
        await staged.show(page, Screen("settings", "settings", then=MEASURED))
        told = await page.locator("details").inner_text()
        assert total(served()) in told and f"{len(served())} files" in told
        assert "Version " in told


async def test_look_and_language_are_kept(staged: Stage) -> None:
    async with staged.page() as page:
        await staged.show(page, SETTINGS)
        await page.evaluate(RECORDED, {})
        await page.locator("input[value=dark]").check()
        assert await page.evaluate("document.documentElement.dataset.look") == "dark"
        await page.locator("select").select_option("de")
        assert await page.evaluate(TOLD) == [
            ["put", "settings", "dark", "look"],
            ["put", "settings", "de", "language"],
            ["restart"],
        ]


async def pressed(page: "Page", name: str) -> None:
    await page.get_by_role("button", name=name).click()


async def test_erasing_takes_two_steps_and_tells_the_service_first(staged: Stage) -> None:
    async with staged.page() as page:
        await staged.show(page, SETTINGS)
        await page.evaluate(RECORDED, {"revokeDevice": "UNREACHABLE"})
        await pressed(page, "Erase this browser")
        # The way back has the focus: Enter erases nothing.
        await page.keyboard.press("Enter")
        assert await page.evaluate(TOLD) == []
        await pressed(page, "Erase this browser")
        await pressed(page, "Erase it")
        assert await page.evaluate(TOLD) == [["revokeDevice", "dev_1"]]
        await pressed(page, "Erase it")
        await until(page, "told.length === 3")
        assert (await page.evaluate(TOLD))[1:] == [["erase"], ["restart"]]


async def test_an_account_is_deleted_by_the_digits_of_its_number(staged: Stage) -> None:
    async with staged.page() as page:
        await staged.show(page, SETTINGS)
        await page.evaluate(RECORDED, {})
        await pressed(page, "Delete my account")
        await page.locator(".confirm input").fill("1234")
        await pressed(page, "Delete it for good")
        assert await page.evaluate(TOLD) == []
        await page.locator(".confirm input").fill("5678")
        await pressed(page, "Delete it for good")
        assert await page.evaluate(TOLD) == [["deleteAccount"]]


async def test_lost_keys_offer_the_foreign_accounts_first_and_keep_them(staged: Stage) -> None:
    given = {"device": {"state": "lost"}, "cannot": ["codes"], "accounts": KEPT}
    async with staged.page() as page:
        await staged.show(page, Screen("lost", "lost", given=given))
        await page.evaluate(RECORDED, {})
        ways = page.locator("a.button, button.button:not(.copy)")
        assert await ways.all_inner_texts() == ["Save other accounts (2)", "Register again"]
        assert await ways.first.get_attribute("href") == "#/backup"
        await pressed(page, "Register again")
        assert await page.evaluate(TOLD) == [["forget"]]
        assert await page.evaluate("app.went") == ["/", "update"]
