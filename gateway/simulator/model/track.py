"""The input audio buffer: as it is heard and, in any format but mu-law, as it came."""

from gateway.simulator.model.formats import Arrived, Encoding

__all__ = ["Track"]


class Track:
    """Sizes and positions are of mu-law, whatever came."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.mulaw = bytearray()
        self._wire: bytearray | None = self._kept()

    def __len__(self) -> int:
        return len(self.mulaw)

    def add(self, arrived: Arrived) -> None:
        self.mulaw += arrived.mulaw
        if self._wire is not None:
            self._wire += arrived.wire

    def head(self, size: int) -> Arrived:
        """Return the first `size` bytes, and what came as them."""
        mulaw = bytes(self.mulaw[:size])
        return Arrived(mulaw, mulaw if self._wire is None else bytes(self._wire[: size * self.encoding.scale]))

    def drop(self, size: int) -> None:
        """Forget the first `size` bytes."""
        del self.mulaw[:size]
        if self._wire is not None:
            del self._wire[: size * self.encoding.scale]

    def recode(self, encoding: Encoding) -> None:
        """Take another format from now on; what waits is converted, so that a turn is always in one format."""
        if encoding is not self.encoding:
            self.encoding = encoding
            self._wire = self._kept()

    def _kept(self) -> bytearray | None:
        return None if self.encoding is Encoding.PCMU else bytearray(self.encoding.from_mulaw(bytes(self.mulaw)))
