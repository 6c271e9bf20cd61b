"""An evaluation as a table in the terminal, as JSON and Markdown, and as one line for each expression."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from cmpc.evaluation.evaluate import Evaluation
from cmpc.evaluation.metrics import THRESHOLDS, Overlap, Score, ScoreTable
from cmpc.evaluation.protocols import DESCRIPTIONS, Protocol
from cmpc.files import atomic_file

JSON_FILE = "report.json"
MARKDOWN_FILE = "report.md"
EXPRESSIONS_FILE = "expressions.jsonl"

_JSON_NAMES = {"targets": "targets", "words": "words", "group": "groups"}
"""Kind of row -> what JSON calls its table."""
_GRES_THRESHOLDS = (0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Report:
    """An evaluation with the name of the model that was evaluated."""

    evaluation: Evaluation
    model: str
    """Where the model is."""
    identity: dict[str, str]
    """Fingerprints of all that the results depend on."""

    @property
    def title(self) -> str:
        """One line that names model, data and protocol; a part of a split is called so."""
        evaluation = self.evaluation
        part = ""
        if evaluation.images < evaluation.images_in_split:
            part = f" (only {evaluation.images:,} of {evaluation.images_in_split:,} images)"
        return f"{self.model} on {evaluation.dataset} {evaluation.split}{part}, protocol {evaluation.protocol}"

    @property
    def tables(self) -> dict[str, ScoreTable]:
        """Name -> table: ``without_crf`` and, where the DenseCRF was asked for, ``with_crf``."""
        tables = {"without_crf": self.evaluation.table()}
        if self.evaluation.with_crf:
            tables["with_crf"] = self.evaluation.table(with_crf=True)
        return tables

    def terminal_tables(self) -> list[Table]:
        """The tables for ``rich``, rates in percent."""
        return [
            _terminal_table(f"{self.title}{self._suffix(name)}", table, self.evaluation.protocol)
            for name, table in self.tables.items()
        ]

    def to_json(self) -> dict[str, Any]:
        """All numbers as plain JSON values; rates are 0..1."""
        evaluation = self.evaluation
        return {
            "model": self.model,
            "dataset": evaluation.dataset,
            "split": evaluation.split,
            "protocol": evaluation.protocol,
            "protocol_description": DESCRIPTIONS[evaluation.protocol],
            "images": evaluation.images,
            "images_in_split": evaluation.images_in_split,
            "expressions": len(evaluation.samples),
            "identity": self.identity,
            "tables": {name: _json_table(table) for name, table in self.tables.items()},
        }

    def to_markdown(self) -> str:
        """The tables, rates in percent."""
        protocol = self.evaluation.protocol
        lines = [f"# {self.title}", "", f"Protocol `{protocol}`: {DESCRIPTIONS[protocol]}. Rates in percent."]
        for name, table in self.tables.items():
            lines += ["", f"## Masks{self._suffix(name)}" if self.evaluation.with_crf else "## Masks", ""]
            headings = _headings(table, protocol)
            lines += [f"| | {' | '.join(headings)} |", f"| --- |{' ---: |' * len(headings)}"]
            for kind, row, score in table.rows():
                cells = _cells(score, table, protocol)
                lines.append(f"| {_row_name(kind, row).replace('|', '/')} | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def expression_lines(self) -> Iterator[dict[str, Any]]:
        """For each expression what was asked and what was found, for an analysis of one's own."""
        for sample, result in zip(self.evaluation.samples, self.evaluation.results, strict=True):
            line: dict[str, Any] = {
                "sample": sample.number,
                "ref_id": sample.row.ref_id,
                "image": sample.row.image,
                "category": sample.row.category,
                "expression": sample.expression,
                "words": sample.words,
                "group": sample.group,
                "targets": sample.targets,
                **_json_overlap(result.without_crf),
            }
            if result.with_crf is not None:
                line |= {f"{name}_with_crf": value for name, value in _json_overlap(result.with_crf).items()}
            yield line

    def write(self, folder: str | Path) -> None:
        """Writes the three files, each whole or not at all."""
        folder = Path(folder)
        with atomic_file(folder / EXPRESSIONS_FILE) as file, file.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in self.expression_lines())
        with atomic_file(folder / MARKDOWN_FILE) as file:
            file.write_text(self.to_markdown(), encoding="utf-8")
        with atomic_file(folder / JSON_FILE) as file:
            file.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def _suffix(self, table: str) -> str:
        if not self.evaluation.with_crf:
            return ""
        return ", with DenseCRF" if table == "with_crf" else ", without DenseCRF"


def _terminal_table(title: str, table: ScoreTable, protocol: Protocol) -> Table:
    result = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE, padding=(0, 1, 0, 0))
    result.add_column("", no_wrap=True)
    for heading in _headings(table, protocol):
        result.add_column(heading.replace(" ", "\n"), justify="right", no_wrap=True, vertical="bottom")
    previous = "all"
    for kind, name, score in table.rows():
        if kind != previous:
            result.add_section()
        result.add_row(escape(_row_name(kind, name)), *_cells(score, table, protocol))
        previous = kind
    return result


def _row_name(kind: str, name: str) -> str:
    return f"{name} words" if kind == "words" else name


def _headings(table: ScoreTable, protocol: Protocol) -> list[str]:
    if protocol == "gres":
        return ["expressions", "gIoU", "cIoU", "N-acc", "T-acc", *(f"P@{threshold}" for threshold in _GRES_THRESHOLDS)]
    accuracies = ["N-acc", "T-acc"] if table.all.absent else []
    return ["expressions", "overall IoU", "mean IoU", *accuracies, *(f"P@{threshold}" for threshold in THRESHOLDS)]


def _cells(score: Score, table: ScoreTable, protocol: Protocol) -> list[str]:
    """The numbers of a row; empty where a measure has no expression to be taken of."""
    accuracies = [score.no_target_accuracy, score.target_accuracy]
    rates: list[float | None]
    if protocol == "gres":
        has_targets = score.expressions > score.absent
        found = [score.target_precision[threshold] if has_targets else None for threshold in _GRES_THRESHOLDS]
        rates = [score.mean_iou, score.overall_iou, *accuracies, *found]
    else:
        told = accuracies if table.all.absent else []
        rates = [score.overall_iou, score.mean_iou, *told, *score.precision.values()]
    return [f"{score.expressions:,}", *("" if rate is None else f"{100 * rate:.2f}" for rate in rates)]


def _json_table(table: ScoreTable) -> dict[str, Any]:
    values: dict[str, Any] = {"all": {}, "words": {}, "groups": {}}
    for kind, name, score in table.rows():
        if kind == "all":
            values["all"] = score.to_json()
        else:
            values.setdefault(_JSON_NAMES[kind], {})[name] = score.to_json()
    return values


def _json_overlap(overlap: Overlap) -> dict[str, Any]:
    return {"intersection": overlap.intersection, "union": overlap.union, "iou": overlap.iou}
