"""How the preview of an import is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from napari_threestage.cli.output import out, percent, plain_table, say

if TYPE_CHECKING:
    from napari_threestage.ingest import ImportPreview
    from napari_threestage.ingest.preview import PreviewRow

MOST_ROWS = 20


def print_preview(preview: ImportPreview) -> None:
    """Print the images, what the values in their masks mean, and what would fit better."""
    without = preview.pairs - preview.with_mask
    say(f"{preview.pairs} images, {preview.with_mask} with a mask and {without} without.")
    rows = [_row(row) for row in _worst_first(preview)[:MOST_ROWS]]
    if len(preview.rows) > MOST_ROWS:
        rows.append((f"… {len(preview.rows) - MOST_ROWS} more", "", "", "--json lists all"))
    out.print(plain_table(("image", "pixels", "mask", "what would happen"), rows))
    if preview.unchecked:
        say(f"{preview.unchecked} more were not opened.")
    if preview.mask_values:
        values = [
            (str(one.value), f"{percent(one.share)} %", one.meaning) for one in preview.mask_values
        ]
        out.print(plain_table(("value", "of the pixels", "means"), values[:MOST_ROWS]))
    if preview.suggestion:
        out.print(f"[yellow]note:[/] {escape(preview.suggestion.sentence)}")
    say("Nothing was changed.")


def _worst_first(preview: ImportPreview) -> list[PreviewRow]:
    return sorted(preview.rows, key=lambda row: row.status != "problem")


def _row(row: PreviewRow) -> tuple[str, str, str, str]:
    channels = f", {row.channels} channels" if row.channels > 1 else ""
    pixels = f"{row.shape} {row.dtype}{channels}" if row.shape else "–"
    return row.name, pixels, row.mask.name if row.mask else "–", row.problem or _status(row)


def _status(row: PreviewRow) -> str:
    return f"{row.status}. {row.note}" if row.note else row.status
