"""The comparison as tables: for the terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from cmpc.ablation.record import Record
from cmpc.ablation.run import RunResult
from cmpc.ablation.variants import VARIANTS
from cmpc.files import atomic_file

MARKDOWN_FILE = "ablation.md"

Figure = Callable[[RunResult], float]


@dataclass(frozen=True)
class Comparison:
    """Rows of text: a heading for each column, then a row for each variant."""

    title: str
    """What the columns tell."""
    headings: Sequence[str]
    """Of the columns; the first is the variant's."""
    rows: Sequence[Sequence[str]]
    """Cells."""

    def to_markdown(self) -> str:
        """A table with its title."""
        lines = [self.headings, ["---", *["---:"] * (len(self.headings) - 1)], *self.rows]
        return "\n".join([f"{self.title}:", "", *(f"| {' | '.join(map(_cell, line))} |" for line in lines)]) + "\n"

    def to_terminal(self) -> Table:
        """A table for ``rich``; a spread stands below its mean."""
        table = Table(title=self.title, title_justify="left", title_style="bold", box=SIMPLE, padding=(0, 1, 0, 0))
        for number, heading in enumerate(self.headings):
            right = number > 0
            table.add_column(
                escape(heading.replace(" ", "\n") if right else heading),
                justify="right" if right else "left",
                no_wrap=right,
                overflow="fold",
                vertical="bottom",
            )
        for row in self.rows:
            table.add_row(*(escape(cell.replace(" ±", "\n±")) for cell in row))
        return table


def comparisons(record: Record) -> list[Comparison]:
    """All expressions, then precision@0.5 of each group that the data give, in percent."""
    by_variant = {name: found for name in VARIANTS if (found := [r for r in record.results if r.run.variant == name])}

    def rows(*columns: Figure) -> list[list[str]]:
        return [
            [
                VARIANTS[name].title,
                *(_mean_and_spread([100 * column(result) for result in results]) for column in columns),
            ]
            for name, results in by_variant.items()
        ]

    overall = rows(
        lambda result: result.all.overall_iou,
        lambda result: result.all.mean_iou,
        lambda result: result.all.precision["0.5"],
    )
    for row, results in zip(overall, by_variant.values(), strict=True):
        row[1:1] = [f"{results[0].parameters / 1e6:.2f} M", ", ".join(str(result.run.seed) for result in results)]
    headings = ("variant", "parameters", "seeds", "overall IoU", "mean IoU", "P@0.5")
    tables = [Comparison("All expressions", headings, overall)]
    if groups := _groups(record):
        tables.append(
            Comparison(
                "Precision@0.5 by group", ("variant", *groups), rows(*(_precision_of(group) for group in groups))
            )
        )
    return tables


def caption(record: Record) -> str:
    """What was compared on what, and what all runs had alike."""
    settings = record.settings
    part = ""
    if settings["images"] < settings["images_in_split"]:
        part = f", only the first {settings['images']:,} of {settings['images_in_split']:,} images"
    sizes = f"preset {settings['preset']}" if settings["preset"] else "sizes of its own (ablation.json)"
    first = ""
    if settings.get("first_data"):
        first = f"{settings['first_steps']:,} steps on {settings['first_data']}, then "
    return (
        f"{settings['dataset']}, split {settings['split']}{part}: {settings['expressions']:,} expressions, "
        f"protocol {settings['protocol']}. The same for every network: {sizes}, recipe "
        f"{settings['recipe']}, {first}{settings['steps']:,} steps of {settings['batch_images']} images with at most "
        f"{settings['expressions_per_image']} expressions each, {settings['image_size']} x {settings['image_size']} "
        f"pixels, {'with' if settings['augmentation'] else 'without'} augmentation, highest learning rate "
        f"{settings['learning_rate']:g}; for a seed the same batches in the same order. The last model is tested. "
        "Rates in percent: mean over the seeds ± half the distance between the lowest and the highest."
    )


def write_tables(record: Record, folder: Path) -> None:
    """Writes ``ablation.md``, whole or not at all."""
    parts = ["# Ablation\n", f"{caption(record)}\n", *(table.to_markdown() for table in comparisons(record))]
    with atomic_file(folder / MARKDOWN_FILE) as file:
        file.write_text("\n".join(parts), encoding="utf-8")


def _groups(record: Record) -> list[str]:
    return sorted({group for result in record.results for group in result.groups})


def _precision_of(group: str) -> Figure:
    return lambda result: result.groups[group].precision["0.5"]


def _mean_and_spread(values: Sequence[float]) -> str:
    mean = f"{sum(values) / len(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {(max(values) - min(values)) / 2:.1f}"


def _cell(text: str) -> str:
    return text.replace("|", "/")
