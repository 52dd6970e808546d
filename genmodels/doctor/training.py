"""The training doctor: from the running figures of a GAN's training to alarms. Pure functions.

`of_log` reads the lines of a run's log, `of_snapshot` the figures of its averaged generator on
held-out images, `of_heads` the loss of a critic on pretrained features, `not_finite` the names of
what is no number any more. Each alarm has its kind, the numbers that speak for it, and advice.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Kind = Literal[
    "overfitting",
    "collapse",
    "augmentation_leak",
    "dead_discriminator",
    "saturated_heads",
    "not_finite",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Figures = Mapping[str, float | None]  # A line of a log, or a snapshot; None = not measured.


class Threshold(NamedTuple):
    """From where on a figure is an alarm, and why there."""

    value: float
    reason: str


THRESHOLDS = {
    "window_images": Threshold(
        5_000, "images that figures of the log are averaged over: single lines vary by 0.1 in r_t"
    ),
    "young_images": Threshold(
        20_000, "before, D is far ahead in healthy runs from scratch too, r_t up to 0.97, and "
        "samples resemble each other"
    ),
    "r_t": Threshold(
        0.97, "0.14 to 0.75 in healthy StyleGAN2 runs, 0.58 to 0.97 in young DCGANs; ADA holds 0.6"
    ),
    "held_out_gap": Threshold(
        0.4, "D's mean sign, training minus held-out: 0.42 and rising after 10,000 images with 80 "
        "photographs, -0.12 to 0.03 with 4,104"
    ),
    "coverage_share": Threshold(
        0.6, "of the best coverage so far: 0.94 or more in our healthy runs after their start"
    ),
    "sameness_margin": Threshold(
        0.15, "MS-SSIM of random pairs above that of real ones: 0.05 to 0.09 in most healthy runs"
    ),
    "leak": Threshold(
        0.8, "of the way from real to augmented images: 0.4 at most for eight healthy models, 0.8 "
        "for heavily blurred real images; 0.96 to 1.6 for augmented ones, sharp or blurred"
    ),
    "leak_coverage": Threshold(
        0.5, "coverage below which samples are too unlike real images for the leak to mean anything"
    ),
    "chance_loss": Threshold(
        0.99, "share of 2 log 2, D's loss when it tells nothing: 0.96 at most in healthy runs"
    ),
    "flat_loss": Threshold(
        0.001, "spread of G's loss over a window, relative: 0.03 or more when D reacts to G"
    ),
    "heads_loss": Threshold(
        0.1, "hinge loss of the heads: where it ended in the runs that collapsed"
    ),
}  # fmt: skip

ADVICE: dict[Kind, str] = {
    "overfitting": "Add images or --augment diffaugment (or ada), or stop at the best snapshot.",
    "collapse": "Stop at the best snapshot; then try a lower --lr, a higher --r1-gamma or more "
    "varied images.",
    "augmentation_leak": "Augment real and generated images alike: --augment diffaugment instead "
    "of classical.",
    "dead_discriminator": "Start again with another --seed, a lower --lr or a larger "
    "discriminator: it teaches the generator nothing.",
    "saturated_heads": "Slow the heads down: a lower --heads-lr or --heads-slope-ratio, a higher "
    "--heads-rest-below.",
    "not_finite": "Resume the last good checkpoint with a lower --lr.",
}


@dataclass(frozen=True)
class Alarm:
    """Something that goes wrong in a training."""

    kind: Kind
    message: str  # What is wrong, in a few words with its numbers.
    evidence: dict[str, float]  # The numbers, by name.

    @property
    def advice(self) -> str:
        """One sentence: what to do."""
        return ADVICE[self.kind]

    def __str__(self) -> str:
        return f"ALARM: {self.message}. {self.advice}"


def of_log(lines: Sequence[Figures]) -> list[Alarm]:
    """Alarms that the newest line of a run's log brings about.

    Lines have "images_seen" and, of a GAN, "r_t" (mean sign of D(real)), "loss_D" and "loss_G".
    What was already wrong one line before is not told again. None while the run is young.
    """
    before = {alarm.kind for alarm in _of_window(lines[:-1])}
    return [alarm for alarm in _of_window(lines) if alarm.kind not in before]


def of_snapshot(
    now: Figures,  # images_seen, coverage, sameness, real_sameness; held_out_gap, leak.
    earlier: Sequence[Figures],  # The run's snapshots before it.
) -> list[Alarm]:
    """Alarms of the generator as it was measured on held-out images."""
    return [
        alarm
        for alarm in (_overfitting_gap(now), _collapse(now, earlier), _leak(now))
        if alarm is not None
    ]


def of_heads(
    hinge_loss: float,  # Running mean of the heads' loss: 2 = at chance, 0 = perfect.
) -> list[Alarm]:
    """Whether heads on pretrained features are so far ahead that they teach nothing."""
    if hinge_loss >= THRESHOLDS["heads_loss"].value:
        return []
    message = f"the heads tell all from real (hinge loss {hinge_loss:.2f})"
    return [Alarm("saturated_heads", message, {"hinge_loss": hinge_loss})]


def not_finite(names: Collection[str], step: int) -> Alarm:
    """Losses, gradients or samples that are no numbers any more."""
    message = f"{', '.join(names)} not finite at step {step}: the run has diverged"
    return Alarm("not_finite", message, {"step": step})


def _of_window(lines: Sequence[Figures]) -> list[Alarm]:
    """Alarms of the lines in the last window."""
    if not lines:
        return []
    width = THRESHOLDS["window_images"].value
    now = _number(lines[-1], "images_seen")
    start = now - width
    if now < THRESHOLDS["young_images"].value or _number(lines[0], "images_seen") > start:
        return []
    window = [line for line in lines if _number(line, "images_seen") > start]
    found = (_overfitting(window), _dead(window))
    return [alarm for alarm in found if alarm is not None]


def _overfitting(window: Sequence[Figures]) -> Alarm | None:
    r_t = _mean(window, "r_t")
    if r_t is None or r_t <= THRESHOLDS["r_t"].value:
        return None
    message = f"the discriminator is sure of the training images (r_t {r_t:.2f})"
    return Alarm("overfitting", message, {"r_t": r_t})


def _overfitting_gap(now: Figures) -> Alarm | None:
    gap = now.get("held_out_gap")
    if gap is None or gap <= THRESHOLDS["held_out_gap"].value:
        return None
    message = (
        "the discriminator takes held-out images for generated ones: its mean sign is "
        f"{gap:.2f} higher on training images"
    )
    return Alarm("overfitting", message, {"held_out_gap": gap})


def _dead(window: Sequence[Figures]) -> Alarm | None:
    """It tells nothing apart, or the generator's loss does not move."""
    loss_d, losses_g = _mean(window, "loss_D"), _values(window, "loss_G")
    chance = 2 * math.log(2)
    # Far beyond chance it is wrong rather than blind, and finds its way back.
    low, high = THRESHOLDS["chance_loss"].value * chance, 1.05 * chance
    if loss_d is not None and low <= loss_d < high:
        message = f"the discriminator tells nothing apart (loss {loss_d:.3f}, chance 1.386)"
        return Alarm("dead_discriminator", message, {"loss_D": loss_d})
    if len(losses_g) < 3:
        return None
    spread = max(losses_g) - min(losses_g)
    if spread > THRESHOLDS["flat_loss"].value * max(abs(losses_g[-1]), 1e-6):
        return None
    message = f"the generator's loss does not move (it is {losses_g[-1]:.3f})"
    return Alarm("dead_discriminator", message, {"loss_G": losses_g[-1], "spread": spread})


def _collapse(now: Figures, earlier: Sequence[Figures]) -> Alarm | None:
    coverage, sameness, real = (now.get(k) for k in ("coverage", "sameness", "real_sameness"))
    most = max((_number(each, "coverage") for each in earlier), default=0.0)
    if coverage is not None and coverage < THRESHOLDS["coverage_share"].value * most:
        message = f"coverage has fallen from {most:.2f} to {coverage:.2f}"
        return Alarm("collapse", message, {"coverage": coverage, "best_coverage": most})
    if sameness is None or real is None:
        return None
    is_young = _number(now, "images_seen") < THRESHOLDS["young_images"].value
    if is_young or sameness <= real + THRESHOLDS["sameness_margin"].value:
        return None
    message = f"samples resemble each other: {sameness:.2f}, real {real:.2f}"
    return Alarm("collapse", message, {"sameness": sameness, "real_sameness": real})


def _leak(now: Figures) -> Alarm | None:
    leak = now.get("leak")
    if leak is None or leak <= THRESHOLDS["leak"].value:
        return None
    if _number(now, "coverage") < THRESHOLDS["leak_coverage"].value:
        return None
    message = f"samples have the borders and angles of augmented images (leak {leak:.2f}, real 0)"
    return Alarm("augmentation_leak", message, {"leak": leak})


def _values(lines: Sequence[Figures], name: str) -> list[float]:
    return [value for line in lines if (value := line.get(name)) is not None]


def _mean(lines: Sequence[Figures], name: str) -> float | None:
    values = _values(lines, name)
    return sum(values) / len(values) if values else None


def _number(line: Figures, name: str) -> float:
    value = line.get(name)
    return 0.0 if value is None else value
