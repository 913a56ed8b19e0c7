"""Tables and curves of `growth`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from growth_images import STEPS
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path

MEGA = 1e6
Results = dict[str, Any]


def show(results: Results) -> None:
    console = Console(width=120)
    for table in (
        images_table(results["images"]),
        list_table(results["list"]),
        classes_table(results["classes"]),
        size_table(results["size"]),
    ):
        console.print(table)


def new_table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def images_table(rows: list[Results]) -> Table:
    table = new_table("With the number of images: ms an image", "images", *STEPS)
    for row in rows:
        table.add_row(str(row["images"]), *(f"{1000 * row[name]:.2f}" for name in STEPS))
    return table


def list_table(rows: list[Results]) -> Table:
    table = new_table(
        "Open and list a project", "images", "open ms", "list ms", "list, ms an image"
    )
    for row in rows:
        opened, listed = 1000 * row["open"], 1000 * row["list"]
        each = f"{listed / row['images']:.3f}"
        table.add_row(str(row["images"]), f"{opened:.0f}", f"{listed:.0f}", each)
    return table


def classes_table(rows: list[Results]) -> Table:
    table = new_table(
        "With the number of classes", "classes", "prediction, ms/MP", "times", "step, ms", "times"
    )
    for row in rows:
        table.add_row(
            str(row["classes"]),
            f"{1000 * row['prediction']:.0f}",
            interval(row["prediction to fewest"]),
            f"{1000 * row['step']:.0f}",
            interval(row["step to fewest"]),
        )
    return table


def size_table(rows: list[Results]) -> Table:
    table = new_table(
        "With the size of an image: prediction",
        *("side", "ms/MP", "bare network, ms/MP", "times the bare network"),
        *("peak MB", "without the image, MB"),
    )
    for row in rows:
        table.add_row(
            str(row["side"]),
            f"{1000 * row['seconds per megapixel']:.0f}",
            f"{1000 * row['bare']:.0f}",
            interval(row["to bare"]),
            f"{row['memory'] / MEGA:.0f}",
            f"{row['memory before'] / MEGA:.0f}",
        )
    return table


def interval(value: dict[str, float]) -> str:
    return f"{value['median']:.2f} ({value['low']:.2f} to {value['high']:.2f})"


def summary(results: Results) -> list[list[str]]:
    """What matters most, as names and values."""
    rows, lists, classes, sizes = (results[name] for name in ("images", "list", "classes", "size"))
    few, many = rows[0], rows[-1]
    span = f"{few['images']} to {many['images']} images"
    return [
        *([f"{name}, growth an image, {span}", f"{many[name] / few[name]:.2f}"] for name in STEPS),
        [f"open {lists[-1]['images']} images", f"{lists[-1]['open']:.2f} s"],
        [f"list {lists[-1]['images']} images", f"{lists[-1]['list']:.2f} s"],
        [
            f"step with {classes[-1]['classes']} classes / {classes[0]['classes']}",
            f"{classes[-1]['step to fewest']['median']:.2f}",
        ],
        *(
            [f"prediction / bare network, {row['side']} px", f"{row['to bare']['median']:.2f}"]
            for row in sizes
        ),
        [f"peak memory, {sizes[-1]['side']} px", f"{sizes[-1]['memory'] / MEGA:.0f} MB"],
    ]


def draw(results: Results, folder: Path) -> None:
    """Draw each curve as a picture."""
    import matplotlib

    matplotlib.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    images, lists, classes, sizes = (
        results[name] for name in ("images", "list", "classes", "size")
    )
    each = {name: [1000 * row[name] for row in images] for name in STEPS}
    curve(folder / "growth-images.png", "images", "ms an image", column(images, "images"), each)
    times = {name: column(lists, name) for name in ("open", "list")}
    curve(folder / "growth-list.png", "images", "s", column(lists, "images"), times)
    network = {
        name: [row[f"{name} to fewest"]["median"] for row in classes]
        for name in ("prediction", "step")
    }
    fewest = f"times that with {classes[0]['classes']} classes"
    curve(folder / "growth-classes.png", "classes", fewest, column(classes, "classes"), network)
    sides = column(sizes, "side")
    to_bare = {"prediction": [row["to bare"]["median"] for row in sizes], "bare": [1] * len(sizes)}
    curve(folder / "growth-size.png", "side, pixels", "times the bare network", sides, to_bare)
    memory = {"peak": [row["memory"] / MEGA for row in sizes]}
    curve(folder / "growth-memory.png", "side, pixels", "MB", sides, memory)


def column(rows: list[Results], name: str) -> list[float]:
    return [row[name] for row in rows]


def curve(
    path: Path, across: str, up: str, places: list[float], lines: dict[str, list[Any]]
) -> None:
    """Draw lines over a logarithmic axis, from 0 up: what is flat looks flat."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, values in lines.items():
        axes.plot(places, values, "o-", label=name)
    axes.set(xscale="log", xlabel=across, ylabel=up, ylim=(0, 1.08 * axes.dataLim.ymax))
    axes.set_xticks(places, [f"{place:g}" for place in places], minor=False)
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3)
    if len(lines) > 1:
        axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
