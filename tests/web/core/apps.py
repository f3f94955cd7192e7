"""Makes the parts of the web authenticator in a tab, and registers it as a person does."""

from typing import Any

from tests.harness import NUMBER, Service
from tests.web.engines import Tab

# As main.js makes them; `inboxed` are the states that the inbox has told.
_MAKE = """
const {open} = await load('/app/core/vault.js');
const {Device} = await load('/app/core/device.js');
const {Api} = await load('/app/core/api.js');
const {Inbox} = await load('/app/core/inbox.js');
const vault = open();
await vault.probe();
const device = await Device.load(vault);
const api = new Api({vault, device});
await api.ready;
const inbox = new Inbox({api, device});
window.app = {vault, device, api, inbox, inboxed: []};
inbox.subscribe(state => app.inboxed.push(state));
return device.state;
"""
# Resolves with the first state for which `good` holds.
_UNTIL = """
const good = %s;
return new Promise((resolve, reject) => {
  const end = app.inbox.subscribe(state => good(state) && resolve(state));
  setTimeout(() => reject(new Error('never told: ' + JSON.stringify(app.inbox.state))), 40000);
});
"""


async def made(tab: Tab) -> str:
    """Make the parts; the state of the device."""
    return str(await tab.run(_MAKE))


async def registered(tab: Tab, service: Service, number: str = NUMBER, **more: Any) -> Any:
    """Prove a number and register: what the service answered."""
    await tab.run("await app.api.startPhoneVerification({phoneNumber: args[0]})", number)
    return await tab.run(
        """
        const {verificationId} = app.device.registration;
        return app.api.registerDevice({verificationId, code: args[0], name: 'Browser', ...args[1]});
        """,
        await service.text_code(),
        more,
    )


async def until(tab: Tab, good: str) -> Any:
    """The first state of the inbox for which a JavaScript function holds."""
    return await tab.run(_UNTIL % good)


async def reason(tab: Tab, call: str, *args: Any) -> Any:
    """Why a call is refused, or OK."""
    return await tab.run(f"return ({call}).then(() => 'OK', error => error.reason)", *args)
