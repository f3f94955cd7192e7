"""Limits what callers without a credential hold at once (concurrency limit), in all and for one network."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address

from authy_grpc.domain.networks import subscriber


class _Place:
    """A place that is held, by a network, and what takes it away."""

    __slots__ = ("end", "network")

    def __init__(self, network: str, end: Callable[[], None]) -> None:
        self.network = network
        self.end = end


class Places:
    """Places for callers whom nobody knows.

    Args:
        most: how many there are.
        most_of_one: how many of them one network may hold: an IPv4 address, or an IPv6 /64.
        refuse: makes what is raised for who gets none.
    """

    def __init__(self, most: int, most_of_one: int, refuse: Callable[[], Exception]) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._refuse = refuse
        self._places: dict[_Place, None] = {}  # oldest first
        self._held = Counter[str]()

    @contextmanager
    def hold(self, address: str, end: Callable[[], None]) -> Iterator[None]:
        """Hold a place. Where none is left, whoever holds the most gives up its oldest.

        So a few addresses shut nobody out.

        Args:
            address: the caller's, without a port.
            end: called where the place has to be given up.

        Raises:
            What `refuse` makes: the caller's network holds as many as it may.
        """
        network = _network(address)
        if self._held[network] >= self._most_of_one:
            raise self._refuse()
        if len(self._places) >= self._most:
            self._take_back()
        place = _Place(network, end)
        self._places[place] = None
        self._held[network] += 1
        try:
            yield
        finally:
            self._leave(place)

    def _take_back(self) -> None:
        most, _ = self._held.most_common(1)[0]
        oldest = next(place for place in self._places if place.network == most)
        self._leave(oldest)
        oldest.end()

    def _leave(self, place: _Place) -> None:
        if place in self._places:
            del self._places[place]
            self._held[place.network] -= 1
            if not self._held[place.network]:
                del self._held[place.network]


def _network(address: str) -> str:
    """What counts as one caller; text that is no address (`unix`, `unreadable`) counts as it is."""
    with suppress(ValueError):
        return str(subscriber(ip_address(address)))
    return address
