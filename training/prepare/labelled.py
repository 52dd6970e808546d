r"""Labelled images -> training and held-out image folders of one size.

Labels are columns of a CSV whose column `file` names the images; `old=new` renames one:

    python -m training.prepare.labelled --images faces --labels faces/labels.csv \
        --columns gender eye_open_q=eye_openness mouth_open_q=mouth_openness --out data/faces-64

Without a CSV, each folder of images is a class, and `--class-name` is the label's name:

    python -m training.prepare.labelled --images disasters --class-name disaster \
        --out data/disasters-64
"""

import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from PIL import Image, ImageOps

from genmodels.data import image_files, images
from genmodels.data.splits import hash_fraction
from training.runs.stopping import print_line

SPLITS = ("train", "held_out")
MARK = ".prepare_labelled"  # A folder that holds this file is the script's own.

Row = tuple[Path, dict[str, str]]  # An image and its labels.


@dataclass(frozen=True)
class Config:
    """What to read, and where to write."""

    images: Path  # Folder of images, or of one folder per class.
    out: Path  # Folder to write: new, empty, or written by this script before.
    labels: Path | None = None  # CSV with the column `file` and those named below.
    columns: tuple[str, ...] = ()  # Columns to keep as labels; old=new renames one.
    class_name: str = "class"  # The label's name, where folders are classes.
    resolution: int = 64  # Side of the images in pixels.
    held_out_fraction: float = 0.08  # Share of the images kept from training.


def prepare(config: Config) -> dict[str, int]:
    """Rewrite `out/train` and `out/held_out`; return the number of images in each."""
    if not 0 < config.held_out_fraction < 1:
        raise ValueError(f"held_out_fraction must be in (0, 1), got {config.held_out_fraction}")
    rows = list(_of_folders(config) if config.labels is None else _of_table(config, config.labels))
    if not rows:
        raise ValueError(f"{config.images} must hold labelled images, found none")
    _clear(config.out)
    counts = dict.fromkeys(SPLITS, 0)
    tables = {split: [["file_name", *rows[0][1]]] for split in SPLITS}
    for path, labels in rows:
        name = "-".join(path.relative_to(config.images).with_suffix(".png").parts)
        # By the name alone: no image changes sides when others come or go.
        split = "held_out" if hash_fraction(name) < config.held_out_fraction else "train"
        try:
            photo = images.open_rgb(path)
        except ValueError as error:
            print_line(f"skipped {error}")
            continue
        side = config.resolution
        square = ImageOps.fit(photo, (side, side), Image.Resampling.LANCZOS)
        square.save(config.out / split / name)
        tables[split].append([name, *labels.values()])
        counts[split] += 1
    for split, table in tables.items():
        with (config.out / split / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(table)
    print_line(", ".join(f"{split}: {count} images" for split, count in counts.items()))
    return counts


def _of_folders(config: Config) -> Iterator[Row]:
    for folder in sorted(path for path in config.images.iterdir() if path.is_dir()):
        for path in sorted(folder.iterdir()):
            if image_files.is_image(path.name):
                yield path, {config.class_name: folder.name.replace("_", " ")}


def _of_table(config: Config, table: Path) -> Iterator[Row]:
    if not config.columns:
        raise ValueError("columns must name the labels to keep, got none")
    pairs = [column.partition("=")[::2] for column in config.columns]
    names = {new or old: old for old, new in pairs}
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        missing = {"file", *names.values()} - set(rows.fieldnames or ())
        if missing:
            raise ValueError(f"{table} must have the columns {sorted(missing)}")
        for row in rows:
            if ".." in Path(row["file"]).parts or Path(row["file"]).is_absolute():
                raise ValueError(f"{table} must name files in {config.images}, got {row['file']!r}")
            yield config.images / row["file"], {new: row[old] for new, old in names.items()}


def _clear(out: Path) -> None:
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise ValueError(f"{out} is not empty and was not written by this script")
    for split in SPLITS:
        shutil.rmtree(out / split, ignore_errors=True)
        (out / split).mkdir(parents=True)
    (out / MARK).write_text(
        "training.prepare.labelled may rewrite this folder.\n", encoding="utf-8"
    )


if __name__ == "__main__":
    prepare(tyro.cli(Config))
