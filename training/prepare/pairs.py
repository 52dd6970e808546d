"""Pictures -> pairs of source and target for translation, in three splits that share nothing.

    python -m training.prepare.pairs coloring --photos PHOTOS --out data/pairs-coloring
    python -m training.prepare.pairs comic --photos P --targets T --labels sources.csv --out ...
    python -m training.prepare.pairs monet --photos PHOTOS --paintings MONET --out data/pairs-monet
    python -m training.prepare.pairs joined --joined FACADES --out ...     left and right halves
    python -m training.prepare.pairs paired --photos P --targets T --out ...    any two folders

The result is OUT/{train,validation,held_out}/{source,target}/NAME.png, of one name on both sides;
for coloring only the target, as the source is its grey. OUT/pairs.csv says of each picture where it
went and why, OUT/sheet.png shows some. Pictures that repeat each other stay in one split, which a
hash of the group's first name decides. The same command again rewrites the same folder.
"""

import csv
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import numpy as np
import tyro
from PIL import Image

from genmodels.data import image_files, images
from training.prepare import pair_checks
from training.prepare.comic_teacher import comic_teacher
from training.prepare.monet_teacher import monet_teacher, study
from training.runs.held_out import skipped_lines
from training.runs.stopping import print_line

MARK = ".prepare_pairs"  # A folder that holds this file is the script's own.
STAGE = ".all"  # Where pictures lie until all are known and the splits are drawn.
SHEET_PAIRS, SHEET_SIDE = 8, 128
MIN_CHROMA = 4.0  # In Lab; a photograph of less is grey and teaches no colours.

Picture = Image.Image
Pair = tuple[Picture | None, Picture]  # Source and target; coloring has no source.


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What all tasks have."""

    out: Path  # Folder to write: new, empty, or written by this script before.
    resolution: int = 256  # Side of the pictures in pixels, 64 to 1024.
    limit: int | None = None  # Use only this many pictures, chosen by a hash of their names.
    max_shift: float | None = 2.0  # Drop pairs that lie more beside each other, in pixels at 256.


@dataclass(frozen=True, kw_only=True)
class Coloring(Settings):
    """Photographs whose colours are to be found from their grey."""

    photos: list[Path]  # Folders.
    limit_each: int | None = None  # At most this many per folder, chosen as by --limit.


@dataclass(frozen=True, kw_only=True)
class Comic(Settings):
    """Faces and their comics, drawn by others or by our teacher."""

    photos: Path | None = None  # Folder of faces.
    targets: Path | None = None  # Folder of comics with the same names.
    labels: Path | None = None  # CSV with the columns file and style.
    style: str = "v1"  # Which style to keep; "all" mixes them.
    from_photos: Path | None = None  # Folder of faces that our teacher draws.


@dataclass(frozen=True, kw_only=True)
class Monet(Settings):
    """Photographs, painted by our teacher."""

    photos: Path  # Folder.
    paintings: Path  # Folder of paintings that give the colours.


@dataclass(frozen=True, kw_only=True)
class Joined(Settings):
    """Files that hold source and target side by side, as pix2pix' own data sets."""

    joined: Path  # Folder.
    swap: bool = False  # The source is on the right, as in the facades.
    # One file was made as one; label maps follow their photographs too loosely to be measured.
    max_shift: float | None = None  # Drop pairs that lie more beside each other.


@dataclass(frozen=True, kw_only=True)
class Paired(Settings):
    """Two folders with the same names."""

    photos: Path  # Folder of sources.
    targets: Path  # Folder of targets.


Config = Coloring | Comic | Monet | Joined | Paired


@dataclass
class Row:
    """A line of pairs.csv."""

    name: str
    split: str = ""
    group: str = ""
    source_file: str = ""
    style: str = ""
    shift_px: float | str = ""
    correlation: float | str = ""
    dropped: str = ""  # Why.


@dataclass
class Candidate:
    """A pair before it is looked at."""

    row: Row
    read: Callable[[], Pair]  # Both of one size; raises ValueError for what is unusable.
    related: str = ""  # Name of the first pair that shows the same subject, by its label.
    descriptions: list[np.ndarray] = field(default_factory=list)  # Source and target.


def prepare(config: Config) -> dict[str, int]:
    """Write the pairs; return how many each split holds.

    Errors: ValueError where there are no pairs, names without a partner, too few for three splits.
    """
    if not pair_checks.MIN_SIDE <= config.resolution <= pair_checks.MAX_SIDE:
        raise ValueError(f"resolution must be 64 to 1024, got {config.resolution}")
    if config.limit is not None and config.limit < 3:
        raise ValueError(f"limit must be 3 or more, got {config.limit}")
    if isinstance(config, Coloring) and config.limit_each is not None and config.limit_each < 1:
        raise ValueError(f"limit_each must be 1 or more, got {config.limit_each}")
    if config.max_shift is not None and not config.max_shift > 0:
        raise ValueError(f"max_shift must be above 0, got {config.max_shift}")
    candidates = choose(list_candidates(config), config.limit)
    open_stage(config.out)
    staged = stage(candidates, config)
    tell_dropped(candidates)
    draw_splits(staged)
    counts = dict.fromkeys(pair_checks.SPLITS, 0)
    counts |= Counter(each.row.split for each in staged)
    if any(counts[split] < least for split, least in pair_checks.LEAST.items()):
        shutil.rmtree(config.out / STAGE)
        raise ValueError(
            "too few pairs for three splits: they must hold "
            f"{', '.join(map(str, pair_checks.LEAST.values()))} or more, got {counts}; what "
            "repeats itself stays in one of them"
        )
    clear(config.out)  # Only now: what was there is lost.
    for side in sorted((config.out / STAGE).iterdir()):
        for split in counts:
            (config.out / split / side.name).mkdir(parents=True)
        for each in staged:
            (side / each.row.name).rename(config.out / each.row.split / side.name / each.row.name)
    shutil.rmtree(config.out / STAGE)
    write_table([each.row for each in candidates], config.out / "pairs.csv")
    write_sheet([each.row for each in staged], config.out)
    check_leakage(config.out)
    print(*(f"{split}: {number} pairs" for split, number in counts.items()), sep="\n")
    return counts


def list_candidates(config: Config) -> list[Candidate]:
    """The task's pairs, sorted by name."""
    if isinstance(config, Coloring):
        candidates = list_coloring(config)
    elif isinstance(config, Comic):
        candidates = list_comic(config)
    elif isinstance(config, Monet):
        read = partial(make_target, teacher=painter(config))
        candidates = [
            candidate(path, partial(read, path, config)) for path in list_folder(config.photos)
        ]
    elif isinstance(config, Joined):
        candidates = [
            candidate(path, partial(split_halves, path, config))
            for path in list_folder(config.joined)
        ]
    else:
        candidates = list_pairs(config.photos, config.targets)
    names = Counter(each.row.name for each in candidates)
    if repeated := [name for name, number in names.items() if number > 1]:
        raise ValueError(f"names must differ, got {say(repeated)} more than once")
    return sorted(candidates, key=lambda each: each.row.name)


def list_folder(folder: Path) -> list[Path]:
    """The image files of a folder, sorted."""
    if not folder.is_dir():
        raise ValueError(f"{folder} must be a folder of pictures, there is none")
    files, skipped = image_files.walk(folder)
    paths = [path for name, path in files.items() if "/" not in name and image_files.is_image(name)]
    skipped += [
        (name, "it lies in a sub-folder" if "/" in name else image_files.NOT_AN_IMAGE)
        for name, path in files.items()
        if path not in paths
    ]
    for line in skipped_lines(sorted(skipped)):
        print_line(f"{folder}:{line}")
    if not paths:
        raise ValueError(f"{folder} must hold pictures ({' '.join(images.SUFFIXES)}), got none")
    return sorted(paths)


def candidate(
    path: Path, read: Callable[[], Pair], *, prefix: str = "", style: str = ""
) -> Candidate:
    """A pair that is named after a file."""
    row = Row(
        f"{prefix}{path.stem}.png", source_file=f"{path.parent.name}/{path.name}", style=style
    )
    return Candidate(row, read)


def list_coloring(config: Coloring) -> list[Candidate]:
    """Photographs; with several folders, their names begin with the folder's."""

    def read(path: Path) -> Pair:
        photo = images.open_rgb(path)
        if pair_checks.chroma(np.array(images.fit_square(photo, 128))) < MIN_CHROMA:
            raise ValueError("near-grey")
        return None, photo

    candidates = []
    for folder in config.photos:
        prefix = f"{folder.name}-" * (len(config.photos) > 1)
        in_folder = [candidate(p, partial(read, p), prefix=prefix) for p in list_folder(folder)]
        candidates += choose(in_folder, config.limit_each)
    return candidates


def list_pairs(sources: Path, targets: Path, *, refuse_pixelated: bool = False) -> list[Candidate]:
    """The pairs of two folders by equal names; suffixes may differ."""
    left, right = (by_stem(list_folder(folder)) for folder in (sources, targets))
    for folder, alone in ((sources, left.keys() - right), (targets, right.keys() - left)):
        if alone:
            raise ValueError(f"each name must be in both folders, only {folder} has {say(alone)}")

    def read(stem: str) -> Pair:
        source, target = images.open_rgb(left[stem]), images.open_rgb(right[stem])
        if source.size != target.size:
            raise ValueError(f"sizes differ: {source.size} and {target.size}")
        if refuse_pixelated and pair_checks.pixelated(np.array(source)):
            raise ValueError("pixelated")
        return source, target

    return [candidate(left[stem], partial(read, stem)) for stem in left]


def by_stem(paths: list[Path]) -> dict[str, Path]:
    """Files by their names without endings, which must differ."""
    by_name = {path.stem: path for path in paths}
    if len(by_name) < len(paths):
        lost = [path.name for path in paths if by_name[path.stem] != path]
        raise ValueError(f"names must differ without their endings, got {say(lost)} once more")
    return by_name


def list_comic(config: Comic) -> list[Candidate]:
    """Pairs of a style, and faces for the teacher."""
    if (config.photos is None) != (config.targets is None):
        raise ValueError("photos and targets must be given together, or from_photos alone")
    if config.photos is None and config.from_photos is None:
        raise ValueError("comic needs photos and targets, or from_photos, got neither")
    candidates = []
    if config.photos and config.targets:
        candidates = list_drawn(config.photos, config.targets, config)
    if config.from_photos:
        read = partial(make_target, teacher=comic_teacher)
        for path in list_folder(config.from_photos):
            reader = partial(read, path, config)
            candidates.append(candidate(path, reader, prefix="inked-", style="teacher"))
    return candidates


def list_drawn(photos: Path, targets: Path, config: Comic) -> list[Candidate]:
    """The pairs of the style that is asked for, with what the labels tell of them."""
    candidates = list_pairs(photos, targets, refuse_pixelated=True)
    if config.labels is None and config.style != "all":
        raise ValueError(f'style "{config.style}" needs labels; without, it must be "all"')
    labels = read_labels(config.labels) if config.labels else {}
    first: dict[tuple[str, str], str] = {}
    for each in candidates:
        label = labels.get(Path(each.row.source_file).name, {})
        each.row.style = label.get("style", "")
        # The same tile of a publisher's grids shows the same person in each style.
        if label.get("path", "").startswith("samples/"):
            place = label.get("repo", ""), label.get("tile", "")
            each.related = first.setdefault(place, each.row.name)
    styles = Counter(each.row.style for each in candidates)
    if config.style not in ("all", *styles):
        raise ValueError(f'style must be "all" or one of {sorted(styles)}, got "{config.style}"')
    print(f"styles: {dict(styles)}, kept: {config.style}")
    return [each for each in candidates if config.style in ("all", each.row.style)]


def read_labels(path: Path) -> dict[str, dict[str, str]]:
    """The rows of a table by file."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if missing := {"file", "style"} - set(reader.fieldnames or ()):
            raise ValueError(f"{path} must have the columns file and style, it lacks {missing}")
        return {row["file"]: row for row in reader}


def painter(config: Monet) -> Callable[[np.ndarray], np.ndarray]:
    """Our Monet, who has seen the paintings."""
    seen = [images.fit_square(images.open_rgb(p), 256) for p in list_folder(config.paintings)]
    return partial(monet_teacher, paintings=study([np.array(painting) for painting in seen]))


def make_target(path: Path, config: Settings, teacher: Callable[[np.ndarray], np.ndarray]) -> Pair:
    """A photograph, and what a teacher makes of it at the size that is written."""
    photo = images.fit_square(images.open_rgb(path), config.resolution)
    return photo, Image.fromarray(teacher(np.array(photo)))


def split_halves(path: Path, config: Joined) -> Pair:
    """The two halves of a file."""
    both = images.open_rgb(path)
    if both.width % 2:
        raise ValueError(f"the width must be even, got {both.width}")
    half = both.width // 2
    left, right = both.crop((0, 0, half, both.height)), both.crop((half, 0, 2 * half, both.height))
    return (right, left) if config.swap else (left, right)


def say(names: set[str] | list[str]) -> str:
    """Some of many names."""
    some = ", ".join(sorted(names)[:5])
    return some if len(names) <= 5 else f"{some} and {len(names) - 5} more"


def choose(candidates: list[Candidate], limit: int | None) -> list[Candidate]:
    """At most `limit` of them, chosen by a hash of their names."""
    rank = sorted(candidates, key=lambda each: pair_checks.fraction_of(each.row.name, "limit"))
    return sorted(rank[:limit], key=lambda each: each.row.name)


def open_stage(out: Path) -> None:
    """An empty place for new pairs in a folder that is this script's, and the mark that says so."""
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise ValueError(f"{out} is not empty and was not written by prepare_pairs")
    shutil.rmtree(out / STAGE, ignore_errors=True)
    (out / STAGE).mkdir(parents=True)
    (out / MARK).write_text("prepare_pairs may rewrite this folder.\n", encoding="utf-8")


def clear(out: Path) -> None:
    """Remove what an earlier command wrote."""
    for file in ("sheet.png", "pairs.csv"):
        (out / file).unlink(missing_ok=True)
    for folder in pair_checks.SPLITS:
        shutil.rmtree(out / folder, ignore_errors=True)


def stage(candidates: list[Candidate], config: Settings) -> list[Candidate]:
    """Read, check and write all pairs; return those that are usable, the others' rows say why."""
    seen: dict[bytes, str] = {}
    staged = []
    for number, each in enumerate(candidates, 1):
        try:
            sides = [
                images.fit_square(picture, config.resolution) if picture else None
                for picture in each.read()
            ]
            check(each, [np.array(side) for side in sides if side], seen, config.max_shift)
        except ValueError as error:
            each.row.dropped = str(error)
            continue
        for folder, side in zip(("source", "target"), sides, strict=True):
            if side:
                (config.out / STAGE / folder).mkdir(exist_ok=True)
                side.save(config.out / STAGE / folder / each.row.name)
        staged.append(each)
        if number % 200 == 0:
            print(f"{number} of {len(candidates)}", flush=True)
    return staged


def check(
    each: Candidate, sides: list[np.ndarray], seen: dict[bytes, str], max_shift: float | None
) -> None:
    """Fill in what is measured of a pair; a ValueError is the reason to drop it."""
    digest = hashlib.sha256(b"".join(side.tobytes() for side in sides)).digest()
    if other := seen.get(digest):
        raise ValueError(f"the same pixels as {other}")
    if len(sides) == 2:
        shift = pair_checks.registration(*sides)
        each.row.shift_px = round(shift.shift_px, 2)
        each.row.correlation = round(shift.correlation, 3)
        if max_shift is not None and shift.beside(max_shift):
            raise ValueError(f"the target lies {shift.shift_px:.2f} px beside the source")
    seen[digest] = each.row.name
    each.descriptions = [pair_checks.describe(side) for side in sides]


def tell_dropped(candidates: list[Candidate]) -> None:
    """Print how many pairs are kept, and of those that are not the reasons."""
    dropped = [each.row for each in candidates if each.row.dropped]
    print(f"{len(candidates) - len(dropped)} of {len(candidates)} pictures or pairs kept")
    for row in dropped[:20]:
        print_line(f"dropped {row.source_file}: {row.dropped}")
    if len(dropped) > 20:
        print(f"dropped {len(dropped) - 20} more, see pairs.csv")


def draw_splits(staged: list[Candidate]) -> None:
    """Fill in groups and splits, and print how large the groups are."""
    if not staged:
        raise ValueError("there must be usable pairs, got none")
    names = [each.row.name for each in staged]
    sides = [np.stack(side) for side in zip(*(each.descriptions for each in staged), strict=True)]
    groups = pair_checks.groups(names, sides, [each.related for each in staged])
    splits = pair_checks.splits_of(groups)
    for each, group in zip(staged, groups, strict=True):
        each.row.group, each.row.split = group, splits[group]
    several = [size for size in Counter(groups).values() if size > 1]
    print(f"{len(set(groups))} groups, {len(several)} of several pairs ({sum(several)} pairs)")


def write_table(rows: list[Row], path: Path) -> None:
    """One line per pair, dropped ones too."""
    # A file's name may hold bytes that UTF-8 has no character for.
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def write_sheet(rows: list[Row], out: Path) -> None:
    """Some pairs of each split for a person to look at: sources in a row, their targets below."""
    tiles = []
    for split in pair_checks.SPLITS:
        names = [row.name for row in rows if row.split == split]
        chosen = np.linspace(0, len(names) - 1, min(SHEET_PAIRS, len(names)), dtype=int)
        empty = [Image.new("RGB", (SHEET_SIDE,) * 2, "white")] * (SHEET_PAIRS - len(chosen))
        targets = [images.open_rgb(out / split / "target" / names[i]) for i in chosen]
        if (out / split / "source").is_dir():
            sources = [images.open_rgb(out / split / "source" / names[i]) for i in chosen]
        else:
            sources = [target.convert("L").convert("RGB") for target in targets]
        for side in (sources, targets):
            tiles += [images.fit_square(picture, SHEET_SIDE) for picture in side] + empty
    images.grid(tiles, SHEET_PAIRS).save(out / "sheet.png")


def check_leakage(out: Path) -> None:
    """Read the splits again and compare their sources: none may repeat one of another split."""
    paths, descriptions = {}, {}
    for split in pair_checks.SPLITS:
        side = "source" if (out / split / "source").is_dir() else "target"
        paths[split] = sorted((out / split / side).iterdir())
        pictures = [np.array(images.open_rgb(path)) for path in paths[split]]
        descriptions[split] = np.stack([pair_checks.describe(picture) for picture in pictures])
    nearest, places = pair_checks.nearest_across(descriptions)
    where = " and ".join(f"{split}/{paths[split][i].name}" for split, i in places.items())
    print_line(f"nearest sources across splits: {where}, correlation {nearest:.3f}")
    if nearest > pair_checks.LEAK:
        raise ValueError(f"splits must share no picture, {where} correlate by {nearest:.3f}")


if __name__ == "__main__":
    prepare(tyro.cli(Config))
