"""Visitors' sets of images: unpacked into a folder of their own, and checked by the doctor."""

import hashlib
import html
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from PIL import Image

from genmodels.ui.server import work_folder
from genmodels.ui.services import photos, workers
from genmodels.ui.services.decoder import DECODER

MEGABYTES = 900  # Memory of the process: 5,000 images take about 400.
MAX_FILES = 64  # As many as one upload may have.
MAX_IMAGES = 5_000  # Files in a ZIP.
MAX_ENTRY_BYTES = 30 << 20
MAX_BYTES = 400 << 20  # All files of a ZIP, unpacked.
MAX_SHOWN = 6  # Pictures of each issue or kind.
THUMBNAIL_SIDE = 192
RESOLUTIONS = {"As the images allow": None, "64 px": 64, "128 px": 128, "256 px": 256}

_PART = re.compile(r"[^\x00-\x1f\x7f/\\:]{1,120}")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # Others may ask for any amount of memory.
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError),
    UnicodeDecodeError,
)


class Checked(NamedTuple):
    """The doctor's report, ready to be shown."""

    report: str  # JSON.
    pictures: list[tuple[str, str]]  # Paths of small pictures, and captions.
    clean: str | None  # Path of the clean list; None where it is empty.


def checked(paths: Sequence[str], resolution: int | None) -> Iterator[tuple[int, int] | Checked]:
    """How many images are read, of how many; at last the report.

    Errors: ValueError for what is neither a ZIP nor a few files, or more than there may be.
    """
    zips = [path for path in paths if path.lower().endswith(".zip")]
    if not paths:
        raise ValueError(f"bring a ZIP of images, or up to {MAX_FILES} image files")
    if zips and len(paths) > 1:
        raise ValueError("bring one ZIP, or image files, not both: pack all into one ZIP")
    if len(paths) > MAX_FILES:
        raise ValueError(f"bring {MAX_FILES} files at most, got {len(paths)}: pack them as a ZIP")
    with tempfile.TemporaryDirectory(dir=work_folder.path()) as folder:
        for value in workers.run(_check, list(paths), folder, resolution, megabytes=MEGABYTES):
            if value is not None:
                yield value


# What follows is done by a process of its own.


def _check(
    paths: Sequence[str], folder: str, resolution: int | None
) -> Iterator[tuple[int, int] | Checked]:
    from genmodels.doctor import dataset  # Brings torch.

    place = Path(folder) / "images"
    place.mkdir()
    is_zip = paths[0].lower().endswith(".zip")
    skipped = unpacked(Path(paths[0]), place) if is_zip else _linked(paths, place)
    root = _root(place)
    report: Any = None
    try:
        for step in dataset.check_steps(root, resolution=resolution, reader=_Visitors()):
            if isinstance(step, dataset.Progress):
                yield step.done, step.total
            else:
                report = step
    except ValueError as error:  # Where the folder lies is no visitor's business.
        words = str(error).replace(f"{root}/", "").replace(str(root), "the folder")
        raise ValueError(words) from error
    yield Checked(
        json.dumps(_told(report, skipped)), _pictures(report, root), _clean_file(report.clean)
    )


class _Visitors:
    """Reads files in the process that decodes visitors' photos."""

    def size(self, source: Path | BinaryIO) -> tuple[int, int]:
        return DECODER.size(str(source), formats=photos.FORMATS)

    def photo(self, source: Path | BinaryIO, min_side: int) -> Image.Image:
        """At its full size: that process makes no smaller ones."""
        path = Path(str(source))
        try:
            return DECODER.photo(
                path, max_pixels=photos.MAX_PHOTO, keep_alpha=True, formats=photos.FORMATS
            )
        except ValueError as error:
            raise ValueError(str(error).replace(f"{path}: ", "")) from error


def unpacked(archive: Path, folder: Path) -> list[tuple[str, str]]:
    """Unpack a stranger's ZIP into a folder; gives what was left out, with the reasons.

    Errors: ValueError for a file that is no ZIP, is encrypted, or holds too much.
    """
    skipped, total = [], 0
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            if len(entries) > MAX_IMAGES:
                raise ValueError(f"a ZIP may hold {MAX_IMAGES} files, got {len(entries)}")
            if any(entry.flag_bits & 1 for entry in entries):
                raise ValueError("the ZIP is encrypted: pack it without a password")
            for entry in entries:
                reason, size = _unpack(opened, entry, folder, MAX_BYTES - total)
                total += size
                if reason:
                    skipped.append((entry.filename, reason))
    except _DAMAGED as error:
        raise ValueError("that is no ZIP that can be read: pack the images again") from error
    return skipped


def _unpack(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path, room: int
) -> tuple[str, int]:
    """Why one file of a ZIP was not unpacked, "" if it was; and how many bytes it took."""
    parts = PurePosixPath(entry.filename).parts
    if len(parts) > 8 or any(p in ("..", ".") or not _PART.fullmatch(p) for p in parts):
        return "its name is not a plain one", 0
    if entry.compress_type not in _METHODS:
        return "it is packed in a way that is not read here", 0
    limit = min(room, MAX_ENTRY_BYTES)
    try:
        with archive.open(entry) as packed:
            content = packed.read(limit + 1)  # What it says of its size may be false.
    except _DAMAGED:
        return "it is damaged", 0
    if len(content) > limit:
        if limit == room:
            raise ValueError(f"a ZIP may hold {MAX_BYTES >> 20} MB unpacked, this one holds more")
        return f"it has more than {MAX_ENTRY_BYTES >> 20} MB", 0
    file = folder.joinpath(*parts)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("xb") as new:
            new.write(content)
    except (FileExistsError, NotADirectoryError, OSError):
        return "another file lies there already, or its name is too long", 0
    return "", len(content)


def _linked(paths: Sequence[str], folder: Path) -> list[tuple[str, str]]:
    """Put uploaded files into one folder, by links; gives those whose name came before."""
    skipped = []
    for path in paths:
        try:
            (folder / Path(path).name).symlink_to(path)
        except FileExistsError:
            skipped.append((Path(path).name, "another file of this name came before"))
    return skipped


def _root(folder: Path) -> Path:
    """The folder that holds the images: of an archive with a single folder in it, that one."""
    entries = [path for path in folder.iterdir() if path.name != "__MACOSX"]
    is_single = len(entries) == 1 and entries[0].is_dir()
    return entries[0] if is_single and entries[0].name not in ("source", "target") else folder


def _told(report: Any, skipped: list[tuple[str, str]]) -> dict[str, Any]:
    """The report without the names of all pictures of a kind, which may be thousands."""
    told = report.as_dict()
    for kind in told["clusters"]:
        del kind["images"]
    if skipped:
        reasons = "; ".join(sorted({reason for _, reason in skipped})[:3])
        told["issues"]["not_unpacked"] = {
            "title": "Not unpacked",
            "level": "note",
            "images": [name for name, _ in skipped],
            "summary": f"{len(skipped)} files were not unpacked: {reasons}.",
        }
    return told


def _pictures(report: Any, root: Path) -> list[tuple[str, str]]:
    """Some pictures that are concerned by each issue, and typical ones of each kind."""
    wanted: list[tuple[str, str]] = []
    for issue in report.found:
        if issue.name not in ("unreadable", "other_files", "unpaired"):
            wanted += [(name, issue.title) for name in issue.images[:MAX_SHOWN]]
    if len(report.clusters) > 1:
        for number, kind in enumerate(report.clusters, 1):
            title = f"Kind {number} ({kind.share:.0%})"
            wanted += [(name, title) for name in kind.examples[:MAX_SHOWN]]
    shown = []
    for name, title in wanted:
        path = root / name
        if path.is_file():  # Of pairs, kinds are named without their side.
            wanted_as: dict[str, Any] = {"keep_alpha": False, "formats": photos.FORMATS}
            picture = DECODER.photo(path, max_pixels=photos.MAX_PHOTO, **wanted_as)
            picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
            shown.append((work_folder.png(picture, "picture"), f"{title}: {name}"))
    return shown


def _clean_file(names: Sequence[str]) -> str | None:
    if not names:
        return None
    from genmodels.data.file_list import write_files

    key = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
    return work_folder.written_once(key, "clean.txt", lambda path: write_files(names, path))


# What the page shows, of the JSON: names in it are anyone's.

_MARKS = {"ok": "fine", "note": "note", "caution": "caution", "stop": "stop"}


def verdict_html(report: dict[str, Any]) -> str:
    """Verdict and reasons."""
    from genmodels.doctor.report import VERDICTS

    verdict = report["verdict"]
    reasons = "".join(f"<li>{html.escape(reason)}</li>" for reason in report["reasons"])
    return (
        f'<div class="prose verdict"><h2 data-verdict="{verdict}">{verdict.capitalize()}</h2>'
        f"<p>{html.escape(VERDICTS[verdict])} {report['num_images']} readable images, "
        f"{report['effective_images']} different photographs, checked for training at "
        f"{report['resolution']} px.</p><ul>{reasons}</ul></div>"
    )


def table_html(report: dict[str, Any]) -> str:
    """Every check in a row."""
    rows = "".join(
        f"<tr><td>{html.escape(issue['title'])}</td><td>{_MARKS[issue['level']]}</td>"
        f"<td>{len(issue['images'])}</td><td style='white-space: normal'>"
        f"{html.escape(issue['summary'])}</td></tr>"
        for issue in report["issues"].values()
    )
    head = "<tr><th>Check</th><th>Result</th><th>Images</th><th></th></tr>"
    return f'<div class="prose"><table>{head}{rows}</table></div>'


def expectations_html(report: dict[str, Any]) -> str:
    """How far it will take which model, and what that rests on."""
    from genmodels.doctor.expectations import BASIS

    rows = "".join(
        f"<li><b>{html.escape(each['model'])}: {html.escape(each['band'])}.</b> "
        f"{html.escape(each['words'])}.</li>"
        for each in report["expected"]
    )
    return f'<div class="prose"><ul>{rows}</ul><p>{html.escape(BASIS)}</p></div>'
