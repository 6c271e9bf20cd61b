"""Tables and the page that they are written into."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cases import CASES
from benchmarks.cases.inference import NAIVE
from benchmarks.report import case_table, fill, tables, write_page
from benchmarks.results import Results
from benchmarks.run import Options, chosen_cases, for_quick_look, main
from benchmarks.targets import verdicts
from benchmarks.timing import CaseResult, VariantResult
from cmpc.errors import UsageError, UserError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def first() -> CaseResult:
    """A case with a baseline, one that is three times faster, and one that could not run."""
    naive = VariantResult(NAIVE, 1, [2.0, 1.8, 2.2], [3.6, 3.6, 4.0], 1_400_000_000, None, 1.0)
    ours = VariantResult("torch, fp32", 2, [1.2, 1.3, 1.4], [2.4, 2.6, 2.8], 900_000_000, None, 3.0)
    gone = VariantResult("openvino, int8", 1, problem="openvino is not installed.")
    facts = {"photos": "64"}
    return CaseResult(
        "first", "First", "expression", "seconds", NAIVE, [naive, ours, gone], "2026-01-01 10:00", (0.1, 1.9), facts
    )


def test_table_gives_median_spread_memory_and_ratio(first: CaseResult) -> None:
    table = case_table(first)
    assert "| torch, fp32 | 0.650 | 0.600 to 0.700 | 2.0 | 0.90 GB | 3.00 x |" in table
    assert "Not measured: openvino, int8 (openvino is not installed.)" in table
    assert "photos: 64." in table
    assert "load of the machine 0.1 before, 1.9 after" in table


def test_rates_are_units_a_second(first: CaseResult) -> None:
    first.measure, first.baseline = "rate", None
    assert "| torch, fp32 | 1.54 | 1.43 to 1.67 | 2.0 | 0.90 GB |" in case_table(first)


def test_filling_a_page_keeps_its_prose_and_other_tables(page: Path) -> None:
    filled = fill(page.read_text(), {"first": "| new \\1 |\n"})
    assert filled == page.read_text().replace("old\n", "| new \\1 |\n")


def test_filling_refuses_a_page_without_a_place(page: Path) -> None:
    with pytest.raises(UserError, match="no place for 'third'"):
        fill(page.read_text(), {"third": ""})


def test_documentation_has_a_place_for_every_table(first: CaseResult, tmp_path: Path) -> None:
    copy = tmp_path / "performance.md"
    copy.write_text((ROOT / "docs" / "performance.md").read_text(encoding="utf-8"), encoding="utf-8")
    results = Results(
        {"processor": "one"}, 5, cases={name: first for name in CASES if name not in ("prepare", "loading")}
    )
    write_page(copy, results)
    assert copy.read_text().count("| torch, fp32 | 0.650 |") == len(results.cases)
    assert {*tables(results)} | {"prepare", "loading"} == {"machine", "recorded", "targets", *CASES}


def test_targets_are_judged_by_the_ratio_to_the_naive_network(first: CaseResult) -> None:
    found = {one.what: one for one in verdicts({"first": first})}
    speed = found["first expression, fp32"]
    assert (speed.variant, speed.reached, speed.against_recorded, speed.is_reached) == (
        "torch, fp32",
        "3.0 x",
        "2.9 x",
        True,
    )
    assert found["first expression, int8"].is_reached is None
    assert found["memory at that speed: first expression, int8"].is_reached is None


def test_memory_is_that_of_the_leanest_variant_that_is_fast_enough(first: CaseResult) -> None:
    heavy = VariantResult("onnx, fp32", 1, [0.5, 0.5, 0.5], [1.0, 1.0, 1.0], 1_300_000_000, None, 4.0)
    slow = VariantResult("openvino, fp32", 1, [1.9, 1.9, 1.9], [3.8, 3.8, 3.8], 100_000_000, None, 1.05)
    first.variants += [heavy, slow]
    what = "memory at that speed: first expression, fp32"
    (memory,) = [one for one in verdicts({"first": first}) if one.what == what]
    assert (memory.variant, memory.reached, memory.is_reached) == ("torch, fp32", "0.90 GB", True)
    first.variants = [first.variants[0], heavy, slow]
    (memory,) = [one for one in verdicts({"first": first}) if one.what == what]
    assert (memory.reached, memory.is_reached) == ("1.30 GB", False)
    first.variants = [first.variants[0], slow]
    (memory,) = [one for one in verdicts({"first": first}) if one.what == what]
    assert (memory.reached, memory.is_reached) == ("none is so fast", False)


def test_preparation_is_judged_at_full_size_only(first: CaseResult) -> None:
    first.facts = {"images": "1,700", "tables on disk": "17 MB"}
    assert verdicts({"prepare": first}) == []
    first.facts["images"] = "17,000"
    assert [one.is_reached for one in verdicts({"prepare": first})] == [True, True]


def test_results_are_read_as_they_were_written(first: CaseResult, tmp_path: Path) -> None:
    results = Results({"processor": "one"}, 3, differences={"paper": 1e-6}, cases={"first": first})
    results.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == results


def test_later_run_joins_cases_of_the_same_machine_only(first: CaseResult, tmp_path: Path) -> None:
    Results({"processor": "one"}, 5, cases={"first": first}).write(tmp_path / "results.json")
    same, other = Results({"processor": "one"}, 5), Results({"processor": "two"}, 5)
    same.join(tmp_path / "results.json")
    other.join(tmp_path / "results.json")
    assert (list(same.cases), list(other.cases)) == (["first"], [])


def test_quick_look_is_not_for_the_page() -> None:
    with pytest.raises(UsageError, match="not for the page"):
        chosen_cases(Options(quick=True, docs=Path("page.md")))
    with pytest.raises(UsageError, match="not for the page"):
        chosen_cases(Options(rounds=4, docs=Path("page.md")))


def test_unknown_case_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["run", "--cases", "second"])
    assert main() == 2
    assert "there is no case 'second'" in capsys.readouterr().err


def test_quick_look_takes_no_exports_and_no_compiler() -> None:
    names = [variant.name for variant in for_quick_look(CASES["first"]).variants]
    assert names == [NAIVE, "torch, fp32", "torch, bf16"]


def test_cases_run_in_their_order() -> None:
    assert chosen_cases(Options(cases=("startup", "first"))) == ["first", "startup"]
    assert chosen_cases(Options()) == list(CASES)
