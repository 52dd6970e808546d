"""Which images are held out: by a hash of their names, and never the repeat of another one."""

import hashlib
from collections.abc import Sequence


def held_apart(
    names: Sequence[str],  # Sorted.
    fraction: float,  # About this many of them are held out.
    keys: Sequence[Sequence[str]] | None = None,  # Keys that each item shares with its repeats.
) -> list[bool]:
    """Which of them to hold out, by a hash of each name alone; repeats go where the first one goes.

    So adding images moves none from one side to the other. Of few images at least one is held out,
    and one is not. ValueError if the fraction of the images rounds to none.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must lie between 0 and 1, got {fraction}")
    firsts = first_repeats(keys) if keys is not None else range(len(names))
    hashes = {first: hash_fraction(names[first]) for first in set(firsts)}
    apart = {first for first, value in hashes.items() if value < fraction}
    if not apart and fraction * len(hashes) >= 1:
        apart = {min(hashes, key=hashes.__getitem__)}
    if len(apart) == len(hashes) > 1 and (1 - fraction) * len(hashes) >= 1:
        apart.remove(max(hashes, key=hashes.__getitem__))
    if not 0 < len(apart) < len(hashes):
        of = f", which show {len(hashes)} pictures," if len(hashes) < len(names) else ""
        raise ValueError(f"{len(names)} images{of} are too few to hold out {fraction:.0%} of them")
    return [first in apart for first in firsts]


def first_repeats(keys: Sequence[Sequence[str]]) -> list[int]:
    """For each row, the first row that it is linked with by equal keys, directly or by others."""
    parent = list(range(len(keys)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    known: dict[str, int] = {}
    for row, row_keys in enumerate(keys):
        for key in row_keys:
            first_root, second_root = root(known.setdefault(key, row)), root(row)
            parent[max(first_root, second_root)] = min(first_root, second_root)
    return [root(row) for row in range(len(keys))]


def hash_fraction(name: str) -> float:
    """A number from 0 to 1 that hangs on the name alone; bytes that are no UTF-8 count as well."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8]) / 2**64
