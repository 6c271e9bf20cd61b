"""``python -m tests.fuzz --minutes 5`` damages files at random and gives them to every reader.

It ends with exit code 1 at the first that is answered with something else than a sentence, says the seed, and keeps
that file.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # as the commands do
sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.fuzzing import Fault, fresh_seed, fuzz
from fuzz.readers import READERS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, help="damages as then; without it, each time in other ways")
    parser.add_argument("--only", nargs="*", choices=READERS, default=list(READERS), help="some of the readers")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"), help="where the file of a fault is kept")
    options = parser.parse_args()
    seed = fresh_seed() if options.seed is None else options.seed
    print(f"--seed {seed}", flush=True)
    try:
        tried = fuzz(60 * options.minutes, seed=seed, only=options.only, keep=options.keep)
    except Fault as fault:
        print(fault, file=sys.stderr)
        return 1
    for name, count in tried.items():
        print(f"{name}: {count:,} damaged files")
    print(f"{tried.total():,} in all, each read or refused by one sentence")
    return 0


if __name__ == "__main__":
    sys.exit(main())
