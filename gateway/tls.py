"""Accepts connections by TLS: they are counted before their handshakes, which have an end.

A server of asyncio's that is given a certificate tells a protocol of a connection after its handshake, so
nothing would count those whose handshake never ends.
"""

import asyncio
import socket
from collections.abc import Callable

from authy_grpc.client.renewal import Renewal
from gateway.certificate import Shown
from gateway.peers import Connections
from gateway.protocol import Protocol

# How long a peer may take to say that it has seen the end.
_SHUTDOWN_SECONDS = 5.0
# As asyncio waits where descriptors have run out.
_PAUSE_SECONDS = 1.0


class TlsListener:
    """Accepts on a socket until it is closed.

    Args:
        shown: what connections are shown.
        counted: the connections of the whole server.
        seconds: that a handshake may take.
        listening: the socket.
        make: makes a protocol, told as whose its connection was counted.
    """

    def __init__(
        self,
        shown: Renewal[Shown],
        counted: Connections,
        seconds: float,
        listening: socket.socket,
        make: Callable[[str], Protocol],
    ) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._shown = shown
        self._counted = counted
        self._make = make
        self._seconds = seconds
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.get_running_loop().create_task(self._accept(), name="authy-https")

    def close(self) -> None:
        """Accept no more, and break off handshakes: they have no answer to wait for."""
        for task in (self._accepting, *self._handshakes):
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until nothing is under way."""
        await asyncio.gather(self._accepting, *self._handshakes, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(self._listening)
            except ConnectionError:
                # It has gone while it waited.
                continue
            except OSError:
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            peer = self._counted.enter(address[0])
            if peer is None:
                accepted.close()
                continue
            task = loop.create_task(self._shake(accepted, peer))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _shake(self, accepted: socket.socket, peer: str) -> None:
        protocol = self._make(peer)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=self._shown.look().context,
                ssl_handshake_timeout=self._seconds,
                ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
            )
        except OSError:
            # No TLS, none that both speak, a peer that does not take the certificate, or silence.
            protocol.leave()
        except BaseException:
            # A place that is not given back is lost until the server ends.
            protocol.leave()
            raise
