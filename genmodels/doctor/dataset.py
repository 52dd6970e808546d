"""The dataset doctor: what is wrong with a folder of images, before a model is trained on it.

report = genmodels.doctor.dataset.check("photos/")
report.verdict  # "go", "caution" or "stop"; report.reasons says why
write_files(report.clean, "clean.txt")  # for the training scripts' --files
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genmodels.data.file_list import write_files
from genmodels.data.image_files import Item, Skipped, list_folder
from genmodels.data.paired_folder import pair_folders, stem
from genmodels.doctor import checks, clusters, duplicates
from genmodels.doctor.expectations import expectations
from genmodels.doctor.readings import Files, Reader, Reading, Readings, read_images
from genmodels.doctor.registration import register
from genmodels.doctor.report import Cluster, Issue, Report, Verdict

__all__ = ["Progress", "Report", "check", "check_steps", "write_files"]

NUM_EXAMPLES = 8
SHARP = 0.8  # Sharpness beyond which two copies are as good: compression adds to it.
HELD_OUT_SPLITS = ("validation", "test", "held_out")
SIDES = SOURCE, TARGET = "source/", "target/"
APART = "held out"
_NOTHING = Readings([], np.empty((0, 1280), np.float32), [], 64)


class Progress(NamedTuple):
    """How far a check is."""

    done: int  # Images that are read.
    total: int


def check(
    folder: str | Path,  # Images as training takes them: also classes, splits, source/ and target/.
    held_out: str | Path | None = None,  # Images to be measured on; default: the folder's own.
    *,
    resolution: int | None = None,  # Side to train at, a multiple of 16; default: what most allow.
    reader: Reader | None = None,  # How files are opened; default: as training does.
    on_progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Check the images of a folder, or its pairs; nothing is changed.

    ValueError if it is no folder, or training could not read its metadata.
    """
    steps = check_steps(folder, held_out, resolution=resolution, reader=reader)
    for step in steps:
        if isinstance(step, Report):
            return step
        if on_progress is not None:
            on_progress(step)
    raise AssertionError("the steps end with the report")


def check_steps(
    folder: str | Path,
    held_out: str | Path | None = None,
    *,
    resolution: int | None = None,
    reader: Reader | None = None,
) -> Iterator[Progress | Report]:
    """As `check`, in steps: at last comes the report."""
    if resolution is not None and (resolution < 32 or resolution % 16):
        raise ValueError(f"resolution must be a multiple of 16 from 32 on, got {resolution}")
    folder, reader = Path(folder), reader or Files()
    if not folder.is_dir():
        raise ValueError(f"the images must lie in a folder, there is no {str(folder)[:200]!r}")
    pairs = pair_folders(folder)
    sides = {"": folder} if pairs is None else {SOURCE: pairs[0], TARGET: pairs[1]}
    listed = {name: list_folder(side) for name, side in sides.items()}
    todo = {name: items for name, (items, _) in listed.items()}
    todo[APART] = _held_out(folder, held_out, is_paired=pairs is not None)
    total, done, read = sum(map(len, todo.values())), 0, {}
    for name, items in todo.items():
        for step in read_images(items, reader, resolution):
            if isinstance(step, Readings):
                read[name] = step
            else:
                yield Progress(done + step, total)
        resolution = read[name].resolution  # The same for all, as they are compared.
        done += len(items)
    if pairs is None:
        yield _images_report(read[""], read[APART], listed[""][1])
    else:
        yield _pairs_report(read, listed)


def _held_out(folder: Path, held_out: str | Path | None, *, is_paired: bool) -> list[Item]:
    """The images that are measured on, of pairs the targets."""
    if is_paired:
        pairs = None if held_out is None else pair_folders(Path(held_out))
        if held_out is not None and pairs is None:
            raise ValueError(f"{held_out} must hold the folders source and target")
        return [] if pairs is None else list_folder(pairs[1])[0]
    if held_out is not None:
        if not Path(held_out).is_dir():
            raise ValueError(f"held-out images must lie in a folder, got {str(held_out)[:200]!r}")
        return list_folder(Path(held_out))[0]
    items = []
    for split in HELD_OUT_SPLITS:
        try:
            of_split, _ = list_folder(folder, split)
        except ValueError:  # There is none.
            continue
        items += [replace(item, name=f"{split}/{item.name}") for item in of_split]
    return items


def _images_report(read: Readings, apart: Readings, others: Skipped) -> Report:
    groups, issues = _set_issues(read, apart, others)
    issues.insert(0, checks.too_few(len(groups), pairs=False))
    bad = {name for issue in issues for name in issue.left_out}
    kept = [image.name for image in read.images if image.name not in bad]
    return _assembled(issues, read, len(groups), kept, pairs=False)


def _pairs_report(
    read: dict[str, Readings], listed: dict[str, tuple[list[Item], Skipped]]
) -> Report:
    """Both sides by themselves, and whether they lie on each other."""
    keys = {side: {stem(item.name): item.name for item in listed[side][0]} for side in SIDES}
    alone = [
        side + name
        for side, other in (SIDES, SIDES[::-1])
        for key, name in keys[side].items()
        if key not in keys[other]
    ]
    source, target = ({stem(i.name): i for i in read[side].images} for side in SIDES)
    both = sorted(source.keys() & target.keys())
    off = [TARGET + target[k].name for k in both if register(source[k].grey, target[k].grey).is_off]
    issues = [checks.unpaired(alone), checks.misregistered(off, len(both))]
    groups, of_target = _set_issues(read[TARGET], read[APART], listed[TARGET][1])
    _, of_source = _set_issues(read[SOURCE], _NOTHING, listed[SOURCE][1])
    issues += [_prefixed(issue, TARGET) for issue in of_target]
    issues += [
        replace(
            _prefixed(issue, SOURCE), name=f"source_{issue.name}", title=f"{issue.title}, source"
        )
        for issue in of_source
        if issue.level != "ok" and issue.name != "mixed_subjects"
    ]
    bad = {stem(name.partition("/")[2]) for issue in issues for name in issue.left_out}
    kept = [target[key].name for key in both if key not in bad]
    issues.insert(0, checks.too_few(len(groups), pairs=True))
    return _assembled(issues, read[TARGET], len(groups), kept, pairs=True)


def _set_issues(
    read: Readings, apart: Readings, others: Skipped
) -> tuple[list[list[int]], list[Issue]]:
    """The images in groups of one photograph, and all checks of them but their number."""
    images, count = read.images, len(read.images)
    names = [image.name for image in (*images, *apart.images)]
    exact = duplicates.exact_firsts([*images, *apart.images])
    firsts = [row for row, first in enumerate(exact) if row == first]
    features = np.concatenate([read.features, apart.features])
    near = duplicates.near_pairs([*images, *apart.images], features, firsts)
    photographs = duplicates.groups(len(names), exact, near)
    groups = [part for group in photographs if (part := [row for row in group if row < count])]
    equal, alike, kept = [], [], set()
    for group in groups:
        best = max(group, key=lambda row: _worth(images[row]))
        copies: dict[int, list[int]] = {}
        for row in sorted(group, key=lambda row: row != best):  # The best is the first of its own.
            copies.setdefault(exact[row], []).append(row)
        kept |= {names[rows[0]] for rows in copies.values()}
        equal += [[names[row] for row in rows] for rows in copies.values() if len(rows) > 1]
        if len(copies) > 1:
            alike.append([names[rows[0]] for rows in copies.values()])
    issues = [
        checks.unreadable(read.skipped, count),
        checks.other_files(others),
        checks.exact_duplicates(equal, count),
        checks.near_duplicates(alike, count),
        *checks.picture_issues(images, read.resolution),
    ]
    if apart.images:
        shared = [[names[row] for row in g] for g in photographs if g[0] < count <= g[-1]]
        issues.append(checks.overlap(shared, set(names[:count]), len(apart.images)))
    return groups, issues


def _worth(image: Reading) -> tuple[int, float]:
    """Which of several files of one photograph to keep: the largest, unless it is blurred."""
    width, height = image.size
    return width * height, min(image.sharpness, SHARP)


def _assembled(
    issues: list[Issue], read: Readings, effective: int, clean: list[str], *, pairs: bool
) -> Report:
    found, shown = _clusters(read)
    has_classes = any(image.class_name is not None for image in read.images)
    issues.append(checks.mixed([each.share for each in shown], has_classes=has_classes))
    levels = [issue.level for issue in issues]
    verdict: Verdict = "stop" if "stop" in levels else "caution" if "caution" in levels else "go"
    grave = sorted(
        (issue for issue in issues if issue.level in ("stop", "caution")),
        key=lambda issue: issue.level != "stop",
    )
    return Report(
        verdict=verdict,
        reasons=[f"{issue.title}: {issue.summary}" for issue in grave],
        num_images=len(read.images),
        effective_images=effective,
        resolution=read.resolution,
        spread=round(found.spread, 4),
        issues={issue.name: issue for issue in issues},
        clusters=shown,
        expected=expectations(effective, found.spread, pairs=pairs),
        clean=clean,
    )


def _clusters(read: Readings) -> tuple[clusters.Clusters, list[Cluster]]:
    """The clusters of a set, as they were found and as they are shown."""
    found = clusters.cluster(read.features)
    labels = found.labels
    shown = []
    for label in range(int(labels.max(initial=-1)) + 1):
        rows = np.flatnonzero(labels == label)
        typical = clusters.examples(read.features, labels, label, NUM_EXAMPLES)
        names = [read.images[row].name for row in rows]
        examples = [read.images[row].name for row in typical]
        shown.append(Cluster(round(len(rows) / len(labels), 3), examples, names))
    return found, shown


def _prefixed(issue: Issue, prefix: str) -> Issue:
    """An issue of one side of pairs, its images named with their folder."""
    groups = [[prefix + name for name in group] for group in issue.groups]
    images, left_out = ([prefix + name for name in x] for x in (issue.images, issue.left_out))
    return replace(issue, images=images, left_out=left_out, groups=groups)
