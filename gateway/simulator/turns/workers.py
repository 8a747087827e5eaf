"""The same work on many arguments, on every core: a call on a virtual clock keeps one core busy and needs no other."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

__all__ = ["each", "quiet"]

A = TypeVar("A")
R = TypeVar("R")
NOTHING = logging.CRITICAL + 1


@contextmanager
def quiet() -> Iterator[None]:
    """Hundreds of calls begin and end, and fail on purpose; that is no news."""
    logger = logging.getLogger("gateway")
    level = logger.level
    logger.setLevel(NOTHING)
    try:
        yield
    finally:
        logger.setLevel(level)


def each(work: Callable[[A], R], arguments: Sequence[A], processes: int) -> list[R]:
    """Return the results in order. With more than one process `work` must be a function of a module."""
    if processes <= 1:
        return [work(argument) for argument in arguments]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_silence) as pool:
        return list(pool.map(work, arguments))


def _silence() -> None:
    logging.getLogger("gateway").setLevel(NOTHING)
