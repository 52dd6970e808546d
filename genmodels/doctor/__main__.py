"""`python -m genmodels.doctor photos/`: check a folder of images before training on it."""

import argparse
import sys
from pathlib import Path

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

from genmodels.doctor.dataset import Progress, check, write_files
from genmodels.doctor.expectations import BASIS
from genmodels.doctor.report import VERDICTS, Report


def main(arguments: list[str] | None = None) -> int:
    """Print the report; 0 for go, 1 for caution, 2 for stop or where there is nothing to check."""
    parser = argparse.ArgumentParser(prog="python -m genmodels.doctor", description=__doc__)
    parser.add_argument("folder", type=Path, help="images, or source/ and target/ of pairs")
    parser.add_argument("--held-out", type=Path, help="images that the model is to be measured on")
    parser.add_argument("--resolution", type=int, help="side to train at; default: by the images")
    parser.add_argument("--clean", type=Path, help="write the clean list, for training's --files")
    parser.add_argument("--json", type=Path, help="write the report with all names as JSON")
    parser.add_argument("--markdown", type=Path, help="write the report as a section of a card")
    given = parser.parse_args(arguments)
    try:
        report = check(
            given.folder, given.held_out, resolution=given.resolution, on_progress=_show_progress
        )
        if given.clean is not None:
            write_files(report.clean, given.clean)
        if given.json is not None:
            report.save(given.json)
        if given.markdown is not None:
            given.markdown.write_text(report.markdown(), encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text(report))
    return ("go", "caution", "stop").index(report.verdict)


def text(report: Report) -> str:
    """The report for a terminal."""
    lines = [
        f"{report.verdict.upper()}: {VERDICTS[report.verdict]}",
        f"{report.num_images} readable images, {report.effective_images} different photographs, "
        f"checked for training at {report.resolution} px.",
        "",
    ]
    for title, name, level, _, _, summary in report.table():
        mark = {"ok": "  ", "note": "i ", "caution": "! ", "stop": "X "}[level]
        lines.append(f"{mark}{title} ({name}): {summary}")
        lines += [f"      {image}" for image in report.issues[name].images[:3]]
    if len(report.clusters) > 1:
        lines += ["", "Kinds of pictures, by their most typical ones:"]
        lines += [f"  {each.share:.0%}: {', '.join(each.examples[:4])}" for each in report.clusters]
    lines += ["", "How far this will take a model:"]
    lines += [f"  {each.model}: {each.band} - {each.words}" for each in report.expected]
    lines += [f"  ({BASIS})", "", f"The clean list has {len(report.clean)} images."]
    return "\n".join(lines)


def _show_progress(progress: Progress) -> None:
    if sys.stderr.isatty():
        end = "\n" if progress.done >= progress.total else "\r"
        print(f"{progress.done} of {progress.total} images", end=end, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
