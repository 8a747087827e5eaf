"""A list that keeps its beginning and its end when it grows beyond a size: what is left out is the middle."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from gateway.deliveries.events import dumps

__all__ = ["HeadAndTail"]

T = TypeVar("T")


class HeadAndTail(Generic[T]):
    """Half of `most_bytes` goes to the first values, half to the newest."""

    def __init__(self, most_bytes: int) -> None:
        self.omitted = 0
        self.head: list[T] = []
        self.tail: deque[tuple[T, int]] = deque()
        self._half = most_bytes // 2
        self._head_bytes = 0
        self._tail_bytes = 0

    def add(self, value: T, shown: object) -> None:
        """Keep a value, of the size of what is shown of it."""
        size = len(dumps(shown).encode()) + 1
        if not self.tail and not self.omitted and self._head_bytes + size <= self._half:
            self.head.append(value)
            self._head_bytes += size
            return
        self.tail.append((value, size))
        self._tail_bytes += size
        while self._tail_bytes > self._half:
            self._tail_bytes -= self.tail.popleft()[1]
            self.omitted += 1

    def __iter__(self) -> Iterator[T]:
        yield from self.head
        for value, _ in self.tail:
            yield value
