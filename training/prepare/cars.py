"""Photographs of cars and their label table -> training and held-out image folders.

The table is a CSV with the columns `file`, `class` (make model body year), `year`, `body` and
`filled_fraction` (how much of the square had to be invented at its borders). The result is two
folders in the imagefolder convention, read by `genmodels.data.image_folder`:

    python -m training.prepare.cars --photos PHOTOS --labels cars_labels.csv --out data/cars-64

`--view front-three-quarter` keeps one view and mirrors the cars that face right; `--background
grey` cuts the cars out, and `--align` gives them one length on one line of ground. All leave
contact sheets beside the two folders.
"""

import csv
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import tyro
from PIL import Image, ImageOps

from genmodels.data import image_files, images, metadata
from genmodels.data.splits import hash_fraction
from training.prepare import cutouts, viewpoints
from training.prepare.u2netp import U2NetP
from training.runs.held_out import skipped_lines
from training.runs.stopping import print_line

COLUMNS = ("file", "class", "year", "body", "filled_fraction")
TWO_WORD_MAKES = ("AM General", "Alfa Romeo", "Aston Martin", "Land Rover")
MARK = ".prepare_cars"  # A folder that holds this file is the script's own.

VIEW_LABELS = Path(__file__).with_name("cars_views.csv")  # Viewpoints of some Stanford Cars.
SHEET_SIDE, SHEET_COLUMNS = 96, 12  # Contact sheets: side of a picture, pictures per row.

Row = dict[str, Any]
Masks = dict[str, np.ndarray]  # By file name; empty while the background is kept.


@dataclass(frozen=True)
class Config:
    """What to read, what to leave out, where to write."""

    photos: Path  # Folder of photographs.
    labels: Path  # CSV with the columns named above.
    out: Path  # Folder to write: new, empty, or written by this script before.
    resolution: int = 64  # Side of the images in pixels.
    held_out_fraction: float = 0.08  # Share of the photographs kept from training.
    max_filled_fraction: float = 1.0  # Leave out photographs with more invented border than this.
    min_side: int = 0  # Leave out photographs whose shorter side has fewer pixels.
    view: viewpoints.View | Literal["all"] | None = None  # Tell views apart, and keep one or all.
    view_labels: Path = VIEW_LABELS  # CSV of photographs whose view was labelled by eye.
    min_view_margin: float = 0.1  # With --view, leave out photographs whose margin is below this.
    background: Literal["keep", "grey"] = "keep"  # "grey" cuts the cars out.
    segmenter: Literal["u2netp", "grabcut"] = "u2netp"  # What cuts them.
    align: bool = False  # Give all cars that are cut out one length, on one line of ground.


def prepare(config: Config) -> dict[str, int]:
    """Rewrite `out/train` and `out/held_out`; return the number of images in each."""
    if not 0 < config.held_out_fraction < 1:
        raise ValueError(f"held_out_fraction must be in (0, 1), got {config.held_out_fraction}")
    if config.align and config.background == "keep":
        raise ValueError('align needs background "grey", got "keep"')
    limit, rows = config.max_filled_fraction, named_files(read_labels(config.labels), config.photos)
    why = f"more than {limit} of it is invented border"
    rows = keep("border", rows, lambda row: why if row["filled_fraction"] > limit else None)
    seen = rows = find_views(rows, config) if config.view else rows
    if config.view not in (None, "all"):
        rows = keep("view", rows, lambda row: other_view(row, config))
    masks: Masks = {}
    if config.background != "keep":
        masks, reasons = find_masks(rows, config)
        rows = keep("background", rows, lambda row: reasons.get(row["file"]))
    splits: dict[str, list[Row]] = {"train": [], "held_out": []}
    for row in rows:
        splits[split_of(row["file"], config.held_out_fraction)].append(row)
    clear(config.out, list(splits))
    write_sheets(seen, rows, masks, config)
    counts = {}
    for split, rows in splits.items():
        written = write_images(rows, masks, config.out / split, config)
        write_metadata(written, config.out / split)
        bodies = Counter(row["body"] for row in written)
        print(f"{split}: {len(written)} images", dict(bodies.most_common()))
        counts[split] = len(written)
    return counts


def read_labels(path: Path) -> list[Row]:
    """The rows of the label table, numbers as numbers, the make taken from the class."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path} must have the columns {list(COLUMNS)}, it lacks {missing}")
        rows = [parse_row(row, f"{path}, line {reader.line_num}") for row in reader]
    repeated = len(rows) - len({row["file_name"] for row in rows})
    if repeated or not rows:
        raise ValueError(f"{path} must name each file once, got {len(rows)} rows, {repeated} again")
    return rows


def named_files(rows: list[Row], photos: Path) -> list[Row]:
    """The rows with the files' own names, however the table writes them; says who has no row."""
    files, skipped = image_files.walk(photos)
    names = metadata.FileNames(photos, files)
    rows = [row | {"file": names.find(row["file"])[0] or row["file"]} for row in rows]
    known = {row["file"] for row in rows}
    skipped += [(name, "the table has no row for it") for name in files if name not in known]
    for line in skipped_lines(sorted(skipped)):
        print_line(line)
    return rows


def parse_row(row: dict[str, str], where: str) -> Row:
    """One line of the table; an empty or malformed cell is an error that says where it is."""
    empty = [name for name in COLUMNS if not row[name]]
    if empty:
        raise ValueError(f"{where}: {empty} is empty")
    try:
        year, filled_fraction = int(row["year"]), float(row["filled_fraction"])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return {
        "file": row["file"],
        "file_name": Path(row["file"]).with_suffix(".png").name,
        "body": row["body"],
        "year": year,
        "make": make_of(row["class"]),
        "filled_fraction": filled_fraction,
    }


def make_of(model: str) -> str:
    """The maker in "make model body year"."""
    return next((make for make in TWO_WORD_MAKES if model.startswith(make)), model.split()[0])


def split_of(name: str, held_out_fraction: float) -> str:
    """Decide by a hash of the name: no photograph changes sides when others come or go."""
    return "held_out" if hash_fraction(name) < held_out_fraction else "train"


def clear(out: Path, splits: list[str]) -> None:
    """Empty the output folder if it is this script's, and leave the mark that says so."""
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise ValueError(f"{out} is not empty and was not written by prepare_cars")
    for sheet in out.glob("*.png"):
        sheet.unlink()
    for split in splits:
        shutil.rmtree(out / split, ignore_errors=True)
        (out / split).mkdir(parents=True)
    (out / MARK).write_text("prepare_cars may rewrite this folder.\n", encoding="utf-8")


def keep(step: str, rows: list[Row], reason: Callable[[Row], str | None]) -> list[Row]:
    """The rows without a reason to leave them out; prints how many those are, and the reasons."""
    reasons = [reason(row) for row in rows]
    remaining = [row for row, why in zip(rows, reasons, strict=True) if why is None]
    print(f"{step}: {len(remaining)} of {len(rows)} photographs kept")
    for why, number in Counter(filter(None, reasons)).most_common():
        print(f"{step}: {number} left out, {why}")
    return remaining


def find_views(rows: list[Row], config: Config) -> list[Row]:
    """The rows with the labels of their viewpoint; photographs that cannot be read are left out."""
    files = [row["file"] for row in rows]
    margin = config.min_view_margin
    views, reasons = viewpoints.find(config.photos, files, config.view_labels, margin)
    rows = keep("read", rows, lambda row: reasons.get(row["file"]))
    return [row | views[row["file"]].labels for row in rows]


def other_view(row: Row, config: Config) -> str | None:
    """Why a photograph does not surely show the view that is asked for."""
    if row["view"] != config.view:
        return f"seen from another side than {config.view}"
    if row["view_margin"] < config.min_view_margin:
        return f"{config.view} by a margin below {config.min_view_margin}"
    return None


def find_masks(rows: list[Row], config: Config) -> tuple[Masks, dict[str, str]]:
    """Where the cars are, and why a photograph could not be cut out."""
    files = [row["file"] for row in rows]
    segment = U2NetP().segment if config.segmenter == "u2netp" else None  # None: by GrabCut.
    return cutouts.find_masks(config.photos, files, segment)


def to_square(
    photo: Image.Image, row: Row, masks: Masks, resolution: int, align: bool
) -> Image.Image:
    """What is written of a photograph."""
    if row["file"] in masks:
        square = cutouts.paste(photo, masks[row["file"]], resolution, align)
    else:
        square = images.fit_square(photo, resolution)
    return ImageOps.mirror(square) if row.get("mirrored") else square


def write_sheets(seen: list[Row], rows: list[Row], masks: Masks, config: Config) -> None:
    """`views.png`, a line per view; `before_after.png`, photographs above what becomes of them."""

    def draw(rows: list[Row], masks: Masks) -> list[Image.Image]:
        chosen = np.linspace(0, len(rows) - 1, min(SHEET_COLUMNS, len(rows)), dtype=int)
        drawn = [Image.new("RGB", (SHEET_SIDE, SHEET_SIDE), "white")] * SHEET_COLUMNS
        for place, row in enumerate(rows[i] for i in chosen):
            photo = images.open_rgb(config.photos / row["file"])
            drawn[place] = to_square(photo, row, masks, SHEET_SIDE, config.align)
        return drawn

    if config.view:
        by_view = [[row for row in seen if row["view"] == view] for view in viewpoints.VIEWS]
        views = [picture for rows in by_view for picture in draw(rows, {})]
        images.grid(views, SHEET_COLUMNS).save(config.out / "views.png")
    if config.view or masks:
        pairs = []
        for some in (rows[start::4] for start in range(4)):
            pairs += draw([{"file": row["file"]} for row in some], {}) + draw(some, masks)
        images.grid(pairs, SHEET_COLUMNS).save(config.out / "before_after.png")


def write_images(rows: list[Row], masks: Masks, folder: Path, config: Config) -> list[Row]:
    """Write a square PNG per row; print which photographs cannot be used, return the other rows.

    PNG, because metrics compare with these pixels: a second JPEG compression at 64 px would add
    blocks an eighth of the picture wide.
    """

    def write(row: Row) -> str | None:
        try:
            photo = images.open_rgb(config.photos / row["file"])
        except ValueError as error:
            return str(error)
        if min(photo.size) < config.min_side:
            return f"{row['file']}: {photo.width}x{photo.height} is too small"
        square = to_square(photo, row, masks, config.resolution, config.align)
        square.save(folder / row["file_name"])
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = list(pool.map(write, rows))
    for reason in filter(None, reasons):
        print_line(f"skipped {reason}")
    return [row for row, reason in zip(rows, reasons, strict=True) if reason is None]


def write_metadata(rows: list[Row], folder: Path) -> None:
    """One JSON line per image, sorted by name: all of its row but where it came from."""
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for row in sorted(rows, key=lambda row: row["file_name"]):
            file.write(json.dumps({k: v for k, v in row.items() if k != "file"}) + "\n")


if __name__ == "__main__":
    prepare(tyro.cli(Config))
