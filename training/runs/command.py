"""Training commands that other scripts start: one process for each training."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TRAINING = Path(__file__).parents[1]


def training_command(
    script: str,  # In training/.
    flags: str,  # As one would type them.
    settings: Mapping[str, Any],  # Flags by name, None for those to leave out.
) -> list[str]:
    """The words of one training's command line."""
    words = [sys.executable, str(TRAINING / script), *flags.split()]
    for name, value in settings.items():
        if value is not None:
            values = value if isinstance(value, list | tuple) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


def split_folders(data: Path) -> dict[str, Path]:
    """The flags for a prepared set, which holds train/ and held_out/."""
    return {"data": data / "train", "held_out": data / "held_out"}


def run_training(words: list[str]) -> None:
    """Wait for one training; CalledProcessError if it fails."""
    subprocess.run(words, check=True)


def refuse_renamed(
    flags: Mapping[str, str],  # New names by old ones, each with its dashes.
) -> None:
    """Refuse a command line that uses a flag's former name; ValueError gives the new name."""
    for word in sys.argv[1:]:
        flag = word.partition("=")[0]
        if flag in flags:
            raise ValueError(f"{flag} is now called {flags[flag]}")
