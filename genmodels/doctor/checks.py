"""What counts as a fault of an image, and how grave it is for the set. Start at `picture_issues`.

The thresholds stand where planted faults and real sets showed them to divide best: see
`training/experiments/plant_faults.py`.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from genmodels.data.image_files import Skipped
from genmodels.doctor.readings import Reading
from genmodels.doctor.report import Issue, Level

BLURRY = 0.5  # Contrast of the finest octave by the next: a blur of 1.5 px leaves 0.45.
DARK, LIGHT = 0.32, 0.7  # Brightness below which 99 %, and above which 95 % of the pixels are.
LOW_INFORMATION = 3.0  # Bits; a car on plain white has 3.6.
LONG = 2.0  # Longer side by shorter: beyond, the centre square is less than half of the picture.
BAR = 0.025  # Share of the side.
GREY = 2.0  # Mean spread of the colours, of 255: JPEG leaves less of grey.

SOME, MANY = 0.05, 0.5  # Shares of the images from which on an issue is a caution, and a stop.
FEW_IMAGES, TOO_FEW_IMAGES = 500, 50
FEW_PAIRS, TOO_FEW_PAIRS = 100, 20


class Check(NamedTuple):
    """A fault that one image has or has not."""

    name: str
    title: str
    is_faulty: Callable[[Reading, int], bool]  # From an image and the training resolution.
    words: str  # What is wrong with the images, after their number.


CHECKS = (
    Check(
        "odd_size",
        "Smaller than the model",
        lambda image, side: min(image.size) < side,
        "smaller than {side} px: they would be enlarged, and the model learns that blur",
    ),
    Check(
        "odd_aspect_ratio",
        "Long or tall",
        lambda image, side: max(image.size) > LONG * min(image.size),
        "more than twice as long as wide: training sees the centre square alone",
    ),
    Check(
        "blurry",
        "Blurred",
        lambda image, side: 0 < image.sharpness < BLURRY,
        "without detail of their finest pixels at {side} px: out of focus, shaken, or enlarged",
    ),
    Check(
        "dark",
        "Dark",
        lambda image, side: image.highlights < DARK,
        "dark all over",
    ),
    Check(
        "light",
        "Light",
        lambda image, side: image.shadows > LIGHT,
        "washed out or overexposed all over",
    ),
    Check(
        "low_information",
        "Nearly empty",
        lambda image, side: image.information < LOW_INFORMATION,
        "nearly of one colour",
    ),
    Check(
        "letterboxed",
        "Bars or frames",
        lambda image, side: max(image.bars) >= BAR,
        "with plain bars or a frame along their edges: the model draws them too; crop them",
    ),
    Check(
        "grayscale",
        "Black and white",
        lambda image, side: image.chroma < GREY,
        "black and white among colour pictures",
    ),
    Check(
        "transparent",
        "Transparent",
        lambda image, side: image.is_transparent,
        "with transparent places, which training fills with white",
    ),
)
# What lies in the nature of a set does no harm: a note where most images have it.
HARMLESS_IN_ALL = ("grayscale", "transparent", "dark", "light", "low_information", "letterboxed")


def picture_issues(images: Sequence[Reading], resolution: int) -> list[Issue]:
    """The issues that each image has by itself."""
    return [_picture_issue(check, images, resolution) for check in CHECKS]


def level_of(share: float) -> Level:
    """How grave it is if this share of the images has a fault."""
    if share == 0:
        return "ok"
    return "stop" if share > MANY else "caution" if share >= SOME else "note"


def unreadable(skipped: Skipped, count: int) -> Issue:
    """Files that were taken for images and cannot be read; `count` can."""
    names = [name for name, _ in skipped]
    reasons = sorted({reason for _, reason in skipped})
    share = len(names) / max(1, len(names) + count)
    words = f"{_files(len(names))} cannot be read. {'; '.join(reasons[:3])[:300]}"
    summary = words if names else "Every image file can be read."
    return Issue("unreadable", "Unreadable", level_of(share), summary, names, names)


def other_files(skipped: Skipped) -> Issue:
    """Files that training leaves out since they are no images, or in another split."""
    names = [name for name, _ in skipped]
    reasons = sorted({reason for _, reason in skipped})
    words = f"{_files(len(names))} left out, as in training: {'; '.join(reasons[:3])[:300]}."
    summary = words if names else "Nothing else lies in the folder."
    return Issue("other_files", "Other files", "note" if names else "ok", summary, names)


def exact_duplicates(groups: Sequence[list[str]], count: int) -> Issue:
    """Groups of images with the same pixels; of each, the first is kept."""
    words = "repeat another image pixel for pixel, perhaps mirrored"
    return _repeats("exact_duplicates", "Exact duplicates", words, groups, count)


def near_duplicates(groups: Sequence[list[str]], count: int) -> Issue:
    """Groups of images of one photograph; of each, the first is kept."""
    words = (
        "show the same photograph as another one: cropped, compressed again, brighter, or the next "
        "frame of a film"
    )
    return _repeats("near_duplicates", "Near duplicates", words, groups, count)


def overlap(groups: Sequence[list[str]], trained: Collection[str], num_held_out: int) -> Issue:
    """Photographs among the held-out images that are also trained on."""
    names = [name for group in groups for name in group if name in trained]
    held = sum(name not in trained for group in groups for name in group)
    share = held / max(1, num_held_out)
    level: Level = "ok" if not held else "stop" if share >= 0.1 else "caution"
    summary = (
        f"{held} of {num_held_out} held-out images show a photograph that is trained on: figures "
        "measured on them flatter. The clean list leaves out what is trained on."
        if held
        else f"None of {num_held_out} held-out images is trained on."
    )
    title = "Overlap with held-out images"
    return Issue("train_test_overlap", title, level, summary, names, names, list(groups))


def too_few(effective: int, *, pairs: bool) -> Issue:
    """Whether there are enough different photographs."""
    few, too_few_ = (FEW_PAIRS, TOO_FEW_PAIRS) if pairs else (FEW_IMAGES, TOO_FEW_IMAGES)
    what = "pairs" if pairs else "photographs"
    level: Level = "stop" if effective < too_few_ else "caution" if effective < few else "ok"
    summary = f"{effective} different {what}."
    if level == "stop":
        summary += f" Below {too_few_} a network learns them by heart: add more."
    elif level == "caution":
        summary += f" Below {few}, start from a trained model (--init-from) and watch for copies."
    return Issue("too_few_images", "Number of images", level, summary)


def unpaired(names: Sequence[str]) -> Issue:
    """Images of a paired folder without a partner: training refuses them."""
    level: Level = "stop" if names else "ok"
    summary = (
        f"{_files(len(names))} have no partner of their name on the other side: training refuses "
        "the folder until they are moved away."
        if names
        else "Each image has its partner."
    )
    return Issue("unpaired", "Without a partner", level, summary, list(names), list(names))


def misregistered(names: Sequence[str], count: int) -> Issue:
    """Pairs whose two pictures do not lie on each other."""
    share = len(names) / max(1, count)
    level: Level = "stop" if share >= 0.3 else level_of(share)
    summary = (
        f"{_pairs(len(names))} lie beside each other: the network learns to blur. Align or leave "
        "them out."
        if names
        else "The two pictures of each pair lie on each other."
    )
    return Issue(
        "misregistered_pairs", "Pairs in register", level, summary, list(names), list(names)
    )


def mixed(shares: Sequence[float], *, has_classes: bool) -> Issue:
    """Whether the set is of several kinds of pictures; of each, its share."""
    title = "One kind of picture"
    if len(shares) < 2:
        return Issue("mixed_subjects", title, "ok", "The pictures are of one kind.")
    parts = ", ".join(f"{share:.0%}" for share in shares)
    advice = "sort them into folders and train with --conditions class, or keep one kind"
    if has_classes:
        advice = "train with --conditions class"
    summary = f"The pictures fall into {len(shares)} separate kinds ({parts}): {advice}."
    return Issue("mixed_subjects", title, "note" if has_classes else "caution", summary)


def _picture_issue(check: Check, images: Sequence[Reading], resolution: int) -> Issue:
    names = [image.name for image in images if check.is_faulty(image, resolution)]
    share = len(names) / max(1, len(images))
    level, left_out = level_of(share), names
    summary = f"{_images(len(names))} {check.words.format(side=resolution)}."
    if not names:
        summary = "None."
    elif share > MANY:
        left_out = []  # Leaving them out would leave nothing.
        if check.name in HARMLESS_IN_ALL:
            level = "note"
        summary += " Most of the set is so, and the clean list keeps them."
        if check.name in ("blurry", "odd_size"):
            level = "caution"
            summary += f" Train at {resolution // 2} px instead."
    return Issue(check.name, check.title, level, summary, names, left_out)


def _repeats(name: str, title: str, words: str, groups: Sequence[list[str]], count: int) -> Issue:
    extra = [member for group in groups for member in group[1:]]
    summary = (
        f"{_images(len(extra))} {words}. The clean list keeps one of each." if extra else "None."
    )
    level = level_of(len(extra) / max(1, count))
    names = [member for group in groups for member in group]
    return Issue(name, title, level, summary, names, extra, list(groups))


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"


def _files(count: int) -> str:
    return f"{count} file{'s' if count != 1 else ''}"


def _pairs(count: int) -> str:
    return f"{count} pair{'s' if count != 1 else ''}"
