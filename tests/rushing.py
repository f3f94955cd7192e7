"""Calls that are made at once, what became of each, and codes that nobody has."""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any

from authy_grpc.client import AsyncClient, AuthyError
from authy_grpc.phone import Phone, PhoneError
from authy_grpc.v1.application_pb2 import CreateApiKeyRequest
from authy_grpc.v1.authenticator_pb2 import Site as Linked
from authy_grpc.v1.event_pb2 import Event, ListEventsRequest
from authy_grpc.v1.user_pb2 import UnlockUserRequest
from authy_grpc.v1.verification_pb2 import CodeResult, SendCodeRequest, VerifyCodeRequest
from tests.harness import ORIGIN, Service, Site

_AN_HOUR = 30
_CODE = re.compile(r"\b\d{6}\b")
# Seconds: a thousand calls at once on a busy machine take their time.
PATIENCE = 60.0


async def came(found: Callable[[], object]) -> None:
    """Wait for something."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if found():
                return
            await asyncio.sleep(0.01)


async def became(call: Awaitable[Any]) -> str:
    """OK where a call is answered; the reason where it is refused, or its status where it has none."""
    try:
        await call
    except (AuthyError, PhoneError) as error:
        return error.reason or (error.code.name if error.code else str(error))
    return "OK"


async def verdict(client: AsyncClient, authy_id: str, code: str, action: str = "") -> str:
    """What a code is worth, or why it was not looked at."""
    request = VerifyCodeRequest(authy_id=authy_id, code=code, action=action)
    try:
        answer = await client.verification.VerifyCode(request, timeout=PATIENCE)
    except AuthyError as error:
        return error.reason
    return CodeResult.Name(answer.result).removeprefix("CODE_RESULT_")


async def at_once(calls: Iterable[Coroutine[Any, Any, str]]) -> Counter[str]:
    """How often each answer came to calls that are made together."""
    return Counter(await asyncio.gather(*calls))


async def told(site: Site, count: int, *types: str) -> list[Event]:
    """All events of some types in a feed: waits for so many, since open writes hold a feed back."""
    async with asyncio.timeout(PATIENCE), aclosing(site.client.watch_events("earliest", types)) as feed:
        for _ in range(count):
            await anext(feed)
    request = ListEventsRequest(cursor="earliest", types=types, page_size=1000)
    return list((await site.client.events.ListEvents(request)).events)


async def connect(service: Service, key: str) -> AsyncClient:
    """Another client, of whoever has the key."""
    return await service.stack.enter_async_context(AsyncClient(service.target, key))


async def reconnect(service: Service, site: Site) -> Site:
    """A site after the service has restarted."""
    return Site(await connect(service, site.api_key), site.application, site.api_key)


async def more_keys(service: Service, site: Site, count: int) -> list[AsyncClient]:
    """Clients of one site, each with an API key and a connection of its own; the site's own is the first."""
    clients = [site.client]
    while len(clients) < count:
        request = CreateApiKeyRequest(application_id=site.application.application_id, name="another")
        made = await service.operator.applications.CreateApiKey(request)
        clients.append(await connect(service, made.secret))
    return clients


async def second_device(service: Service, first: Phone, number: str, name: str = "Tablet") -> Phone:
    """Another phone of the account, which the first one lets in."""
    service.clock.turn(seconds=30)
    second = await service.phone(number, name)
    (shown,) = await second.devices()
    await first.approve_device(second.device_id, shown.check)
    # For a second a server may go by what it knew of a credential.
    service.clock.turn(seconds=1)
    return second


async def unlock(site: Site, authy_id: str) -> None:
    """Lift what wrong codes have brought about."""
    await site.client.users.UnlockUser(UnlockUserRequest(authy_id=authy_id))


async def sent_code(service: Service, site: Site, authy_id: str, action: str = "") -> str:
    """A code that the site has sent."""
    request = SendCodeRequest(authy_id=authy_id, action=action, force=True)
    await site.client.verification.SendCode(request)
    return await service.text_code()


async def wrong_codes(count: int, now: datetime, *, phones: Iterable[tuple[Phone, Linked]] = ()) -> list[str]:
    """So many codes, none of which these phones make about now."""
    around = [now + timedelta(seconds=30 * step) for step in range(-4, 5)]
    right = {await phone.code(linked, at) for phone, linked in phones for at in around}
    return [code for code in map("{:06d}".format, range(count + len(right))) if code not in right][:count]


def other(code: str) -> str:
    """Another code of as many digits."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


async def many_phones(service: Service, count: int) -> list[Phone]:
    """Phones on one connection, each of an account of its own. Thirty an hour may begin from one address."""
    channel, phones = service.channel(), list[Phone]()
    while len(phones) < count:
        begun = range(len(phones), min(len(phones) + _AN_HOUR, count))
        numbers = [f"+49151{23_450_000 + each}" for each in begun]
        new = [Phone(channel, origin=ORIGIN, clock=service.clock) for _ in numbers]
        started = await asyncio.gather(*map(Phone.start, new, numbers))
        await service.due()
        codes = {text.number: code_in(text.body) for text in service.carrier.texts}
        await asyncio.gather(
            *[
                phone.register(verification, codes[number], "Pocket")
                for phone, verification, number in zip(new, started, numbers, strict=True)
            ]
        )
        phones += new
        service.clock.turn(hours=1)
    return phones


def code_in(text: str) -> str:
    """The one code in a text."""
    (code,) = set(_CODE.findall(text))
    return str(code)
