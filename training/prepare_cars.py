"""Photographs of cars and their label table -> training and held-out image folders.

The table is a CSV with the columns `file`, `class` (make model body year), `year`, `body` and
`filled_fraction` (how much of the square had to be invented at its borders). The result is two
folders in the imagefolder convention, read by `genmodels.data.ImageFolder`:

    python training/prepare_cars.py --photos PHOTOS --labels cars_labels.csv --out data/cars-64
"""

import csv
import hashlib
import json
import os
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from genmodels import images

COLUMNS = ("file", "class", "year", "body", "filled_fraction")
TWO_WORD_MAKES = ("AM General", "Alfa Romeo", "Aston Martin", "Land Rover")
MARK = ".prepare_cars"  # A folder that holds this file is the script's own.

Row = dict[str, Any]


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


def prepare(config: Config) -> dict[str, int]:
    """Write `out/train` and `out/held_out` anew; return how many images each of them holds."""
    if not 0 < config.held_out_fraction < 1:
        raise ValueError(f"held_out_fraction must be in (0, 1), got {config.held_out_fraction}")
    splits: dict[str, list[Row]] = {"train": [], "held_out": []}
    for row in read_labels(config.labels):
        if row["filled_fraction"] <= config.max_filled_fraction:
            splits[split_of(row["file"], config.held_out_fraction)].append(row)
    clear(config.out, list(splits))
    counts = {}
    for split, rows in splits.items():
        written = write_images(rows, config.out / split, config)
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
    digest = hashlib.sha256(name.encode()).digest()
    return "held_out" if int.from_bytes(digest[:8]) < held_out_fraction * 2**64 else "train"


def clear(out: Path, splits: list[str]) -> None:
    """Empty the output folder if it is this script's, and leave the mark that says so."""
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise ValueError(f"{out} is not empty and was not written by prepare_cars")
    for split in splits:
        shutil.rmtree(out / split, ignore_errors=True)
        (out / split).mkdir(parents=True)
    (out / MARK).write_text("prepare_cars may write this folder anew.\n", encoding="utf-8")


def write_images(rows: list[Row], folder: Path, config: Config) -> list[Row]:
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
        images.fit_square(photo, config.resolution).save(folder / row["file_name"])
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = list(pool.map(write, rows))
    for reason in filter(None, reasons):
        print(f"skipped {reason}")
    return [row for row, reason in zip(rows, reasons, strict=True) if reason is None]


def write_metadata(rows: list[Row], folder: Path) -> None:
    """One JSON line per image, sorted by name: all of its row but where it came from."""
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as file:
        for row in sorted(rows, key=lambda row: row["file_name"]):
            file.write(json.dumps({k: v for k, v in row.items() if k != "file"}) + "\n")


if __name__ == "__main__":
    prepare(tyro.cli(Config))
