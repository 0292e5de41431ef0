"""Storage in memory. Several may share one `network`, like nodes that are connected."""

from __future__ import annotations

from dlbc.core.cid import locator_of, to_cid
from dlbc.core.errors import Garbled, StorageUnreachable, Unavailable
from dlbc.core.types import Locator


class MemoryStorage:
    """ports.Storage, with what can go wrong: bytes that are lost or replaced, a node that is down."""

    def __init__(self, network: dict[Locator, bytes] | None = None) -> None:
        self.network = {} if network is None else network
        self.pins: set[Locator] = set()
        self.held: set[Locator] = set()
        self.is_down = False

    def add(self, data: bytes) -> Locator:
        self._answer()
        locator = locator_of(data)
        self.network[locator] = data
        self.pins.add(locator)
        self.held.add(locator)
        return locator

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        self._answer()
        if locator not in self.network:
            raise Unavailable(f"nobody served {to_cid(locator)} within {timeout:g} s")
        data = self.network[locator]
        if len(data) > max_bytes:
            raise Garbled(f"{to_cid(locator)} has more than the {max_bytes} bytes allowed")
        if locator_of(data) != locator:
            raise Garbled(f"{len(data)} bytes for {to_cid(locator)} hash to {to_cid(locator_of(data))}")
        return data

    def pin(self, locator: Locator, timeout: float = 60.0) -> None:
        self._answer()
        if locator not in self.network:
            raise Unavailable(f"nobody served {to_cid(locator)} within {timeout:g} s, so it could not be pinned")
        self.pins.add(locator)
        self.held.add(locator)

    def is_pinned(self, locator: Locator) -> bool:
        self._answer()
        return locator in self.pins

    def unpin(self, locator: Locator) -> None:
        self._answer()
        self.pins.discard(locator)

    def collect(self) -> int:
        """Takes the bytes from the whole network: as if nobody else had them."""
        self._answer()
        freed = [self.network.pop(locator, b"") for locator in self.held - self.pins]
        self.held &= self.pins
        return sum(len(data) for data in freed)

    def version(self) -> str:
        self._answer()
        return "memory"

    # -- what tests do to it

    def lose(self, locator: Locator) -> None:
        """Nobody has these bytes any more."""
        del self.network[locator]

    def replace(self, locator: Locator, data: bytes) -> None:
        """The network lies about these bytes."""
        self.network[locator] = data

    def _answer(self) -> None:
        if self.is_down:
            raise StorageUnreachable("no IPFS node answers (a test took it down)")
