"""Connects to where strangers name: only to what was checked, and reads only so many bytes of it."""

import ssl
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

import anyio
import httpcore2

from authy_grpc.outbound.addresses import Addresses, ForbiddenAddress

# A name may have thousands of addresses.
_TRIES = 4
_TRY_SECONDS = 4.0


class TooLarge(Exception):
    """The answer is longer than anyone reads."""


class Metered(httpcore2.AsyncNetworkStream):
    """A connection that gives at most so many bytes between two writes, that is, for one answer.

    Counted here, since an answer is more than its body: interim answers, headers, chunk lengths and trailers.

    Args:
        stream: what is counted.
        limit: bytes.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream, limit: int) -> None:
        self._stream = stream
        self._limit = self._left = limit

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """Some bytes.

        Raises:
            TooLarge: there were enough.
        """
        if not self._left:
            raise TooLarge
        data = await self._stream.read(min(max_bytes, self._left), timeout)
        self._left -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send bytes; what comes from now on is another answer."""
        self._left = self._limit
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """Shake hands.

        Raises:
            ssl.SSLError: the peer did not show who it is.
        """
        try:
            stream = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        except BaseException as error:
            # The library closes it after an error, and not after a cancellation.
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            if isinstance(error.__cause__, ssl.SSLError):
                raise error.__cause__ from None
            raise
        return Metered(stream, self._limit)

    def get_extra_info(self, info: str) -> Any:
        """What is known of the socket."""
        return self._stream.get_extra_info(info)


class Guarded(httpcore2.AsyncNetworkBackend):
    """Connects a pool. Each new connection finds and checks its addresses anew, and goes to one by number.

    Args:
        addresses: tells what may be called.
        limit: bytes of one answer.
    """

    def __init__(self, addresses: Addresses, limit: int) -> None:
        self._addresses = addresses
        self._limit = limit
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to a host.

        Raises:
            ForbiddenAddress: one of its addresses must not be called, or another answered.
            Unresolved: it has none.
            ConnectionRefusedError, httpcore2.ConnectError, httpcore2.ConnectTimeout: nobody answers.
        """
        *others, last = [str(address) for address in (await self._addresses.find(host, port))[:_TRIES]]
        for address in others:
            try:
                return await self._connect(host, address, port, _TRY_SECONDS, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout, ConnectionRefusedError):
                continue
        return await self._connect(host, last, port, timeout, socket_options)

    async def _connect(
        self,
        host: str,
        address: str,
        port: int,
        timeout: float | None,  # noqa: ASYNC109
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            stream = await self._backend.connect_tcp(address, port, timeout, None, socket_options)
        except httpcore2.ConnectError as error:
            # The pool drops causes.
            if refusal := _refusal(error):
                raise refusal from None
            raise
        peer = ip_address(stream.get_extra_info("server_addr")[0])
        allowed = self._addresses.allows(peer) or self._addresses.opens(host, peer)
        if str(peer) != address or not allowed:
            await stream.aclose()
            raise ForbiddenAddress("another address answers")
        return Metered(stream, self._limit)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._backend.sleep(seconds)


def _refusal(error: BaseException | None) -> ConnectionRefusedError | None:
    while error is not None and not isinstance(error, ConnectionRefusedError):
        error = error.__cause__
    return error
