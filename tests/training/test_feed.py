"""Steps are prepared ahead, in threads, and each is what it would be on its own."""

from __future__ import annotations

import threading

import pytest

from napari_threestage.training.feed import Feed


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_every_step_gets_its_own(ahead: int) -> None:
    feed = Feed(lambda step: step * step, 10, ahead)
    assert [feed(step) for step in range(10)] == [step * step for step in range(10)]
    assert feed(4) == 16  # a step that is made again
    feed.close()


def test_what_comes_next_is_prepared_while_nobody_waits() -> None:
    started = {step: threading.Event() for step in range(5)}
    feed = Feed(lambda step: started[step].set(), 5, 3)
    feed(0)
    assert all(started[step].wait(10) for step in range(4))
    assert not started[4].is_set()
    feed(1)
    assert started[4].wait(10)
    feed.close()


def test_an_error_reaches_who_asks_for_that_step() -> None:
    def fail_at_two(step: int) -> int:
        if step == 2:
            raise ValueError("no such crop")
        return step

    feed = Feed(fail_at_two, 5, 2)
    assert [feed(0), feed(1)] == [0, 1]
    with pytest.raises(ValueError, match="no such crop"):
        feed(2)
    assert feed(3) == 3
    feed.close()
