"""Photos of scenes, found by their names."""

from pathlib import Path

from PIL import Image

from genmodels.data import images


def open_scene(folder: Path, name: str) -> Image.Image:
    """The photo of that name, with whatever ending; ValueError when there is none."""
    paths = sorted(folder.glob(f"{name}.*"))
    if not paths:
        raise ValueError(f"{folder} must hold a photo {name}, has none")
    return images.open_rgb(paths[0])
