"""Limits what a connection may cost before the application sees a request, and where nobody reads its answer.

Within these bounds the application answers with an error that says what was wrong. Beyond them the connection
is broken off: whoever sends such things learns nothing by an answer.
"""

import asyncio
import re
import resource
import sys
from dataclasses import dataclass, field
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.errors import JSON, no_request
from gateway.peers import Connections

_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
# One peer may have this part of all connections.
_PEERS = 4
# A client that watches and calls has two.
_LEAST_SHARE = 2


def _without_upgrade(data: bytes) -> bytes:
    """Data without the wish for another protocol, which a server may pass over (RFC 9110 section 7.8).

    The parser would take the body for that protocol, and some clients ask for HTTP/2 with every request.
    JSON has no such line, so a body that is in the data stays as it is.
    """
    return _UPGRADE.sub(b"\r\nx-upgra:", data) if b"pgrade" in data or b"PGRADE" in data else data


def most_connections(*, beside_grpc: bool = False) -> int:
    """How many connections the descriptors allow: a quarter is for the database, for posts and for names.

    Args:
        beside_grpc: whether a gRPC server in this process takes half of the rest.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return soft * 3 // (8 if beside_grpc else 4)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What breaks a connection off, or slows it down.

    Attributes:
        connections: more at a time.
        per_peer: more at a time of one address, but a trusted proxy's; 0: a quarter of all.
        head: bytes of a head without its end: far beyond what the application refuses.
        headers: more of them are not kept, since each costs, however short it is.
        body: more bytes of one, most of which nobody reads.
        pieces: more pieces of a body: chunks of a byte cost a hundred times what they weigh.
        head_seconds: without a whole head, from the first byte or from the beginning.
        handshake_seconds: that TLS takes, before.
        pipelined: more requests ahead of their answers.
        read_seconds: with more unread than the transport keeps.
        unread_seconds: that a body waits which was answered before it had come, and is thrown away.
        keep_alive_seconds: without another request: longer than load balancers keep theirs (60 s).
    """

    connections: int = field(default_factory=most_connections)
    per_peer: int = 0
    head: int = 64 * 1024
    headers: int = 200
    body: int = 1024 * 1024
    pieces: int = 8192
    head_seconds: float = 10.0
    handshake_seconds: float = 10.0
    pipelined: int = 8
    read_seconds: float = 60.0
    unread_seconds: float = 0.25
    keep_alive_seconds: float = 75.0

    @property
    def share(self) -> int:
        """How many connections one peer may have."""
        return self.per_peer or max(_LEAST_SHARE, self.connections // _PEERS)


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn has it, with bounds on heads, on requests ahead of their answers, on silence.

    Args:
        bounds: these.
        counted: the connections of the whole server.
        peer: as whose the connection was counted before; None where it was not.
        **given: by uvicorn.
    """

    def __init__(
        self, bounds: Bounds, counted: Connections, *, peer: str | None = None, **given: Any
    ) -> None:
        super().__init__(**given)
        self._bounds = bounds
        self._counted = counted
        self._peer = peer
        self.timeout_keep_alive = bounds.keep_alive_seconds  # type: ignore[assignment]  # a float will do
        # Bytes of a head that has not come to its end.
        self._head = 0
        self._in_head = True
        self._body = self._pieces = 0
        self._awaited: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # so in uvicorn
        """A connection has come: one too many is broken off."""
        super().connection_made(transport)
        if self._peer is None:
            self._peer = self._counted.enter(self.client[0] if self.client else "")
        if self._peer is None:
            transport.abort()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended: nothing is waited for."""
        self.leave()
        self._head_is_here()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Something has come: what is no request after a while, or after much, breaks it off."""
        if not self._answering:
            self._await_head()
        self._head += len(data)
        super().data_received(_without_upgrade(data) if self._in_head else data)
        if self._in_head and self._head > self._bounds.head:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._body = self._pieces = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One more header of it: of too many the application sees that there are, and no more."""
        if len(self.headers) <= self._bounds.headers:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """One more piece of its body."""
        self._body += len(body)
        self._pieces += 1
        if self._body > self._bounds.body or self._pieces > self._bounds.pieces:
            self._stop("too much of a body")
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """Its head is here: it is answered, or waits for those before it."""
        self._in_head, self._head = False, 0
        self._head_is_here()
        super().on_headers_complete()
        if len(self.pipeline) > self._bounds.pipelined:
            self._stop("too many requests ahead of their answers")

    def on_message_complete(self) -> None:
        """Its body is here, too: another request may follow."""
        super().on_message_complete()
        # Of one that was answered before its body had come, the rest was waited for.
        self._head_is_here()
        self._in_head, self._head = True, 0

    def on_response_complete(self) -> None:
        """It has been answered. What is left of its body is thrown away, and not as fast as it may come."""
        super().on_response_complete()
        if not self._in_head and not self.transport.is_closing():
            self.flow.pause_reading()
            self.loop.call_later(self._bounds.unread_seconds, self._throw_away)

    def _throw_away(self) -> None:
        if not self.transport.is_closing():
            self.flow.resume_reading()

    def _unsupported_upgrade_warning(self) -> None:
        """Called where another protocol is asked for in a way that was overlooked: the body is lost."""
        self.cycle.disconnected = True
        self.send_400_response("")

    def send_400_response(self, msg: str) -> None:
        """Called where a request cannot be read, or was broken off."""
        if self.transport.is_closing():
            return
        failure = no_request()
        lines = [b"HTTP/1.1 400 Bad Request", b"content-type: " + JSON, b"cache-control: no-store"]
        lines += [name + b": " + value for name, value in failure.all_headers()]
        lines.append(b"content-length: %d" % len(failure.body))
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + failure.body)
        self.transport.close()

    def pause_writing(self) -> None:
        """The peer leaves much unread."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self._bounds.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def leave(self) -> None:
        """Take the connection off the count, once."""
        if self._peer is not None:
            self._counted.leave(self._peer)
            self._peer = None

    @property
    def _answering(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _stop(self, why: str) -> None:
        self.transport.abort()
        raise httptools.HttpParserError(why)

    def _await_head(self) -> None:
        if self._awaited is None:
            self._awaited = self.loop.call_later(self._bounds.head_seconds, self._break_off)

    def _head_is_here(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _break_off(self) -> None:
        self._awaited = None
        self.transport.abort()
