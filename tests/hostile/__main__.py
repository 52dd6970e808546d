"""Run the cases, and say what failed by kind.

python -m tests.hostile --all --report out.json
python -m tests.hostile --all --part http --only "PNG .*model"
"""

import argparse
import dataclasses
import functools
import json
import os
import tempfile
from collections import Counter
from pathlib import Path

from tests.hostile import run
from tests.hostile.checks import KINDS
from tests.hostile.server import ROOT, end_tidily

SHOWN = 3  # Findings of a kind that are printed.


def main() -> int:
    """1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--all", action="store_true", help="every case, not one of each group")
    parser.add_argument("--only", default="", help="cases in whose names this pattern is found")
    parser.add_argument("--part", choices=("http", "folders", "both"), default="both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, help="of the app; default: any that is free")
    parser.add_argument("--source", type=Path, default=ROOT, help="root of the app's code")
    parser.add_argument("--report", type=Path, help="where all findings go, as JSON")
    options = parser.parse_args()
    end_tidily()
    choice = run.Choice(None if options.all else 1, options.only, options.seed)
    parts = ("http", "folders") if options.part == "both" else (options.part,)
    results, log = {part: run.Result() for part in parts}, functools.partial(print, flush=True)
    log(f"load before the start {os.getloadavg()[0]:.1f}")
    try:
        with tempfile.TemporaryDirectory() as name:
            for part, result in results.items():
                at = Path(name) / part
                if part == "http":
                    where = {"port": options.port, "source": options.source}
                    run.http(result, at, choice, log=log, **where)
                else:
                    run.model_folders(result, at, choice, log=log)
    finally:  # What was found by then, if a case breaks us.
        if options.report:
            report = {part: dataclasses.asdict(result) for part, result in results.items()}
            options.report.write_text(json.dumps(report, indent=1))
    for part, result in results.items():
        _print(part, result)
    return int(any(result.findings for result in results.values()))


def _print(part: str, result: run.Result) -> None:
    failed = len({one.case for one in result.findings})
    print(f"\n{part}: {failed} of {result.tried} cases failed, in {result.seconds:.0f} s")
    for when, measured in {"before": result.before, "after": result.after}.items():
        figures = (f"{key} {value:.0f}" for key, value in measured.items())
        print(f"  {when}: {', '.join(figures)}")
    for kind, number in Counter(one.kind for one in result.findings).most_common():
        print(f"\n{kind} ({KINDS[kind]}): {number}")
        for one in [one for one in result.findings if one.kind == kind][:SHOWN]:
            print(f"  {one.case}\n    sent {one.sent[:200]}\n    came {one.came[:200]}")


if __name__ == "__main__":
    raise SystemExit(main())
