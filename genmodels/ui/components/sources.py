"""Where a photo comes from: a file, an example, the camera; what is none is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio as gr

from genmodels.ui.components.widgets import AT_ONCE, picked, show_errors
from genmodels.ui.services import photos


class Source(NamedTuple):
    """The photo's path, and the events by which a visitor brings another."""

    photo: gr.File
    taken: list[Any]  # Not the photo's `change`, which comes too when the page sets it.


def build(examples: Sequence[Path], use: str, *, has_camera: bool = False) -> Source:
    """Lay the ways out inside an open tab.

    The drop is empty again after each file, ready for the next one. A file that is no photo is
    refused, and the photo before it stays.
    """
    photo = gr.File(visible=False)
    drop = gr.File(label="Your photo", file_types=["image"], height=120, elem_id=f"{use}-photo")
    gallery = gr.Gallery(
        [(str(path), path.stem) for path in examples],
        label="Examples",
        columns=len(examples),
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id=f"{use}-examples",
        elem_classes="pictures examples",
    )

    @show_errors
    def dropped(path: str) -> tuple[str, None]:
        photos.opened(path)  # Or it is refused, and the photo stays.
        return path, None

    @show_errors
    def photographed(taken: dict[str, Any] | None) -> str | None:
        if taken is None:
            return None
        photos.opened(taken["path"])
        return str(taken["path"])

    @show_errors
    def example(event: gr.SelectData) -> str:
        return photos.copied(picked(examples, event))

    # Queued, as an error would not be told otherwise.
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    taken = drop.upload(dropped, drop, [photo, drop], **private)
    taken.failure(lambda: None, None, drop, **AT_ONCE)
    events = [taken, gallery.select(example, None, photo, **private)]
    if has_camera:
        with gr.Accordion("Camera", open=False):
            camera = gr.Image(
                sources=["webcam"],
                type="filepath",
                image_mode=None,  # Or Gradio would decode it, whatever its format.
                show_label=False,
                height=240,
                elem_id=f"{use}-camera",
            )
        # What a camera gives is a file like any other; Gradio does not look into it.
        events.append(camera.input(photographed, camera, photo, preprocess=False, **private))
    return Source(photo, events)
