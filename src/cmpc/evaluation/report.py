"""An evaluation as a table in the terminal, as JSON and Markdown, and as one line for each expression."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
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
_EXPRESSIONS = "expressions"
_MOST_COLUMNS = 8
"""Measures for which a terminal of 80 columns has room beside each other."""
_BESIDE = ("N-acc", "T-acc")
"""Those that go into a table of their own where there are more."""
_TARGET_PRECISION = {f"Pr@{threshold}": threshold for threshold in (0.7, 0.8, 0.9)}
"""gRefCOCO's names of precision, which it takes of expressions that refer to something -> threshold."""


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

    @cached_property
    def tables(self) -> dict[str, ScoreTable]:
        """Name -> table: ``without_crf`` and, where the DenseCRF was asked for, ``with_crf``."""
        tables = {"without_crf": self.evaluation.table()}
        if self.evaluation.with_crf:
            tables["with_crf"] = self.evaluation.table(with_crf=True)
        return tables

    def terminal_tables(self) -> list[Table]:
        """The tables for ``rich``, rates in percent."""
        shown = []
        for name, table in self.tables.items():
            columns = _columns(table, self.evaluation.protocol)
            beside = [one for one in columns if one in _BESIDE] if len(columns) > _MOST_COLUMNS else []
            title = f"{self.title}{self._suffix(name)}"
            shown.append(_terminal_table(title, table, [one for one in columns if one not in beside]))
            if beside:
                shown.append(_terminal_table("", table, [_EXPRESSIONS, *beside]))
        return shown

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
            columns = _columns(table, protocol)
            lines += [f"| | {' | '.join(columns)} |", f"| --- |{' ---: |' * len(columns)}"]
            for kind, row, score in table.rows():
                cells = [_MEASURES[column](score) for column in columns]
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


def _terminal_table(title: str, table: ScoreTable, columns: Sequence[str]) -> Table:
    result = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE, padding=(0, 1, 0, 0))
    result.add_column("")
    for heading in columns:
        result.add_column(heading.replace(" ", "\n"), justify="right", no_wrap=True, vertical="bottom")
    previous = "all"
    for kind, name, score in table.rows():
        if kind != previous:
            result.add_section()
        result.add_row(escape(_row_name(kind, name)), *(_MEASURES[column](score) for column in columns))
        previous = kind
    return result


def _row_name(kind: str, name: str) -> str:
    return f"{name} words" if kind == "words" else name


def _columns(table: ScoreTable, protocol: Protocol) -> list[str]:
    """Names of the measures, of ``_MEASURES``, that are shown."""
    if protocol == "gres":
        return [_EXPRESSIONS, "gIoU", "cIoU", "N-acc", "T-acc", *_TARGET_PRECISION]
    told = _BESIDE if table.all.absent else ()
    return [_EXPRESSIONS, "overall IoU", "mean IoU", *told, *(f"P@{threshold}" for threshold in THRESHOLDS)]


def _percent(rate: float | None) -> str:
    """Empty where there is no expression of which the measure could be taken."""
    return "" if rate is None else f"{100 * rate:.2f}"


def _precision(threshold: float) -> Callable[[Score], str]:
    return lambda score: _percent(score.precision[threshold])


def _target_precision(threshold: float) -> Callable[[Score], str]:
    return lambda score: _percent(score.target_precision[threshold] if score.expressions > score.absent else None)


_MEASURES: dict[str, Callable[[Score], str]] = {
    _EXPRESSIONS: lambda score: f"{score.expressions:,}",
    "overall IoU": lambda score: _percent(score.overall_iou),
    "cIoU": lambda score: _percent(score.overall_iou),
    "mean IoU": lambda score: _percent(score.mean_iou),
    "gIoU": lambda score: _percent(score.mean_iou),
    "N-acc": lambda score: _percent(score.no_target_accuracy),
    "T-acc": lambda score: _percent(score.target_accuracy),
    **{f"P@{threshold}": _precision(threshold) for threshold in THRESHOLDS},
    **{name: _target_precision(threshold) for name, threshold in _TARGET_PRECISION.items()},
}
"""Name of a measure -> what stands in a row."""


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
