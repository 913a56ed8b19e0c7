"""The host's part of the steps to come, prepared while the device works on the present one."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Feed(Generic[T]):
    """Calls a pure function of the step ahead of time.

    Parameters
    ----------
    prepare
        Returns what a step needs; several threads call it.
    steps
        Number of steps; nothing is prepared beyond.
    ahead
        How many steps are prepared in advance; 0: each when it is asked for.
    """

    def __init__(self, prepare: Callable[[int], T], steps: int, ahead: int) -> None:
        self._prepare, self._steps, self._ahead = prepare, steps, ahead
        self._pool = ThreadPoolExecutor(ahead, "feed") if ahead else None
        self._waiting: dict[int, Future[T]] = {}

    def __call__(self, step: int) -> T:
        """Return what a step needs."""
        if self._pool is None:
            return self._prepare(step)
        for one in range(step, min(step + self._ahead + 1, self._steps)):
            if one not in self._waiting:
                self._waiting[one] = self._pool.submit(self._prepare, one)
        self._waiting = {one: made for one, made in self._waiting.items() if one >= step}
        return self._waiting[step].result()

    def close(self) -> None:
        """End the threads; what they have prepared is forgotten."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._waiting.clear()
