"""Does the dataset doctor see what is wrong? Faults planted in real sets, and untouched controls.

    python -m training.experiments.plant_faults --sets data/churches data/landscapes \
        --pairs data/comic_pairs

For each set, images are copied, changed and mixed on purpose; the table says how many of them the
doctor names, and how many untouched images it names for the same fault.
"""

import io
import itertools
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import tyro
from PIL import Image, ImageEnhance, ImageFilter

from genmodels.data import images
from genmodels.data.image_files import Item, list_folder
from genmodels.doctor.clusters import cluster
from genmodels.doctor.dataset import check
from genmodels.doctor.readings import Files, Readings, read_images
from genmodels.doctor.report import Report

RESULTS = Path(__file__).with_name("results")
SIDE = 128  # Pixels that images are planted at and checked for.
SHARE = 0.3  # Share of the images that get a fault.
MIXES = (0.5, 0.3, 0.1)  # Share of the smaller of two mixed sets.
DRAWS = 4  # Random parts of each single set, as controls of mixed ones.
DETECTED, FALSE_ALARMS = 0.95, 0.05  # What is wanted.

Images = dict[str, Image.Image]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the experiment."""

    sets: tuple[Path, ...]  # Folders of images that no threshold was tuned on.
    pairs: tuple[Path, ...] = ()  # Folders with source/ and target/ that lie on each other.
    num_images: int = 120  # Images of each set, evenly chosen.
    seed: int = 0  # Which images get which fault, and how.
    results: Path = RESULTS  # Where plant_faults.json and .md are written.


class Score(NamedTuple):
    """One fault in one set."""

    fault: str
    data: str
    planted: int
    detected: int
    untouched: int
    alarms: int  # Of those.


def compare(config: Config) -> None:
    """Plant, check, write the tables."""
    rng = np.random.default_rng(config.seed)
    scores: list[Score] = []
    features: dict[str, np.ndarray] = {}
    for folder in config.sets:
        chosen = _some(list_folder(folder)[0], config.num_images)
        pictures = {f"{row:04d}": _square(item) for row, item in enumerate(chosen)}
        scores += image_scores(folder.name, pictures, rng)
        features[folder.name] = _features(chosen)
        print(f"{folder.name}: done", flush=True)
    scores += mixed_scores(features, rng)
    for folder in config.pairs:
        scores.append(pair_score(folder, config.num_images // 2, rng))
    record = [score._asdict() for score in scores]
    config.results.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".json", json.dumps(record, indent=1) + "\n"), (".md", table(scores))):
        (config.results / f"plant_faults{suffix}").write_text(text, encoding="utf-8")


def image_scores(name: str, pictures: Images, rng: np.random.Generator) -> list[Score]:
    """One set with all faults of single images, each in other images where it replaces them."""
    names = list(rng.permutation(list(pictures)))
    count = round(SHARE * len(names))
    blurred_names, boxed_names = names[:count], names[count : 2 * count]
    whole = names[2 * count :]
    set_images = dict(pictures)
    changes: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]]
    changes = dict.fromkeys(blurred_names, blurred) | dict.fromkeys(boxed_names, letterboxed)
    for key, change in changes.items():
        set_images[key] = change(pictures[key], rng)
    copied, altered, held = (list(rng.choice(whole, len(whole) // 3, replace=False)) for _ in "abc")
    set_images |= {f"copy-{n}": pictures[n] for n in copied}
    set_images |= {f"near-{n}": near_copy(pictures[n], rng) for n in altered}
    # Held-out images: half of them known, half of them left out of training.
    unknown = blurred_names[: len(held)]
    held_out = {f"held-{n}": near_copy(pictures[n], rng) for n in held}
    held_out |= {f"other-{n}": pictures[n] for n in unknown}
    for key in unknown:
        del set_images[key]
    report = checked(set_images, held_out)
    blurred_names = blurred_names[len(unknown) :]
    found = {issue.name: {_bare(n) for n in issue.images} for issue in report.issues.values()}
    clean = set(whole) - set(copied) - set(altered)
    shared = {_bare(n) for group in report.issues["train_test_overlap"].groups for n in group}
    faults = {
        "exact copies": ("exact_duplicates", {f"copy-{n}" for n in copied}, clean),
        "near copies": ("near_duplicates", {f"near-{n}" for n in altered}, clean),
        "blurred": ("blurry", set(blurred_names), set(whole)),
        "letterboxed": ("letterboxed", set(boxed_names), set(whole)),
    }
    scores = [
        Score(fault, name, len(bad), len(bad & found[issue]), len(good), len(good & found[issue]))
        for fault, (issue, bad, good) in faults.items()
    ]
    bad, good = {f"held-{n}" for n in held}, {f"other-{n}" for n in unknown}
    counts = (len(bad), len(bad & shared), len(good), len(good & shared))
    return [*scores, Score("overlap with held-out images", name, *counts)]


def mixed_scores(features: dict[str, np.ndarray], rng: np.random.Generator) -> list[Score]:
    """Every two sets, mixed; and random parts of single sets."""
    singles = [
        int(cluster(some[rng.permutation(len(some))[: 3 * len(some) // 4]]).labels.max() > 0)
        for some in features.values()
        for _ in range(DRAWS)
    ]
    scores = []
    for share in MIXES:
        found = []
        for large, small in itertools.permutations(features.values(), 2):
            count = min(len(small), round(len(large) * share / (1 - share)))
            both = [large, small[rng.permutation(len(small))[:count]]]
            found.append(int(cluster(np.concatenate(both)).labels.max() > 0))
        fault = f"two sets mixed, {share:.0%} of the second"
        counts = (len(found), sum(found), len(singles), sum(singles))
        scores.append(Score(fault, "all", *counts))
    return scores


def pair_score(folder: Path, num_pairs: int, rng: np.random.Generator) -> Score:
    """Pairs of which some targets are shifted by 4 to 10 % of the side."""
    sides = [_some(list_folder(folder / side)[0], num_pairs) for side in ("source", "target")]
    sources, targets = ({Path(item.name).stem: _square(item) for item in items} for items in sides)
    names = sorted(sources.keys() & targets.keys())
    moved = set(rng.choice(names, round(SHARE * len(names)), replace=False))
    for name in sorted(moved):  # The order of a set differs from run to run.
        targets[name] = shifted(targets[name], rng)
    with tempfile.TemporaryDirectory() as place:
        for side, pictures in (("source", sources), ("target", targets)):
            _write({name: pictures[name] for name in names}, Path(place) / side)
        report = check(place, resolution=SIDE)
    found = {_bare(name) for name in report.issues["misregistered_pairs"].images}
    good = set(names) - moved
    counts = (len(moved), len(moved & found), len(good), len(good & found))
    return Score("pairs out of register", folder.name, *counts)


def near_copy(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The same photograph in another file: cropped, brighter or darker, compressed again."""
    width, height = picture.size
    share = rng.uniform(0.82, 1)
    size = round(share * width), round(share * height)
    left, top = (int(rng.integers(0, a - b + 1)) for a, b in zip(picture.size, size, strict=True))
    part = picture.crop((left, top, left + size[0], top + size[1])).resize(picture.size)
    part = ImageEnhance.Brightness(part).enhance(rng.uniform(0.75, 1.25))
    if rng.random() < 0.25:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return compressed(part, int(rng.integers(40, 90)))


def blurred(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Out of focus by 1.6 to 4 px at the side that is trained at."""
    scale = min(picture.size) / _side({"": picture})
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(1.6, 4) * scale))


def letterboxed(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Squeezed between two bars, black, white or grey, of 5 to 20 % each."""
    width, height = picture.size
    bar = round(rng.uniform(0.05, 0.2) * height)
    colour = tuple([int(rng.choice([0, 0, 255, 128]))] * 3)
    sheet = Image.new("RGB", picture.size, colour)
    if rng.random() < 0.5:
        sheet.paste(picture.crop((0, bar, width, height - bar)), (0, bar))
    else:
        sheet.paste(picture.crop((bar, 0, width - bar, height)), (bar, 0))
    return sheet


def shifted(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Moved in any direction, its edge repeated."""
    distance, angle = rng.uniform(0.04, 0.1) * picture.width, rng.uniform(0, 2 * np.pi)
    x, y = round(distance * np.cos(angle)), round(distance * np.sin(angle))
    margin = round(0.1 * picture.width) + 1
    padded = np.pad(np.asarray(picture), ((margin, margin), (margin, margin), (0, 0)), "edge")
    rows, columns = slice(margin + y, margin + y + picture.height), slice(margin + x, None)
    return Image.fromarray(padded[rows, columns][:, : picture.width])


def compressed(picture: Image.Image, quality: int) -> Image.Image:
    """As a JPEG gives it back."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def checked(set_images: Images, held_out: Images) -> Report:
    """The doctor's report on pictures, written to a folder as JPEGs."""
    with tempfile.TemporaryDirectory() as place:
        folders = Path(place) / "set", Path(place) / "apart"
        for folder, pictures in zip(folders, (set_images, held_out), strict=True):
            _write(pictures, folder)
        return check(*folders, resolution=_side(set_images))


def table(scores: list[Score]) -> str:
    """Detection and false alarms of each fault, over all sets and in the worst one."""
    lines = [
        "| planted fault | detected | false alarms | worst set |",
        "| --- | --- | --- | --- |",
    ]
    for fault in dict.fromkeys(score.fault for score in scores):
        of_fault = [score for score in scores if score.fault == fault]
        sums = [sum(column) for column in zip(*(score[2:] for score in of_fault), strict=True)]
        worst = min(of_fault, key=lambda score: score.detected / score.planted)
        planted, detected, untouched, alarms = sums
        good = detected >= DETECTED * planted and alarms <= FALSE_ALARMS * untouched
        lines.append(
            f"| {fault}{'' if good else ' (falls short)'} | {detected} of {planted} "
            f"({detected / planted:.0%}) | {alarms} of {untouched} "
            f"({alarms / max(1, untouched):.0%}) | {worst.data}: {worst.detected} of "
            f"{worst.planted} |"
        )
    return "\n".join(lines) + "\n"


def _side(pictures: Images) -> int:
    """What the pictures are checked for: 64 px where they have no more."""
    return SIDE if min(next(iter(pictures.values())).size) >= SIDE else SIDE // 2


def _some(items: list[Item], count: int) -> list[Item]:
    return [
        items[row] for row in np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)
    ]


def _square(item: Item) -> Image.Image:
    picture = images.open_rgb(item.open())
    return images.fit_square(picture, min(2 * SIDE, *picture.size))


def _features(items: list[Item]) -> np.ndarray:
    *_, read = read_images(items, Files(), SIDE)
    assert isinstance(read, Readings)
    return read.features


def _write(pictures: Images, folder: Path) -> None:
    """Equal pictures become equal files."""
    folder.mkdir()
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.jpg", quality=92)


def _bare(name: Any) -> str:
    return Path(str(name)).stem


if __name__ == "__main__":
    compare(tyro.cli(Config))
