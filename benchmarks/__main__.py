"""Measure and print: `python -m benchmarks [SECTION ...]`, or `make bench`."""

import argparse
import json
import sys

from benchmarks.measuring import Options
from benchmarks.report import machine
from benchmarks.sections import SECTIONS
from benchmarks.workload import Case


def case(given: str) -> Case:
    """Read H,layers,B,T or H,layers,B,T,CELL."""
    H, layers, B, T, *cell = given.split(",")
    return Case(int(H), int(layers), int(B), int(T), *cell)


def main() -> None:
    """Measure the sections named on the command line and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"one of {', '.join(SECTIONS)}"
    )
    parser.add_argument("--rounds", type=int, default=11, help="turns of each program (11)")
    parser.add_argument("--seconds", type=float, default=0.2, help="length of a turn (0.2)")
    parser.add_argument("--case", type=case, action="append", help="step size, H,layers,B,T[,CELL]")
    parser.add_argument("--megabytes", type=int, default=300, help="size of the large text (300)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    unknown = set(given.sections) - set(SECTIONS)
    if unknown:
        parser.error(
            f"unknown section {', '.join(sorted(unknown))}; choose from {', '.join(SECTIONS)}"
        )
    options = Options(given.rounds, given.seconds, given.case or [], given.megabytes)
    try:
        tables = [SECTIONS[name](options) for name in given.sections or SECTIONS]
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    if given.json:
        record = {"machine": machine(), "tables": [table.record() for table in tables]}
        json.dump(record, sys.stdout, indent=1, ensure_ascii=False)
        print()
        return
    print("# Results\n")
    print("".join(f"- {name}: {value}\n" for name, value in machine().items()))
    print("\n".join(table.markdown().rstrip() + "\n" for table in tables), end="")


if __name__ == "__main__":
    main()
