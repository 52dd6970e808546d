"""Decoded images as one array, in memory or in a file for the next start. Start at `load`."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genmodels.data import images as pixels
from genmodels.data.image_files import Item, Skipped

MAX_RAM_BYTES = 2 * 1024**3  # A larger array lives in a file of the cache.
CACHE_VERSION = 3  # Part of the cache's key: raise it when decoding changes.
BLOCK = 1024  # Images decoded at a time: bounds memory if the disk is slower than the cores.


@dataclass(frozen=True)
class Decoded:
    """The readable ones of some images, in order."""

    array: np.ndarray  # uint8 [N, 3, R, R], their centre squares.
    sha256: str  # Hash of the array.
    digests: list[list[str]]  # For each, of the whole picture and of its square: `digest`.
    skipped: Skipped  # The unreadable ones.


def load(
    items: list[Item], resolution: int, cache_dir: Path | None, num_workers: int | None
) -> Decoded:
    """Decode the items, or read the cache that an earlier call wrote for the same files.

    OSError if the cache cannot be written; ValueError if there is none and memory is too small.
    """
    shape = (len(items), 3, resolution, resolution)
    num_bytes = math.prod(shape)
    if cache_dir is None:
        if num_bytes > MAX_RAM_BYTES:
            raise ValueError(
                f"{len(items)} images at {resolution} px take {num_bytes / 1024**3:.1f} GiB: "
                "give a cache_dir to keep them on disk"
            )
        array, count = np.empty(shape, np.uint8), 0
        digests: list[list[str]] = []
        skipped: Skipped = []
        for squares, new_digests, unreadable in _decode(items, resolution, num_workers):
            array[count : count + len(squares)] = squares
            count, digests, skipped = (
                count + len(squares),
                digests + new_digests,
                skipped + unreadable,
            )
        return Decoded(array[:count], _sha256(array[:count]), digests, skipped)

    stamps = [(item.name, item.stamp) for item in items]
    description = json.dumps([CACHE_VERSION, resolution, stamps])
    key = hashlib.sha256(description.encode()).hexdigest()[:32]
    cache = Path(cache_dir) / f"images-{resolution}-{key}.npy"
    if cache.with_suffix(".json").exists():
        try:
            return _read(cache, shape)
        except (ValueError, KeyError, TypeError, EOFError, FileNotFoundError) as error:
            print(f"{cache} is damaged ({error}): decoding the images again")
    try:
        _write(cache, items, shape, num_workers)
    except OSError as error:
        raise OSError(
            f"the decoded images, {num_bytes / 1024**2:.0f} MiB, could not be written to "
            f"{cache.parent}: {error.strerror or error}. Make room there, or a place that can be "
            "written to, and repeat the command"
        ) from error
    return _read(cache, shape)


def digest(picture: np.ndarray) -> str:
    """Digest of pixels uint8 [H, W, 3] and their shape, equal for the mirror image."""
    mirrored = picture[:, ::-1]
    for row, other in zip(picture, mirrored, strict=True):
        row_bytes, mirrored_bytes = row.tobytes(), other.tobytes()
        if row_bytes != mirrored_bytes:
            picture = picture if row_bytes < mirrored_bytes else mirrored
            break
    content = hashlib.blake2b(repr(picture.shape).encode(), digest_size=16)
    content.update(np.ascontiguousarray(picture).data)
    return content.hexdigest()


def _decode(
    items: list[Item], resolution: int, num_workers: int | None
) -> Iterator[tuple[np.ndarray, list[list[str]], Skipped]]:
    """In blocks: squares [n, 3, R, R] of the readable items, their digests, the unreadable ones."""

    def decode(item: Item) -> tuple[np.ndarray, list[str]] | str:
        try:
            # Twice the size is kept for the final filter: as sharp, and large JPEGs load faster.
            image = pixels.open_rgb(item.open(), min_side=2 * resolution)
        except ValueError as error:
            return str(error)
        square = np.asarray(pixels.fit_square(image, resolution))
        return square.transpose(2, 0, 1), [digest(np.asarray(image)), digest(square)]

    with ThreadPoolExecutor(num_workers or os.cpu_count()) as pool:
        for start in range(0, len(items), BLOCK):
            block = items[start : start + BLOCK]
            squares = np.empty((len(block), 3, resolution, resolution), np.uint8)
            digests: list[list[str]] = []
            skipped: Skipped = []
            for item, result in zip(block, pool.map(decode, block), strict=True):
                if isinstance(result, str):
                    skipped.append((item.name, result))
                else:
                    squares[len(digests)] = result[0]
                    digests.append(result[1])
            yield squares[: len(digests)], digests, skipped


def _write(cache: Path, items: list[Item], shape: tuple[int, ...], workers: int | None) -> None:
    """Decode into a .npy file. The .json beside it comes last: without it there is no cache.

    By ordinary writes: a full disk is then an error, where a mapped file would end the process.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    unfinished = cache.with_suffix(f".{os.getpid()}.partial")
    note: dict[str, Any] = {"digests": [], "skipped": []}
    content = hashlib.sha256()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    try:
        with unfinished.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            start = file.tell()
            for squares, digests, skipped in _decode(items, shape[-1], workers):
                file.write(squares.data)
                content.update(squares.data)
                note["digests"] += digests
                note["skipped"] += skipped
            file.truncate(start + math.prod(shape))  # The rows of unreadable images, never read.
        note["sha256"] = content.hexdigest()
        unfinished.replace(cache)
        unfinished.write_text(json.dumps(note), encoding="utf-8")
        unfinished.replace(cache.with_suffix(".json"))
    finally:
        unfinished.unlink(missing_ok=True)


def _read(cache: Path, shape: tuple[int, ...]) -> Decoded:
    note = json.loads(cache.with_suffix(".json").read_text(encoding="utf-8"))
    # Copy-on-write: torch wants writable memory, and the file must never change.
    array = np.load(cache, mmap_mode="c", allow_pickle=False)
    if array.shape != shape or array.dtype != np.uint8:
        raise ValueError(f"expected uint8 {shape}, got {array.dtype} {array.shape}")
    array = array[: len(note["digests"])]
    if array.nbytes <= MAX_RAM_BYTES:
        array = np.array(array)
    if _sha256(array) != note["sha256"]:
        raise ValueError("its checksum does not match")
    skipped = [(name, reason) for name, reason in note["skipped"]]
    return Decoded(array, note["sha256"], note["digests"], skipped)


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
