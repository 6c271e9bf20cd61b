"""``python -m tests.robustness --docs docs/robustness.md`` writes the table of hostile inputs into its page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from robustness.page import write_page
from robustness.table import all_cases


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.robustness", description=__doc__)
    parser.add_argument("--docs", type=Path, required=True, help="page to write the table into")
    cases = all_cases()
    write_page(parser.parse_args().docs, cases)
    print(f"{len(cases)} inputs")


if __name__ == "__main__":
    main()
