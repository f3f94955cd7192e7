"""Owns the connections to the core: one for calls, and one more for each few hundred streams.

The core takes 1,000 streams on a connection. Those beyond it wait without a word, and calls with them.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from authy_grpc.client.connect import options, tls

_MOST = 500
# Else channels to one target share a connection.
_APART = (("grpc.use_local_subchannel_pool", 1),)


class Channels:
    """What looks like one channel, and is several.

    Args:
        target: where the core listens, such as `127.0.0.1:50051`.
        credentials: for TLS; where None, a loopback target is plaintext and another one TLS.
        insecure: True for plaintext, False for TLS, whatever the target.
        most: how many streams a connection carries.
    """

    def __init__(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None = None,
        *,
        insecure: bool | None = None,
        most: int = _MOST,
    ) -> None:
        self._target = target
        self._credentials = tls(target, credentials, insecure)
        self._most = most
        self._calls = self._connect()
        self._streaming: list[_Streams] = []

    def unary_unary(self, path: str, **coding: Any) -> Any:
        """What makes a call of one answer."""
        return self._calls.unary_unary(path, **coding)

    def unary_stream(self, path: str, **coding: Any) -> Callable[..., Any]:
        """What opens a stream of answers."""

        def call(request: Any, **given: Any) -> Any:
            return self._free().open(path, coding, request, given)

        return call

    @property
    def connections(self) -> int:
        """How many carry streams."""
        return len(self._streaming)

    async def close(self) -> None:
        """End all calls and connections."""
        await asyncio.gather(self._calls.close(), *(each.channel.close() for each in self._streaming))

    def _free(self) -> "_Streams":
        found = next((each for each in self._streaming if each.count < self._most), None)
        if found is None:
            found = _Streams(self._connect())
            self._streaming.append(found)
        return found

    def _connect(self) -> grpc.aio.Channel:
        given = (*options(self._credentials is not None), *_APART)
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._target, options=given)
        return grpc.aio.secure_channel(self._target, self._credentials, options=given)


class _Streams:
    """A connection, and how many streams it carries."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.count = 0
        self._methods: dict[str, Any] = {}

    def open(self, path: str, coding: dict[str, Any], request: Any, given: dict[str, Any]) -> Any:
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = self.channel.unary_stream(path, **coding)
        call = method(request, **given)
        self.count += 1
        call.add_done_callback(self._ended)
        return call

    def _ended(self, _: Any) -> None:
        self.count -= 1
