"""Whatever comes as a path, query or body: it is a request, or is refused with a field; nothing breaks."""

import json
from collections.abc import Callable
from random import Random
from typing import Any
from urllib.parse import quote

from google.protobuf import json_format

from gateway.errors import Failure
from gateway.routes import Route, contract
from gateway.transcode import Transcoder
from tests.gateway.everything import ROUTES, Chance

PIECES = (
    "{", "}", "[", "]", ",", ":", '"', "\\", "null", "true", "NaN", "-", "1e999", "0.5", "1" * 30, '"a"',
    "\\ud800", "\x00", "\ufeff", '{"a":1}', "[[[[", "é", "\U0001f600", "//", "'", " ", "\n",
    "1970-01-01T00:00:00Z", "1s",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**31, 2**63, 2**64, 1e300, "", "a", "\ud800", "1", "-", "COLOR_RED", [], [None],
    [[]], {}, {"a": None}, {"": ""}, [{}], {"@type": "x"},
    {"@type": "type.googleapis.com/google.protobuf.Any", "value": {}},
)  # fmt: skip
ESCAPES = (
    "%00",
    "%ff",
    "%",
    "%2",
    "%zz",
    "%c3%a9",
    "%26",
    "%3D",
    "+",
    "&",
    "=",
    "&&",
    "a=",
    "%ed%a0%80",
    ";",
    "é",
)


class Spoiler:
    """Makes requests of which something is wrong, most of the time."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.messages = Chance(seed)

    def body(self, route: Route) -> bytes:
        message = self.messages.message(route.rpc.input_type)
        value: Any = json_format.MessageToDict(
            message, preserving_proto_field_name=self.chance.random() < 0.5
        )
        if self.chance.random() < 0.7:
            self._replace(value)
        text = json.dumps(value, ensure_ascii=self.chance.random() < 0.5)
        for _ in range(self.chance.choice((0, 0, 0, 1, 2))):
            at = self.chance.randrange(len(text) + 1)
            text = text[:at] + self.chance.choice(PIECES) + text[at + self.chance.randrange(3) :]
        raw = bytearray(text.encode(errors="surrogatepass"))
        if raw and self.chance.random() < 0.05:
            raw[self.chance.randrange(len(raw))] = self.chance.randrange(256)
        return bytes(raw)

    def _replace(self, value: Any) -> None:
        """Put something else somewhere."""
        while isinstance(value, dict | list) and value:
            key: Any = self.chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
            if self.chance.random() < 0.5 or not isinstance(value[key], dict | list):
                value[key] = self.chance.choice(VALUES)
                return
            value = value[key]

    def query(self, route: Route) -> str:
        names = [field.name for field in route.rpc.input_type.fields] + [
            "a",
            "a.b",
            "update_mask.paths",
            ".",
            "",
        ]
        pairs = [
            f"{self.chance.choice(names)}={quote(str(self.chance.choice(VALUES)), errors='replace')}"
            for _ in range(self.chance.randrange(4))
        ]
        text = "&".join(pairs)
        if self.chance.random() < 0.3:
            at = self.chance.randrange(len(text) + 1)
            text = text[:at] + self.chance.choice(ESCAPES) + text[at:]
        return text

    def parts(self, route: Route) -> list[str]:
        texts = ("a", "1", "%41", "%2F", *ESCAPES)
        return [self.chance.choice(texts) if each in ("*", "**") else each for each in route.segments]


def refusal(transcoder: Transcoder, *asked: Any) -> Failure | None:
    """What is told of a request; None where it is one."""
    try:
        transcoder.request(*asked).SerializeToString()
    except Failure as failure:
        return failure
    return None


def test_garbage_is_refused_by_a_field(figure: Callable[[int, int], int]) -> None:
    spoiler, taken, refused = Spoiler(3), 0, 0
    for _ in range(figure(20, 1_000)):
        for transcoder in TRANSCODERS:
            route = transcoder.route
            body = spoiler.body(route) if route.body else b""
            query = spoiler.query(route) if spoiler.chance.random() < 0.5 else ""
            last = spoiler.chance.choice(("", "", "1", "x", "\x00é"))
            failure = refusal(transcoder, spoiler.parts(route), query, body, last)
            if failure is None:
                taken += 1
            else:
                refused += 1
                assert failure.http == 400
                assert b'"field":""' not in failure.body
    assert min(taken, refused) > 100


TRANSCODERS = [Transcoder(route) for route in (*contract(), *ROUTES)]
