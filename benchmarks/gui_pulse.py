"""Measures stalls of the event loop, and does what a person does meanwhile."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QListView

TICK_MS = 5
LONG_MS = 50  # from here on a person feels it


class Pulse:
    """Measures by how much the ticks of a timer come late."""

    def __init__(self) -> None:
        self._late: list[float] = []
        self._last = 0.0
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def _tick(self) -> None:
        now = time.perf_counter()
        self._late.append(1000 * (now - self._last) - TICK_MS)
        self._last = now

    def measure(
        self, seconds: float, act: Callable[[], object] = lambda: None, every: float = 0.5
    ) -> dict[str, float]:
        """Return median, 99th percentile and longest stall in ms, and how many were long."""
        self._late = []
        self._last = time.perf_counter()
        self._timer.start(TICK_MS)
        end, due = self._last + seconds, self._last
        while time.perf_counter() < end:
            QApplication.processEvents()
            if time.perf_counter() > due:
                act()
                due += every
            time.sleep(0.0005)
        self._timer.stop()
        late = np.maximum(self._late, 0)
        return {
            "median_ms": float(np.median(late)),
            "p99_ms": float(np.percentile(late, 99)),
            "longest_ms": float(late.max()),
            "long": int((late > LONG_MS).sum()),
        }


class Switcher:
    """Shows the next image each time it is called, and after the last the first."""

    def __init__(self, bench: Any) -> None:
        self._session, self._order, self._place = bench.session, list(bench.session.order), 0

    def __call__(self) -> None:
        self._place = (self._place + 1) % len(self._order)
        self._session.show(self._order[self._place])

    def wait(self) -> None:
        """Wait until the image is there that was asked for last."""
        pump(lambda: self._session.image_id == self._order[self._place], 60)


def painter(layer: Any) -> Callable[[], None]:
    """Paint a dab somewhere, in the middle of an image of any size."""
    layer.mode = "paint"
    side = layer.data.shape[-1]
    places = iter(np.random.default_rng(0).uniform(0.2 * side, 0.8 * side, (100_000, 2)))
    return lambda: layer.paint(next(places), 1)


def jumper(view: QListView) -> Callable[[], None]:
    """Drag the bar of a list to another place."""

    def act() -> None:
        bar = view.verticalScrollBar()
        bar.setValue((bar.value() + bar.maximum() // 7) % max(1, bar.maximum()))

    return act


def roller(view: QListView) -> Callable[[], None]:
    """Scroll a list by a row or so."""

    def act() -> None:
        bar = view.verticalScrollBar()
        bar.setValue((bar.value() + 60) % max(1, bar.maximum()))

    return act


def time_frames(
    viewer: Any,
    act: Callable[[], object],
    count: int,
    wait: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Return how long it takes from an act to the first frame after it took effect."""
    drawn: list[float] = []
    canvas = viewer.window._qt_viewer.canvas._scene_canvas

    def note(event: Any) -> None:
        drawn.append(time.perf_counter())

    canvas.events.draw.connect(note)
    times = []
    for _ in range(count):
        QTest.qWait(300)  # neighbours are read ahead, as while a person looks
        begun = time.perf_counter()
        act()
        wait()
        drawn.clear()
        pump(lambda: bool(drawn), 60)
        times.append(1000 * (drawn[0] - begun))
    canvas.events.draw.disconnect(note)
    return {"median": float(np.median(times)), "longest": float(max(times))}


def pump(condition: Callable[[], bool], seconds: float) -> None:
    end = time.perf_counter() + seconds
    while not condition():
        QApplication.processEvents()
        time.sleep(0.001)
        assert time.perf_counter() < end, "waited too long"
