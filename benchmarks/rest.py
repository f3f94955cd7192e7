"""Measures REST: VerifyCode through a gateway, beside the same over gRPC and a route that does nothing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.calls import Calls
from benchmarks.control import Target
from benchmarks.gateways import EMPTY_PATH, HOP, NOTHING, UP
from benchmarks.load import Call, Case, Total, turns
from benchmarks.seed import PERIOD
from benchmarks.web import Connections, head


@dataclass(frozen=True)
class Asked:
    """VerifyCode on one way, and what was measured beside it."""

    name: str
    at_once: int
    total: Total
    grpc: Total
    nothing: Total

    def as_json(self) -> dict[str, object]:
        """For machines."""
        total = self.total
        return {
            "name": self.name,
            "at_once": self.at_once,
            "calls": len(total.latencies),
            "rate": total.rate,
            "of_grpc": total.rate / self.grpc.rate,
            "of_nothing": total.rate / self.nothing.rate,
            "p50_ms": total.percentile(0.5),
            "p99_ms": total.percentile(0.99),
            "server_cpu_us": total.cpu,
            "server_cpu_of_grpc": total.cpu / self.grpc.cpu,
            "server_busy": total.server / total.seconds,
            "generator_busy": total.generator / total.seconds,
        }


async def rest(target: Target, seconds: float) -> list[Asked]:
    """Measure the ways to VerifyCode, which take turns.

    Args:
        target: a server with its gateways.
        seconds: for each way, one call at a time, and again for 64, each on a connection of its own.
    """
    calls, asking = Calls(target, phones=0), Asking(target)
    cases: dict[str, Case] = {
        "REST, `up`": partial(asking.accepted, UP),
        "REST, over gRPC": partial(asking.accepted, HOP),
        "gRPC": calls.accepted,
        "empty route": asking.nothing,
    }
    found = list[Asked]()
    for at_once, batch in ((1, 64), (64, 512)):
        totals = await turns(target, [(each, batch) for each in cases.values()], at_once, seconds)
        grpc, nothing = totals[2:]
        found += [Asked(name, at_once, each, grpc, nothing) for name, each in zip(cases, totals, strict=True)]
    asking.close()
    return found


class Asking:
    """The requests of a site."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._headers = dict(target.metadata) | {"content-type": "application/json"}
        self._to = {name: Connections(target.addresses[name]) for name in (UP, HOP, NOTHING)}
        self._number = 0

    def close(self) -> None:
        """Hang up."""
        for each in self._to.values():
            each.close()

    async def accepted(self, way: str, count: int) -> Sequence[Call]:
        """VerifyCode with the right soft token of as many users, each in a step of its own."""
        now = (await self._target.stand(turn=PERIOD)).now
        return [
            partial(
                self._verify, way, self._request(f"/v1/users/{person.authy_id}:verifyCode", person.code(now))
            )
            for person in self._target.persons[:count]
            if not person.repeats(now)
        ]

    async def nothing(self, count: int) -> Sequence[Call]:
        """The same request to a route that does nothing."""
        return [partial(self._to[NOTHING].ask, self._request(EMPTY_PATH, "123456")) for _ in range(count)]

    async def _verify(self, way: str, request: bytes) -> None:
        answer = await self._to[way].ask(request)
        if b'"CODE_RESULT_ACCEPTED"' not in answer:
            raise RuntimeError(f"the gateway answered {answer.decode()}")

    def _request(self, path: str, code: str) -> bytes:
        self._number += 1
        body = json.dumps({"code": code, "requestId": f"rest-{self._number}"}).encode()
        return head("POST", path, self._headers, len(body)) + body
