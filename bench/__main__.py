"""`python -m bench [name …]`: runs the benches, and fails if a promise is missed."""

import argparse
import sys
from pathlib import Path

from bench import benches, report


def main() -> int:
    """Run all benches or those named; prints one table and one JSON, and writes docs/figures.md."""
    there_are = benches.names()
    parser = argparse.ArgumentParser(prog="bench", description="Measure how fast it is, each figure beside its floor.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which of {', '.join(there_are)}; all without")
    parser.add_argument("--json", metavar="FILE", type=Path, help="where the JSON goes; else to standard output")
    parser.add_argument("--dry", action="store_true", help="leave docs/figures.md alone")
    options = parser.parse_args()
    if unknown := set(options.names) - set(there_are):
        parser.error(f"There is no bench {', '.join(sorted(unknown))}: only {', '.join(there_are)}.")
    found = []
    for name in options.names or there_are:
        print(f"{name} …", flush=True)
        found.append(benches.run(name))
    print(report.table(found))
    if options.json:
        options.json.write_text(report.as_json(found))
    else:
        print(f"\n{report.as_json(found)}")
    if not options.dry:
        report.write(found)
    return 0 if all(one.is_met for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
