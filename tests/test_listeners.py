"""A server's listening sockets are closed while what was accepted goes on."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from authy_grpc import listeners


def test_new_connections_are_refused_and_old_ones_go_on() -> None:
    before = listeners.listening()
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        found = listeners.listening() - before
        assert found == {one.fileno(), other.fileno()}
        with socket.create_connection(one.getsockname()) as client:
            accepted, _ = one.accept()
            with accepted:
                listeners.close(frozenset({one.fileno(), client.fileno(), 9999}))
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(one.getsockname())
                client.sendall(b"still")
                assert accepted.recv(5) == b"still"
        socket.create_connection(other.getsockname()).close()
        assert listeners.listening() - before == {other.fileno()}


def test_looking_leaks_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        first = one.fileno()
        for _ in range(50):
            listeners.listening()
        with socket.socket() as after:
            assert after.fileno() < first + 20


def test_two_that_count_at_once_do_not_count_each_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_connection(one.getsockname()):
        accepted, _ = one.accept()
        with accepted, ThreadPoolExecutor(4) as pool:
            assert set(pool.map(listeners.connected, [frozenset({one.fileno()})] * 2_000)) == {1}
