"""The figures of a run as a file, and how later runs of single cases join it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.timing import CaseResult, VariantResult
from cmpc.errors import UserError
from cmpc.files import atomic_file


@dataclass
class Results:
    """All figures of a machine."""

    machine: dict[str, str]
    """As ``machine.describe_machine`` says."""
    rounds: int
    """Rounds of each case."""
    quick: bool = False
    """A look, not a measurement."""
    differences: dict[str, float] = field(default_factory=dict)
    """Preset -> relative L2 difference of the naive network's logits from ours."""
    cases: dict[str, CaseResult] = field(default_factory=dict)
    """Name -> what was measured."""

    def write(self, path: Path) -> None:
        """Writes a JSON file."""
        values = dataclasses.asdict(self)
        for case in values["cases"].values():
            for variant in case["variants"]:
                if variant["seconds"]:
                    each = [seconds / variant["units"] for seconds in variant["seconds"]]
                    variant["seconds_a_unit"] = {
                        "median": VariantResult("", variant["units"], variant["seconds"]).median,
                        "min": min(each),
                        "max": max(each),
                    }
        with atomic_file(path) as file:
            file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Results:
        """Reads what ``write`` wrote.

        Raises:
            UserError: the file is missing or of another kind.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            cases = {name: _case(case) for name, case in values.pop("cases").items()}
            return Results(**values, cases=cases)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} does not hold results of the benchmark ({error}): remove it.") from None

    def join(self, path: Path) -> None:
        """Takes over the cases that an earlier run wrote on the same machine and that this one does not measure."""
        if not path.exists():
            return
        earlier = Results.read(path)
        if (earlier.machine, earlier.rounds, earlier.quick) == (self.machine, self.rounds, self.quick):
            self.cases = {**earlier.cases, **self.cases}
            self.differences = {**earlier.differences, **self.differences}


def _case(values: dict[str, Any]) -> CaseResult:
    variants = []
    for variant in values.pop("variants"):
        variant.pop("seconds_a_unit", None)
        variants.append(VariantResult(**variant))
    values["load"] = tuple(values["load"])
    return CaseResult(**values, variants=variants)
