"""What `compare_translation.py` compares: the tasks, and the networks with their settings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What is translated into what."""

    title: str  # In the table.
    data: str  # Folder below --data, with train/, validation/ and held_out/.
    predicts: str = "rgb"  # What our network predicts; the others always predict RGB.


@dataclass(frozen=True)
class Variant:
    """One kind of network, or none."""

    title: str  # In the table.
    script: str | None = None  # In training/; None: the source as it is.
    flags: str = ""
    is_ours: bool = False  # It may predict what suits the task.


TASKS = {
    "coloring": Task("Colouring", "pairs-coloring", predicts="chroma"),
    "monet": Task("Monet", "pairs-monet"),
    "comic": Task("Comic", "pairs-comic"),
}
PAPER = (
    "--norm instance --up transposed --dropout 0.5 --levels 7 --base-channels 64 "
    "--max-channels 512 --receptive-field 70 --d-base-channels 64"
)
VARIANTS = {
    "identity": Variant("nothing done"),
    "autoencoder": Variant("autoencoder", "train_autoencoder.py"),
    "pix2pix-paper": Variant("pix2pix, the paper's", "train_pix2pix.py", PAPER),
    "pix2pix": Variant("pix2pix, ours", "train_pix2pix.py", is_ours=True),
    "pix2pix-exact": Variant(
        "pix2pix, ours, for exactness",
        "train_pix2pix.py",
        "--adversarial-weight 0.1",
        is_ours=True,
    ),
}
MARGINS = [(variant, "autoencoder") for variant in ("pix2pix-paper", "pix2pix", "pix2pix-exact")]
