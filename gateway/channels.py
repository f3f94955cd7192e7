"""Keeps the connections to the core: a channel for calls, and one more for each few hundred streams.

The core takes 600 streams on a connection. Calls never stand behind streams.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from authy_grpc.client.connect import road

_MOST = 500
# The core ends a stream that is older.
_STREAM_SECONDS = 34 * 60.0
# Else channels to one target share a connection.
_APART = (("grpc.use_local_subchannel_pool", 1),)


class Channels:
    """What looks like one channel, and is several.

    Args:
        target: where the core listens, such as `127.0.0.1:50051`.
        credentials: for TLS; where None, the target and the certificates of the environment settle it.
        insecure: True for plaintext, False for TLS; where None, as the target says.
        most: how many streams a channel carries.
        log: takes a line when certificates were read anew.

    Raises:
        ValueError: the target cannot be read, or a certificate cannot be used.
    """

    def __init__(
        self,
        target: str,
        credentials: grpc.ChannelCredentials | None = None,
        *,
        insecure: bool | None = None,
        most: int = _MOST,
        log: Any = None,
    ) -> None:
        self.road = road(target, credentials, insecure)
        if self.road.renewal is not None:
            self.road.renewal.log = log
        self._most = most
        self._trust = self.road.trust
        self._calls = _Calls(self._connect())
        self._streaming: list[_Streams] = []
        # Connections by certificates that were renewed: they go on until their calls have ended.
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def target(self) -> str:
        """Where the core listens."""
        return str(self.road.target)

    def renew(self) -> None:
        """Read the certificates anew, for the connections that come from now on."""
        if self.road.renewal is not None:
            self.road.renewal.renew()

    def unary_unary(self, path: str, **coding: Any) -> Callable[..., Any]:
        """What makes a call of one answer."""

        def call(request: Any, **given: Any) -> Any:
            self._turn()
            return self._calls.open(path, coding, request, given)

        return call

    def unary_stream(self, path: str, **coding: Any) -> Callable[..., Any]:
        """What opens a stream of answers."""

        def call(request: Any, **given: Any) -> Any:
            self._turn()
            return self._free().open(path, coding, request, given)

        return call

    @property
    def connections(self) -> int:
        """How many carry streams."""
        return len(self._streaming)

    async def close(self) -> None:
        """End all calls and connections."""
        for task in self._ending:
            task.cancel()
        await asyncio.gather(self._calls.channel.close(), *(each.channel.close() for each in self._streaming))

    def _turn(self) -> None:
        """Connect anew where the certificates have changed."""
        trust = self.road.trust
        if trust is self._trust:
            return
        self._trust = trust
        for channel in (self._calls.channel, *(each.channel for each in self._streaming)):
            task = asyncio.get_running_loop().create_task(channel.close(_STREAM_SECONDS))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        self._calls, self._streaming = _Calls(self._connect()), []

    def _free(self) -> "_Streams":
        found = next((each for each in self._streaming if each.count < self._most), None)
        if found is None:
            found = _Streams(self._connect())
            self._streaming.append(found)
        return found

    def _connect(self) -> grpc.aio.Channel:
        return self.road.aio_channel(*_APART)


class _Calls:
    """A connection for calls of one answer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self._methods: dict[str, Any] = {}

    def open(self, path: str, coding: dict[str, Any], request: Any, given: dict[str, Any]) -> Any:
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = self.channel.unary_unary(path, **coding)
        return method(request, **given)


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
