"""Asks the core whether a credential may make a call, before the body is read that came with it."""

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import grpc

from authy_grpc.v1.credential_pb2 import CheckRequest, CheckResponse
from gateway.errors import Failure

_METHOD = "/authy_grpc.v1.CredentialService/Check"
_SECONDS = 5.0
# How long a credential is known to be good. The call judges it anew, whatever is remembered here.
_KEPT = 1.0
_REMEMBERED = 10_000


class Credentials:
    """Credentials that were found good for a call a moment ago.

    Args:
        channel: to the core.
        gateway_key: opens CredentialService; empty: nothing is asked, and every body is read.
        clock: seconds that only grow.
    """

    def __init__(self, channel: Any, gateway_key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._check = channel.unary_unary(
            _METHOD,
            request_serializer=CheckRequest.SerializeToString,
            response_deserializer=CheckResponse.FromString,
        )
        self._metadata = (("authorization", f"Bearer {gateway_key}"),) if gateway_key else ()
        self._clock = clock
        self._good: dict[tuple[bytes, str], float] = {}

    async def check(self, method: str, authorization: str) -> bool:
        """Ask whether a call would be refused for its credential.

        Where that cannot be told (a core that is out of reach, or older than CredentialService), nothing is
        raised: the call itself will be answered.

        Args:
            method: the call's path in gRPC.
            authorization: the header; empty where there is none.

        Returns:
            Whether it is known that it would not.

        Raises:
            Failure: it would.
        """
        if not self._metadata:
            return False
        name, now = (sha256(authorization.encode()).digest(), method), self._clock()
        if self._good.get(name, 0.0) > now:
            return True
        request = CheckRequest(method=method, credential=authorization)
        try:
            answer = await self._check(request, metadata=self._metadata, timeout=_SECONDS)
        except grpc.RpcError:
            return False
        if answer.HasField("refusal"):
            raise Failure(answer.refusal)
        if len(self._good) >= _REMEMBERED:
            self._good.clear()
        self._good[name] = now + _KEPT
        return True
