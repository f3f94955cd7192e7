"""The alarm of a device that wants in: raised in the frame, and acknowledged once its owner has seen it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.web.screens import ALARM, DEVICES, WANTS_IN
from tests.web.staging import Screen, Stage, stage

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
# The tab is seen or not; what is set for later is kept, with its milliseconds, and run by the test.
TURNED = """() => {
  window.hid = true;
  Object.defineProperty(document, 'hidden', {get: () => window.hid});
  window.look = hid => { window.hid = hid; document.dispatchEvent(new Event('visibilitychange')); };
}"""
KEPT = """async () => {
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  window.later = [];
  window.told = [];
  window.setTimeout = (run, millis) => later.push([run, millis]);
  const kept = {};
  app.vault = {get: async (_, key) => kept[key], put: async (_, value, key) => { kept[key] = value; }};
  const answers = app.api;
  app.api = {listDevices: () => answers.listDevices(), acknowledgeDevice: async id => { told.push(id); }};
}"""
RUN = """async () => {
  const due = later.splice(0).filter(each => each[1] === 1000);
  for (const [run] of due) await run();
  await new Promise(done => requestAnimationFrame(done));
  return [due.length, ...told];
}"""
WATCHED = """async devices => {
  const {watchDevices} = await import('/app/alarm.js');
  window.asked = 0;
  window.devices = devices;
  window.told = [];
  app.announce = (words, {urgent}) => told.push([words.replace(/[\u2066-\u2069]/g, ''), urgent]);
  app.api = {listDevices: async () => { asked++; return window.devices ?? Promise.reject(Error('away')); }};
  watchDevices(app);
}"""
REVISION = """async ([revision, devices]) => {
  window.devices = devices;
  app.store.set({revisions: {devices: revision}});
  await new Promise(done => requestAnimationFrame(done));
  return [app.store.state.waiting, asked, document.querySelector('.tab .dot') !== null];
}"""
SHOWN = [
    Screen("alarm", "device", {"id": "dev_4"}, {"api": ALARM}),
    Screen("list", "devices", {}, {"api": ALARM}),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def staged() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


@pytest.mark.parametrize("screen", SHOWN, ids=lambda screen: screen.name)
async def test_an_alarm_is_acknowledged_once_when_it_was_really_seen(staged: Stage, screen: Screen) -> None:
    async with staged.page() as page:
        await page.evaluate(TURNED)
        await staged.show(page, screen)
        await page.evaluate(KEPT)
        await page.evaluate("look(true)")
        assert await page.evaluate(RUN) == [0]
        await page.evaluate("look(false)")
        assert await page.evaluate(RUN) == [1, "dev_4"]
        # Shown again it is known already.
        await page.evaluate("look(true); look(false)")
        assert await page.evaluate(RUN) == [1, "dev_4"]


async def test_other_devices_are_not_acknowledged(staged: Stage) -> None:
    async with staged.page() as page:
        await page.evaluate(TURNED)
        await staged.show(page, Screen("other", "devices", {}, {"api": {"listDevices": DEVICES}}))
        await page.evaluate(KEPT)
        await page.evaluate("look(false)")
        assert await page.evaluate(RUN) == [0]


async def test_a_device_that_waits_is_told_at_once_and_the_tab_has_a_dot(staged: Stage) -> None:
    async with staged.page() as page:
        await staged.show(page, Screen("any", "ready"))
        await page.evaluate(WATCHED, DEVICES)
        assert await page.evaluate(REVISION, ["1", DEVICES]) == [False, 1, False]
        assert await page.evaluate(REVISION, ["1", DEVICES]) == [False, 1, False]
        assert await page.evaluate(REVISION, ["2", [*DEVICES, WANTS_IN]]) == [True, 2, True]
        assert await page.evaluate("told") == [["A device wants in: Pixel 9. Look under Devices.", True]]
        # The same one is no news; one that could not be asked for is asked for again.
        assert await page.evaluate(REVISION, ["3", None]) == [True, 3, True]
        assert await page.evaluate(REVISION, ["3", [*DEVICES, WANTS_IN]]) == [True, 4, True]
        assert len(await page.evaluate("told")) == 1
        assert await page.evaluate(REVISION, ["4", DEVICES]) == [False, 5, False]
        await page.evaluate("app.device.can = () => false")
        assert await page.evaluate(REVISION, ["5", [*DEVICES, WANTS_IN]]) == [False, 5, False]


async def test_what_was_decided_here_stays_though_the_news_of_it_comes_first(staged: Stage) -> None:
    async with staged.page() as page:
        await staged.show(page, Screen("alarm", "device", {"id": "dev_4"}, {"api": ALARM}))
        # The inbox tells of the end before the answer is there.
        await page.evaluate("""devices => {
          app.api = {listDevices: async () => devices, revokeDevice: async () => {
            app.store.set({revisions: {devices: '9'}});
            await new Promise(done => setTimeout(done));
          }};
        }""", DEVICES)  # fmt: skip
        await page.get_by_role("button", name="No, refuse it").click()
        await page.get_by_role("heading", name="Refused").wait_for()
        assert await page.evaluate("app.went") == []
