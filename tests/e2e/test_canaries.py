"""What is planted is found by those who may know it, and in no other place, in whatever form."""

import base64
import json
from collections.abc import AsyncIterator, Callable
from urllib.parse import quote, quote_plus

import pytest
from prometheus_client import Counter, generate_latest

from authy_grpc.domain.encoding import base32, base64url
from tests.clock import TurnedClock
from tests.e2e.planting import DATABASE, LOG, ODD, TEXTS, Moody
from tests.e2e.searching import Canary, Place, database, of_metrics, of_parties
from tests.e2e.story import Story
from tests.e2e.wire import Speaks
from tests.harness import Service

METRICS, OUTPUT = "metrics", "output"
# Of the values below, each is found in exactly the places that it names, so each place but the last two has
# its control: that the search finds there what may be there.
CONTROLLED = {METRICS, OUTPUT}


@pytest.fixture
async def service(
    database_url: str, clock: TurnedClock, random: Callable[[int], bytes]
) -> AsyncIterator[Service]:
    made = Service.on(database_url, clock, random)
    made.carrier = Moody()
    async with made as running:
        yield running


def measured(service: Service) -> Place:
    return Place(METRICS, of_metrics(generate_latest(service.core.registry).decode()), text=True)


def written(capfd: pytest.CaptureFixture[str]) -> Place:
    return Place(OUTPUT, "".join(capfd.readouterr()).encode(), text=True)


async def test_planted_values_are_where_they_may_be_and_nowhere_else(
    service: Service, database_url: str, capfd: pytest.CaptureFixture[str], speaks: Speaks
) -> None:
    story = Story(service, speaks)
    await story.tell()
    kept = database(database_url)
    await story.farewell()
    texts = "\n".join(f"{each.number} {each.body}" for each in service.carrier.texts)
    places = [
        *of_parties(story.parties, story.ids),
        Place(TEXTS, texts.encode(), text=True),
        Place(LOG, service.log.getvalue().encode(), text=True),
        Place(DATABASE, b"\n".join(dict.fromkeys(kept + database(database_url))), text=True),
        measured(service),
        written(capfd),
    ]
    assert len(story.canaries) >= 40
    wrong = []
    for canary in story.canaries:
        found = {place.name: named for place in places if (named := place.found(canary))}
        if set(found) != canary.known_to:
            wrong.append((canary.name, sorted(canary.known_to), found))
    assert not wrong
    allowed = set().union(*[canary.known_to for canary in story.canaries])
    assert allowed == {place.name for place in places} - CONTROLLED

    leak = story.canaries[-1]
    Counter("leak", "A value that leaks.", ["value"], registry=service.core.registry).labels(
        leak.value.decode()
    )
    print(leak.value.decode())
    assert measured(service).found(leak) and written(capfd).found(leak)


def as_spelled(value: str) -> dict[str, bytes]:
    """A value in the midst of other things, in every form."""
    spelled = {
        "raw": value.encode(),
        "URL": quote(value, safe="").encode(),
        "form": quote_plus(value).encode(),
        "JSON": json.dumps(value).encode(),
        "JSON in UTF-8": json.dumps(value, ensure_ascii=False).encode(),
    }
    forms = dict(spelled)
    for name, each in spelled.items():
        for shift in range(3):
            among = b"x" * shift + each + b"yz"
            forms[f"base64+{shift} of {name}"] = base64.b64encode(among)
            forms[f"base64url+{shift} of {name}"] = base64url(among).encode()
    for shift in range(5):
        among = b"x" * shift + value.encode() + b"yz"
        forms[f"base32+{shift}"] = base64.b32encode(among)
        forms[f"base32+{shift} in lower case"] = base64.b32encode(among).lower()
        forms[f"Crockford+{shift}"] = base32(among).encode()
    forms["hex"] = value.encode().hex().encode()
    forms["HEX"] = value.encode().hex().upper().encode()
    return forms


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("value", [f"a {ODD} canary", "271828", "27182818", "+4915112345678"])
def test_the_search_finds_every_form(value: str, text: bool) -> None:
    canary = Canary("planted", value.encode(), frozenset())
    for name, made in as_spelled(value).items():
        for before, behind in ((b"", b""), (b"\x0a\x06", b"\x12\x00"), (b'{"a":"', b'"}')):
            assert Place("anywhere", before + made + behind, text=text).found(canary), name


@pytest.mark.parametrize("text", [True, False])
def test_digits_in_the_midst_of_an_id_are_no_find(text: bool) -> None:
    canary = Canary("planted", b"271828", frozenset())
    for innocent in (b'"time":1772718281234', b"0c5b271828b755a6"):
        assert not Place("anywhere", innocent, text=text).found(canary)
    assert not Place("anywhere", b"12718280", ids=(b"12718280",)).found(canary)
    assert not Place("anywhere", b"12718280", text=True).found(canary)
