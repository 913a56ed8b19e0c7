"""Qt objects that listen to signals of the session, which outlives them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive

if TYPE_CHECKING:
    from collections.abc import Callable

    from psygnal import SignalInstance
    from qtpy.QtCore import QObject


def listen(owner: QObject, *pairs: tuple[SignalInstance, Callable[..., Any]]) -> None:
    """Connect signals to methods of a Qt object, which are called as long as Qt has the object.

    The Python half may live on a while when a window is closed, and would be called when there is
    nothing to show any more.

    Parameters
    ----------
    owner
        The object.
    pairs
        Signals, each with a bound method of `owner` that takes what the signal sends.
    """
    for signal, method in pairs:
        signal.connect(_while_alive(owner, method))


def _while_alive(owner: QObject, method: Callable[..., Any]) -> Callable[..., None]:
    there, reference = weakref.ref(owner), weakref.WeakMethod(method)

    def call(*values: object) -> None:
        found, called = there(), reference()
        if found is not None and called is not None and isalive(found):
            called(*values)

    return call
