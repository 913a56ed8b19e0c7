"""A run's progress in a terminal: a bar for the present stage, lines for what has happened."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from napari_threestage import events
from napari_threestage.cli.output import duration, err, percent

if TYPE_CHECKING:
    from napari_threestage.events import Event


LINE_SECONDS = 30.0  # between two lines of progress where there is no terminal for a bar


class LiveProgress:
    """Shows events as they come: a bar in a terminal, now and then a line in a file or pipe."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._line_due = time.monotonic() + LINE_SECONDS
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[info]}"),
            console=err,
            transient=True,
            disable=quiet or not err.is_terminal,
        )
        self._task = self._bar.add_task("starting …", total=None, info="")

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if self._quiet:
            return
        match event:
            case events.Started():
                self._bar.start()
                err.print(
                    f"Run {event.run} on {event.device}: {event.labelled} labelled and "
                    f"{event.unlabelled} unlabelled images."
                )
            case events.Warned():
                err.print(f"[yellow]note:[/] {escape(event.message)}")
            case events.Progress():
                self._training(event)
            case events.Predicted():
                self._predicting(event)
            case events.Validated():
                name = f"stage {event.stage}: mIoU {percent(event.miou)} % on {event.on} images"
                err.print(name)
            case events.Paused():
                err.print(f"stage {event.stage}: paused at step {event.step}")
            case events.Continued():
                err.print(f"stage {event.stage}: goes on")
            case events.StageFinished():
                err.print(f"stage {event.stage}: finished in {duration(event.seconds)}")
            case events.Finished() | events.StoppedEvent() | events.Failed():
                self._bar.stop()

    def _training(self, event: events.Progress) -> None:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in event.losses.items())
        info = (
            f"{event.images_per_second:5.1f} images/s  {duration(event.eta)} left in all  {losses}"
        )
        self._line(f"stage {event.stage}: step {event.step} of {event.steps}  {info}")
        self._bar.update(
            self._task,
            description=f"stage {event.stage}: training",
            completed=event.step,
            total=event.steps,
            info=info,
        )

    def _line(self, text: str) -> None:
        if not err.is_terminal and time.monotonic() > self._line_due:
            self._line_due = time.monotonic() + LINE_SECONDS
            err.print(text)

    def _predicting(self, event: events.Predicted) -> None:
        self._line(f"stage {event.stage}: pseudo-mask {event.done} of {event.total}")
        self._bar.update(
            self._task,
            description=f"stage {event.stage}: pseudo-masks",
            completed=event.done,
            total=event.total,
            info="",
        )
