"""A run's progress in a terminal: a bar for the present stage, lines for what has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from napari_threestage import events
from napari_threestage.cli.output import duration, err, percent

if TYPE_CHECKING:
    from napari_threestage.events import Event


class LiveProgress:
    """Shows events as they come; in a file or pipe only what is worth a line."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
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
                err.print(f"[yellow]note:[/] {event.message}")
            case events.Progress():
                self._training(event)
            case events.Predicted():
                self._predicting(event)
            case events.Validated():
                name = f"stage {event.stage}: mIoU {percent(event.miou)} % on {event.on} images"
                err.print(name)
            case events.StageFinished():
                err.print(f"stage {event.stage}: finished in {duration(event.seconds)}")
            case events.Finished() | events.StoppedEvent():
                self._bar.stop()

    def _training(self, event: events.Progress) -> None:
        losses = "  ".join(f"{name} {value:.3f}" for name, value in event.losses.items())
        info = f"{event.images_per_second:5.1f} images/s  {duration(event.eta)} left  {losses}"
        self._bar.update(
            self._task,
            description=f"stage {event.stage}: training",
            completed=event.step,
            total=event.steps,
            info=info,
        )

    def _predicting(self, event: events.Predicted) -> None:
        self._bar.update(
            self._task,
            description=f"stage {event.stage}: pseudo-masks",
            completed=event.done,
            total=event.total,
            info="",
        )
