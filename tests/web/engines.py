"""Starts real browsers behind one small interface: Chromium, WebKit and Firefox.

    async with chromium() as browser, browser.tab() as tab:
        await tab.open(address)
        title = await tab.run("return document.title")

Each browser is driven by a thread of its own, so that a test's loop goes on serving it meanwhile. They are
headless or on a display that nobody sees, with a profile that is thrown away.
"""

import asyncio
import gc
import json
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.programs import program

ENGINES = ("chromium", "webkit", "firefox")
# Seconds for a page, and for what a test runs in it.
PATIENCE = 60.0
_MINIBROWSERS = "*/webkit2gtk-4*/MiniBrowser"
# What runs is told as JSON text: each driver loses other values. Not all drivers end what never ends.
_RUN = (
    "JSON.stringify({value: await Promise.race([(async (...args) => {%s})(...JSON.parse(%s)),"
    "new Promise((_, late) => setTimeout(() => late(new Error('no answer in time')), %d))])})"
)
_Result = TypeVar("_Result")


class Driver(Protocol):
    """What drives one engine, from one thread. A tab is whatever the engine names it by."""

    def open_tab(self) -> Any:
        """A new tab."""

    def close_tab(self, tab: Any) -> None:
        """End a tab."""

    def go(self, tab: Any, address: str) -> None:
        """Load a page."""

    def run(self, tab: Any, expression: str) -> str:
        """The value of an async expression, which is a text."""

    def picture(self, tab: Any) -> bytes:
        """A screenshot, as PNG."""

    def press(self, tab: Any, selector: str) -> None:
        """Click an element, as a person does."""

    def type(self, tab: Any, selector: str, text: str) -> None:
        """Type into an element, as a person does."""

    def restart(self) -> None:
        """End the browser, and start it with the same profile."""

    def quit(self) -> None:
        """End the browser."""


class ScriptError(AssertionError):
    """What a test ran in a page threw."""


class Tab:
    """One tab of a browser."""

    def __init__(self, browser: "Browser", handle: Any) -> None:
        self.browser = browser
        self.handle = handle

    async def open(self, address: str) -> None:
        """Load a page."""
        await self.browser.do(self.browser.driver.go, self.handle, address)

    async def run(self, source: str, *args: Any) -> Any:
        """Run the body of an async function in the page.

        Args:
            source: JavaScript; `args` are its arguments.
            args: JSON values.

        Returns:
            What it returned, through JSON.

        Raises:
            ScriptError: what it threw.
        """
        given = json.dumps(json.dumps(args))
        inner = _RUN % (source, given, int(PATIENCE * 900))
        told = await self.browser.do(self.browser.driver.run, self.handle, inner)
        return json.loads(told).get("value")

    async def picture(self) -> bytes:
        """A screenshot, as PNG."""
        return await self.browser.do(self.browser.driver.picture, self.handle)

    async def press(self, selector: str) -> None:
        """Click an element."""
        await self.browser.do(self.browser.driver.press, self.handle, selector)

    async def type(self, selector: str, text: str) -> None:
        """Type into an element."""
        await self.browser.do(self.browser.driver.type, self.handle, selector, text)


class Browser:
    """A running browser: one profile, any number of tabs. `driver` is the engine's own."""

    def __init__(self, engine: str, start: Callable[[], Driver]) -> None:
        self.engine = engine
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.driver: Driver = self._thread.submit(_quietly, start).result()

    async def do(self, call: Callable[..., _Result], *args: Any) -> _Result:
        """Call in the browser's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    @asynccontextmanager
    async def tab(self, address: str = "") -> AsyncIterator[Tab]:
        """A new tab, closed at the end."""
        tab = Tab(self, await self.do(self.driver.open_tab))
        try:
            if address:
                await tab.open(address)
            yield tab
        finally:
            await self.do(self.driver.close_tab, tab.handle)

    async def restart(self) -> None:
        """End the browser, and start it with the same profile."""
        await self.do(_quietly, self.driver.restart)

    def close(self) -> None:
        """End the browser."""
        self._thread.submit(_quietly, self.driver.quit).result()
        self._thread.shutdown()


@contextmanager
def browser(engine: str, profile: Path | None = None) -> Iterator[Browser]:
    """A running browser; the test is skipped where the machine has none.

    Args:
        engine: one of ENGINES.
        profile: a folder that keeps what the browser keeps; thrown away where None. WebKit has none: its
            sessions under automation are ephemeral.
    """
    with ExitStack() as stack:
        if profile is None:
            profile = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        started = Browser(engine, lambda: _STARTS[engine](profile))
        stack.callback(started.close)
        yield started


class _Chromium:
    def __init__(self, profile: Path) -> None:
        from playwright.sync_api import Error, sync_playwright

        self.error = Error
        self._profile = profile
        self._playwright = sync_playwright().start()
        self._launch()

    def _launch(self) -> None:
        self.context = self._playwright.chromium.launch_persistent_context(
            self._profile,
            executable_path=_chromium_program(),
            args=["--disable-gpu"],
            locale="en-GB",
        )
        self.context.set_default_timeout(PATIENCE * 1000)

    def open_tab(self) -> Any:
        return self.context.new_page()

    def close_tab(self, tab: Any) -> None:
        tab.close()

    def go(self, tab: Any, address: str) -> None:
        tab.goto(address)

    def run(self, tab: Any, expression: str) -> str:
        try:
            return str(tab.evaluate(f"async () => {expression}"))
        except self.error as error:
            raise ScriptError(str(error)) from None

    def picture(self, tab: Any) -> bytes:
        return bytes(tab.screenshot())

    def press(self, tab: Any, selector: str) -> None:
        tab.click(selector)

    def type(self, tab: Any, selector: str, text: str) -> None:
        tab.locator(selector).press_sequentially(text)

    def restart(self) -> None:
        self.context.close()
        self._launch()

    def quit(self) -> None:
        self.context.close()
        self._playwright.stop()


class _WebKit:
    def __init__(self, profile: Path) -> None:
        from selenium import webdriver
        from selenium.common.exceptions import WebDriverException

        self.error = WebDriverException
        self._stack = ExitStack()
        display = self._stack.enter_context(display_of_nobody())
        options = webdriver.WebKitGTKOptions()
        options.binary_location = str(minibrowser())
        options.add_argument("--automation")
        service = webdriver.WebKitGTKService(
            executable_path=program("WebKitWebDriver"), env=quiet_environment(profile, display)
        )
        self.selenium = webdriver.WebKitGTK(options=options, service=service)
        self.selenium.set_script_timeout(PATIENCE)
        self.selenium.set_page_load_timeout(PATIENCE)

    def open_tab(self) -> Any:
        # Its tabs are hidden for good, the one that is seen too.
        self.selenium.switch_to.new_window("window")
        return self.selenium.current_window_handle

    def close_tab(self, tab: Any) -> None:
        self.selenium.switch_to.window(tab)
        self.selenium.close()
        self.selenium.switch_to.window(self.selenium.window_handles[0])

    def go(self, tab: Any, address: str) -> None:
        self.selenium.switch_to.window(tab)
        self.selenium.get(address)

    def run(self, tab: Any, expression: str) -> str:
        self.selenium.switch_to.window(tab)
        return _told(self.selenium.execute_async_script(_async(expression)))

    def picture(self, tab: Any) -> bytes:
        self.selenium.switch_to.window(tab)
        return bytes(self.selenium.get_screenshot_as_png())

    def press(self, tab: Any, selector: str) -> None:
        self.selenium.switch_to.window(tab)
        self.selenium.find_element("css selector", selector).click()

    def type(self, tab: Any, selector: str, text: str) -> None:
        self.selenium.switch_to.window(tab)
        self.selenium.find_element("css selector", selector).send_keys(text)

    def restart(self) -> None:
        raise NotImplementedError("what WebKit keeps under automation ends with it: see `lone_webkit`")

    def quit(self) -> None:
        self.selenium.quit()
        self._stack.close()


class _Firefox:
    def __init__(self, profile: Path) -> None:
        from marionette_driver.marionette import Marionette  # type: ignore[import-untyped]

        self.marionette = Marionette(
            bin=firefox_program(),
            headless=True,
            port=0,
            gecko_log=str(profile / "gecko.log"),
            workspace=str(profile),
            startup_timeout=PATIENCE,
        )
        self.marionette.start_session()
        self.marionette.timeout.script = PATIENCE
        self.marionette.timeout.page_load = PATIENCE

    def open_tab(self) -> Any:
        return self.marionette.open(type="tab", focus=True)["handle"]

    def close_tab(self, tab: Any) -> None:
        self.marionette.switch_to_window(tab)
        self.marionette.close()
        self.marionette.switch_to_window(self.marionette.window_handles[0])

    def go(self, tab: Any, address: str) -> None:
        self.marionette.switch_to_window(tab)
        self.marionette.navigate(address)

    def run(self, tab: Any, expression: str) -> str:
        self.marionette.switch_to_window(tab, focus=False)
        # Without a sandbox the page's own objects are seen.
        return _told(self.marionette.execute_async_script(_async(expression), sandbox=None))

    def picture(self, tab: Any) -> bytes:
        self.marionette.switch_to_window(tab)
        return bytes(self.marionette.screenshot(format="binary", full=False))

    def press(self, tab: Any, selector: str) -> None:
        self.marionette.switch_to_window(tab)
        self.marionette.find_element("css selector", selector).click()

    def type(self, tab: Any, selector: str, text: str) -> None:
        self.marionette.switch_to_window(tab)
        self.marionette.find_element("css selector", selector).send_keys(text)

    def restart(self) -> None:
        self.marionette.restart(in_app=True)
        self.marionette.timeout.script = PATIENCE
        self.marionette.timeout.page_load = PATIENCE

    def quit(self) -> None:
        self.marionette.quit(in_app=True)
        # Else it would clean up when it is collected, after its folder has gone.
        self.marionette.cleanup()
        self.marionette.instance = None


_STARTS: dict[str, Callable[[Path], Driver]] = {
    "chromium": _Chromium,
    "webkit": _WebKit,
    "firefox": _Firefox,
}


def _quietly(call: Callable[[], _Result]) -> _Result:
    """Call, and hear no warnings: the drivers use what is deprecated, and leave sockets open."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        finally:
            gc.collect()


def _async(expression: str) -> str:
    return (
        "const done = arguments[arguments.length - 1];"
        f"(async () => {expression})()"
        ".then(text => done([text, '']), error => done(['', `${error} ${error?.stack}`]));"
    )


def _told(answer: Any) -> str:
    text, error = answer
    if error:
        raise ScriptError(error)
    return str(text)


def _chromium_program() -> str:
    return shutil.which("chromium") or shutil.which("chromium-browser") or program("chromium")


def firefox_program() -> str:
    """Firefox, or its ESR."""
    return shutil.which("firefox-esr") or program("firefox")


def minibrowser() -> Path:
    """The browser that Debian's libwebkit2gtk brings for tests."""
    program("WebKitWebDriver")
    found = sorted(Path("/usr/lib").glob(_MINIBROWSERS)) or sorted(
        Path("/usr/libexec").glob("webkit2gtk-4*/MiniBrowser")
    )
    return found[-1] if found else Path(program("MiniBrowser"))


def quiet_environment(home: Path, display: str) -> dict[str, str]:
    """What MiniBrowser is started with: its files are in `home`, and it looks for no desktop."""
    folders = {name: str(home / name) for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    plain = {
        "NO_AT_BRIDGE": "1",
        "GIO_USE_VFS": "local",
        "GSETTINGS_BACKEND": "memory",
        "LIBGL_ALWAYS_SOFTWARE": "1",
    }
    return {**os.environ, **folders, **plain, "DISPLAY": display}


@contextmanager
def lone_webkit(home: Path, address: str) -> Iterator[None]:
    """WebKit on a page, with a profile that stays: nothing drives it, so the page has to tell by itself."""
    with display_of_nobody() as display:
        started = subprocess.Popen(
            [minibrowser(), address],
            env=quiet_environment(home, display),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            started.terminate()
            started.wait()


@contextmanager
def display_of_nobody() -> Iterator[str]:
    """An X display, such as `:99`."""
    read, write = os.pipe()
    try:
        server = subprocess.Popen(
            [program("Xvfb"), "-displayfd", str(write), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
            pass_fds=[write],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        os.close(write)
    try:
        with os.fdopen(read) as told:
            yield f":{told.readline().strip()}"
    finally:
        server.terminate()
        server.wait()
