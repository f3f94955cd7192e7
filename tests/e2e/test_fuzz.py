"""Whatever is sent, no method answers INTERNAL or UNKNOWN, and the service goes on."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from random import Random

import grpc
import pytest
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from authy_grpc.v1.credential_pb2 import CheckRequest
from authy_grpc.v1.verification_pb2 import CodeResult, VerifyCodeRequest
from tests.e2e.breaking import Breaking, Broken, broken
from tests.e2e.judging import HEALTH, LIMIT, REFLECTION, Answer, Judge, all_paths, flaw
from tests.e2e.methods import REQUESTS, UNBUILT, path, streams
from tests.e2e.rehearsing import PROVEN, Ready, kinds
from tests.e2e.staging import LAST, Stage
from tests.fuzzing import Fuzz
from tests.garbling import Attempt, Metadata, garbage
from tests.harness import Service

SEED = 20_240_229
ROUND = 1000
# Of a round, the part for what ends that by which others call.
_LAST = 100
_LAST_PATHS = [path(name) for name in LAST]
_FOREIGN: dict[str, list[Message]] = {
    f"{HEALTH}Check": [health_pb2.HealthCheckRequest(service="authy_grpc.v1.UserService")],
    f"{HEALTH}Watch": [health_pb2.HealthCheckRequest(service="authy_grpc.v1.UserService")],
    f"{HEALTH}List": [health_pb2.HealthCheckRequest()],
    REFLECTION: [
        reflection_pb2.ServerReflectionRequest(list_services="*"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="authy_grpc.v1.UserService"),
        reflection_pb2.ServerReflectionRequest(file_by_filename="authy_grpc/v1/user.proto"),
        reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type="google.protobuf.FieldOptions"),
        reflection_pb2.ServerReflectionRequest(
            file_containing_extension=reflection_pb2.ExtensionRequest(
                containing_type="google.protobuf.MethodOptions", extension_number=72295728
            )
        ),
    ],
}


class Round:
    """A stage, and spoiled calls on it.

    Args:
        service: the service.
        channel: to it.
        number: of the round.
        paths: of all methods.
        chance: by which all is chosen.
    """

    def __init__(
        self, service: Service, channel: grpc.aio.Channel, number: int, paths: list[str], chance: Random
    ) -> None:
        self._service = service
        self._stage = Stage(service, channel, number)
        self._paths = paths
        self._chance = chance

    async def prepare(self) -> None:
        """Set the stage anew."""
        # So that limits by the hour, and sessions, begin anew.
        self._service.clock.turn(hours=1, minutes=1)
        await self._service.due()
        self._service.carrier.texts.clear()
        await self._stage.build()
        self.ready = self._stage.ready
        values = self._stage.values
        values["page_token"] = values["next_page_token"]
        self._fuzz = Fuzz(self._chance, values)
        self._good: dict[str, list[Ready]] = {each: [] for each in self._paths}
        for each in [*self.ready, *self._stage.made, *self._foreign()]:
            self._good[each.path].append(each)
        self._requests = [each.request for good in self._good.values() for each in good]
        self._credentials = sorted(
            {each.credential for each in self.ready} | {self._service.secrets.gateway_key}
        )

    def _foreign(self) -> Iterator[Ready]:
        for name, requests in _FOREIGN.items():
            yield from (Ready(name, each.SerializeToString(), "") for each in requests)
        asked = CheckRequest(
            method=path("UserService/GetUser"), credential=f"Bearer {self._stage.device_token}"
        )
        yield Ready(
            path("CredentialService/Check"), asked.SerializeToString(), self._service.secrets.gateway_key
        )
        for each in UNBUILT:
            yield Ready(path(each), b"", self._stage.device_token)

    def attempts(self, paths: list[str], count: int) -> Iterator[Attempt]:
        """Spoiled calls of these methods."""
        for _ in range(count):
            good = self._chance.choice(self._good[self._chance.choice(paths)])
            kind = kinds(good.path)[0]
            request = self._fuzz.spoil(kind.FromString(good.request), self._requests)
            if self._chance.random() < 0.8:
                request = self._signed(good.path, request)
            if self._chance.random() < 0.0005:
                request += b"\x7a" + bytes(LIMIT)
            metadata = self.metadata(good)
            if self._chance.random() < 0.05:
                metadata = garbage(self._chance, metadata, self._credentials)
            yield Attempt(good.path, request, metadata)

    def as_they_are(self, ready: Iterable[Ready]) -> Iterator[Attempt]:
        """Good calls."""
        for each in ready:
            yield Attempt(each.path, self._signed(each.path, each.request), self.metadata(each))

    def _signed(self, name: str, request: bytes) -> bytes:
        """With a proof that is right and newer than all others, where one belongs there."""
        if name not in PROVEN:
            return request
        try:
            message = kinds(name)[0].FromString(request)
        except DecodeError:
            return request
        self._stage.sign(name, message)
        return message.SerializeToString()

    def metadata(self, ready: Ready) -> Metadata:
        """What belongs to a call: a credential, or an address of one's own, since each has its limits."""
        if ready.credential:
            return (("authorization", f"Bearer {ready.credential}"),)
        peer = f"2001:db8::{self._chance.getrandbits(16):x}"
        return (("x-authy-peer", peer), ("x-authy-gateway", self._service.secrets.gateway_key))

    async def play(self, judge: Judge, count: int, *, in_order: bool) -> None:
        """Make so many spoiled calls, and good ones: at first, or in the midst of the others."""
        last = [each for each in self.ready if each.path in _LAST_PATHS]
        once = [each for each in self.ready if each not in last]
        paths = [each for each in self._paths if each not in _LAST_PATHS]
        whole = [each for name in paths for each in self._good[name]]
        self._chance.shuffle(whole)
        if in_order:
            await judge.try_all(self.as_they_are(once), at_once=1)
        await judge.try_all(chain.from_iterable(self._mixed(paths, whole, count - _LAST)))
        if in_order:
            await judge.try_all(self.as_they_are(last), at_once=1)
        for each in last:
            await judge.try_all(self.attempts([each.path], _LAST // len(last)))
            await judge.try_all(self.as_they_are([each]))

    def _mixed(self, paths: list[str], whole: list[Ready], count: int) -> Iterator[Iterator[Attempt]]:
        share = count // len(whole)
        for each in whole:
            yield self.attempts(paths, share)
            yield self.as_they_are([each])
        yield self.attempts(paths, count - share * len(whole))


def errors_in(service: Service) -> list[str]:
    """What was logged at error or worse."""
    lines = [json.loads(line) for line in service.log.getvalue().splitlines()]
    return [json.dumps(line) for line in lines if line["level"] not in ("debug", "info") or "errors" in line]


def hung_up(record: logging.LogRecord) -> bool:
    """Whether reflection, which is grpc's own, was sending something when its peer hung up."""
    text = record.getMessage()
    return text.startswith("ExecuteBatchError raised") and "/grpc.reflection." in text


async def test_no_request_is_answered_internal_or_unknown(
    service: Service, figure: Callable[[int, int], int], caplog: pytest.LogCaptureFixture
) -> None:
    paths, chance, judge = await all_paths(service), Random(SEED), Judge(service.channel())
    assert {name.removeprefix("/authy_grpc.v1.") for name in paths} == {*REQUESTS, *UNBUILT, *_FOREIGN}
    for number in range(figure(3_000, 500_000) // ROUND):
        one = Round(service, judge.channel, number, paths, chance)
        await one.prepare()
        await one.play(judge, ROUND, in_order=number == 0)
        assert not judge.found(), f"seed {SEED}, round {number}\n{judge.found()}\n" + "\n".join(
            errors_in(service)[:5]
        )
        assert not errors_in(service), f"seed {SEED}, round {number}"
        service.log.seek(0)
        service.log.truncate()
    assert not [
        record for record in caplog.records if record.levelno >= logging.WARNING and not hung_up(record)
    ]
    # In the contract, and not built yet; all others were good once.
    assert set(paths) - judge.ever_ok == {path(name) for name in UNBUILT}
    good = sum(count for (_, code, _), count in judge.answers.items() if code == "OK")
    assert good > judge.answers.total() / 10
    await usual(service)


async def usual(service: Service) -> None:
    """The service does what it is for."""
    service.clock.turn(hours=2)
    site, phone = await service.site(), await service.phone("+4915199999999")
    enrollment, linked = await service.enroll(site, phone)
    request = VerifyCodeRequest(authy_id=enrollment.authy_id, code=await phone.code(linked))
    answer = await site.client.verification.VerifyCode(request)
    assert answer.result == CodeResult.CODE_RESULT_ACCEPTED


async def test_a_method_that_fails_is_noticed(service: Service) -> None:
    """By the same judge, of the same calls."""
    paths, chance = await all_paths(service), Random(SEED)
    one = Round(service, service.channel(), 0, paths, chance)
    await one.prepare()
    assert not errors_in(service)
    ours = sorted(path(name) for name in REQUESTS)
    watching = sorted(path(name) for name in REQUESTS if streams(name))
    for stand_in, names in ((Broken(), ours), (Breaking(), watching)):
        judge = Judge(service.channel())
        with broken(service, stand_in):
            await judge.try_all(one.attempts(names, 20 * len(names)))
        wrong = {(attempt.path, why) for why, attempt in judge.flaws}
        assert wrong == {(name, "INTERNAL INTERNAL") for name in names}
        assert all(name in judge.found() for name in names)
    assert len(errors_in(service)) >= len(ours)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (REFLECTION, Answer("UNKNOWN")),
        ("UserService/GetUser", Answer("UNKNOWN")),
        ("UserService/GetUser", Answer("INTERNAL", "INTERNAL")),
        ("UserService/GetUser", Answer("INVALID_ARGUMENT")),
        ("UserService/GetUser", Answer("NOT_FOUND", "BAD_FIELD")),
        ("UserService/GetUser", Answer("UNAVAILABLE", "BACKEND")),
        ("UserService/GetUser", Answer("UNAVAILABLE")),
        ("UserService/GetUser", Answer("DEADLINE_EXCEEDED")),
        ("UserService/GetUser", Answer("RESOURCE_EXHAUSTED")),
        ("UserService/GetUser", Answer("UNIMPLEMENTED")),
    ],
)
def test_an_answer_that_must_not_be(name: str, answer: Answer) -> None:
    assert flaw(Attempt(name if name == REFLECTION else path(name)), answer)


def test_an_answer_that_may_be() -> None:
    attempt = Attempt(path("UserService/GetUser"))
    assert not flaw(attempt, Answer("OK"))
    assert not flaw(attempt, Answer("NOT_FOUND", "NOT_FOUND"))
    large = Attempt(attempt.path, bytes(LIMIT + 1))
    assert not flaw(large, Answer("RESOURCE_EXHAUSTED"))
