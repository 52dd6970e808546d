"""Which images a run is measured on: a part of its data that it never learns from."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from genmodels.data.image_files import Skipped
from genmodels.data.image_folder import ImageFolder
from genmodels.data.paired_folder import PairFolder
from genmodels.data.splits import first_repeats
from genmodels.metrics import MIN_SET, near_repeats

MIN_HELD_OUT = MIN_SET  # Held-out images without which figures of two sets are none.


def share_to_hold_out(
    count: int,  # Number of images.
    least: int = 0,  # Held-out images without which nothing can be measured.
) -> float:
    """8 %, and of a small set so much that about 32 are held out, or half of it.

    A fifth of one that is too small to be measured: most of it is wanted for training.
    """
    if count < 2 * least:
        return 0.2
    return min(max(0.08, 32 / count), 0.5)


def divide(data: Any, least: int) -> tuple[Any, Any]:
    """The part of an `ImageFolder` or `PairFolder` to learn from, and the part that is held out.

    Of a single picture, however often it is there, nothing is held out.
    """
    num_pictures = len(set(first_repeats(data.keys)))
    if num_pictures < 2:
        return data, data.only(())
    share = max(share_to_hold_out(len(data), least), 1 / num_pictures)
    parts: tuple[Any, Any] = data.hold_out(share)
    return parts


def check_apart(data: ImageFolder, held_out: ImageFolder) -> None:
    """Raise ValueError if a file is to be learnt from and to be held out."""
    learnt = {path.resolve() for path in data.paths}
    both = [path for path in held_out.paths if path.resolve() in learnt]
    if both:
        raise ValueError(
            f"{len(both)} images that are to be held out would be trained on, such as {both[0]}: "
            "move their folder out of that of --data, or call it test"
        )


def check_places(out: Path, folders: dict[str, str | None]) -> None:
    """Raise ValueError if a run would learn from its own sheets. The folders, by their flags."""
    out_folder = out.resolve()
    for flag, name in folders.items():
        if name is None or not Path(name).is_dir():
            continue
        folder = Path(name).resolve()
        inside = [out_folder / place for place in ("samples", "model", "checkpoints", "cache")]
        if out_folder.is_relative_to(folder) or any(
            folder.is_relative_to(place) for place in inside
        ):
            raise ValueError(
                f"--out {out} and --{flag.replace('_', '-')} {name} lie in each other: the run's "
                "own sheets would count as images. Choose an --out elsewhere"
            )


def repeats(data: ImageFolder | PairFolder, held_out: ImageFolder | PairFolder) -> dict[str, int]:
    """How many images repeat others, for the card: what a split cannot keep apart flatters."""
    firsts = first_repeats(data.keys)
    known = {key for keys in data.keys for key in keys}
    exact = [any(key in known for key in keys) for keys in held_out.keys]
    near = near_repeats(held_out.pictures, data.pictures)
    return {
        "trained_on": sum(first != row for row, first in enumerate(firsts)),
        "held_out_exact": sum(exact),
        "held_out_near": int(
            sum(is_near and not e for is_near, e in zip(near, exact, strict=True))
        ),
    }


def skipped_lines(skipped: Skipped) -> list[str]:
    """Which files are not learnt from, and why, in a few lines."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for file, reason in skipped:
        by_reason[reason].append(file)
    lines = []
    for reason, files in list(by_reason.items())[:10]:
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        lines.append(f"  skipped {', '.join(files[:3])}{more}: {reason}")
    rest = sum(len(files) for files in list(by_reason.values())[10:])
    return lines + ([f"  skipped {rest} more, for other reasons"] if rest else [])


def few_lines(
    count: int,  # Images that are held out.
    least: int,  # What figures need.
    flag: str = "--held-out",
) -> list[str]:
    """Warnings about small sets, given before training rather than after."""
    if count >= least:
        return []
    return [
        f"  {count} held out: figures that need {least} will be none; name a folder of more with "
        f"{flag}, or add images"
    ]
