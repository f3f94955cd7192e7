"""Who takes part in a scenario: sites, phones and strangers, all of whose bytes are kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import col, func, select

from authy_grpc.phone import Phone
from authy_grpc.store.tables import EventRow, TellingRow
from authy_grpc.v1.application_pb2 import API_KEY_SCOPE_EVENTS, Application, CreateApiKeyRequest
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest, CreateEnrollmentResponse
from authy_grpc.v1.event_pb2 import Event, ListEventsRequest, WatchEventsRequest
from tests import rows
from tests.e2e.wire import Party, Speaks
from tests.harness import ORIGIN, Service, Site

_MANY = 1000


@dataclass
class Partner:
    """A relying site: what its backend receives, and what its reader of events receives.

    Attributes:
        client: with a key of all usual scopes.
        feed: with a key that may read events, and nothing else.
        speaks: makes a party of it, by a key.
    """

    client: Party
    feed: Party
    application: Application
    speaks: Speaks

    @property
    def site(self) -> Site:
        """As the harness knows a site."""
        return Site(self.client, self.application, self.client.credential)  # type: ignore[arg-type]

    async def begin(self, custom_user_id: str, **fields: Any) -> CreateEnrollmentResponse:
        """Start an enrollment."""
        request = CreateEnrollmentRequest(custom_user_id=custom_user_id, **fields)
        made: CreateEnrollmentResponse = await self.client.enrollments.CreateEnrollment(request)
        return made

    async def listed(self, service: Service) -> list[Event]:
        """All events, once they can be read."""
        request = ListEventsRequest(cursor="earliest", page_size=_MANY)
        while True:
            page = await self.feed.events.ListEvents(request)
            if len(page.events) >= await recorded(service, self.application):
                return list(page.events)

    async def read_feed(self, service: Service) -> None:
        """Read all events, as a list and as a stream."""
        waiting = len(await self.listed(service))
        stream: Any = self.feed.events.WatchEvents(WatchEventsRequest(cursor="earliest"))
        while waiting:
            waiting -= (await anext(stream)).HasField("event")
        stream.cancel()


async def recorded(service: Service, application: Application) -> int:
    """How many events a site's feed has. On PostgreSQL some are read a little later than they happen."""
    statement = select(func.count()).where(col(EventRow.application_id) == application.application_id)
    return await service.core.database.read(lambda tx: int(rows.found(tx, statement)[0]))


async def partner(service: Service, name: str, *, speaks: Speaks | None = None, **fields: Any) -> Partner:
    """Add a relying site, which speaks gRPC where nothing else is given."""
    speak = speaks or (lambda credential: Party(service.channel(), credential))
    site = await service.site(name, **fields)
    key = await service.operator.applications.CreateApiKey(
        CreateApiKeyRequest(
            application_id=site.application.application_id, name="feed", scopes=[API_KEY_SCOPE_EVENTS]
        )
    )
    return Partner(speak(site.api_key), speak(key.secret), site.application, speak)


@dataclass
class Owner:
    """A phone and what it receives."""

    phone: Phone
    party: Party

    @property
    def token(self) -> str:
        """The device token."""
        return self.phone._session._token


def new_phone(service: Service) -> Owner:
    """A phone that is not registered yet."""
    party = Party(service.channel())
    return Owner(Phone(party, origin=ORIGIN, clock=service.clock), party)  # type: ignore[arg-type]


async def owner(service: Service, number: str, name: str) -> Owner:
    """A phone whose owner proved a number."""
    made = new_phone(service)
    await made.phone.register(await made.phone.start(number), await service.text_code(), name)
    return made


async def due_times(service: Service) -> list[datetime]:
    """When sites will be told something."""
    return sorted(await service.core.database.read(lambda tx: rows.found(tx, select(TellingRow.due_time))))


async def told(service: Service) -> None:
    """Let time go by, from one telling to the next, until all has been told."""
    while due := await due_times(service):
        service.clock.now = max(service.clock.now, due[0])
        await service.due()
        service.clock.turn(seconds=1.013)
