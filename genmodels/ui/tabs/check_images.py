"""Check my images: what is wrong with a set of images before a model is trained on it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from genmodels.ui.assets import ASSETS
from genmodels.ui.components import address
from genmodels.ui.components.address import Start, Visit
from genmodels.ui.components.widgets import show_errors
from genmodels.ui.server.queues import CHECKING
from genmodels.ui.services import datasets, pictures
from genmodels.ui.services.models import Recipe

AS_ALLOWED = next(iter(datasets.RESOLUTIONS))


def takes(recipe: Recipe) -> bool:
    """Whether this tab draws what has the recipe: it draws nothing."""
    return False


def build(load: Callable[[str], Any], visit: Visit) -> None:
    """Lay out the tab inside an open gr.Tab; no model is needed."""
    with gr.Row(elem_classes="studio"):
        with gr.Column():
            verdict = gr.HTML(elem_id="check-verdict")
            clean = gr.DownloadButton("Download the clean list", size="md", visible=False)
            concerned = pictures.gallery("check-pictures", 6, visible=False)
            table = gr.HTML(elem_id="check-table")
        with gr.Column():
            go = gr.Button("Check", variant="primary", size="lg", elem_id="check-go")
            files = gr.File(
                label=f"A ZIP of images, or up to {datasets.MAX_FILES} image files",
                file_count="multiple",
                file_types=["image", ".zip"],
                height=160,
                elem_id="check-files",
            )
            resolution = gr.Radio(list(datasets.RESOLUTIONS), value=AS_ALLOWED, label="Model size")
        with gr.Column():
            with gr.Accordion("How far this will take a model", open=True):
                expected = gr.HTML(elem_id="check-expected")
            with gr.Accordion("Report as JSON", open=False):
                told = gr.JSON(show_label=False, container=False)
            with gr.Accordion("How it works", open=False):
                gr.Markdown((ASSETS / "check_images.md").read_text())

    @show_errors
    def check_images(
        images: list[str] | None, resolution: str = AS_ALLOWED
    ) -> Iterator[tuple[Any, ...]]:
        """Check a set of images: verdict, clean list, pictures concerned, checks, what to expect.

        images: a ZIP, or image files. resolution: the model's, "As the images allow" or "128 px".
        """
        if resolution not in datasets.RESOLUTIONS:
            wanted = ", ".join(datasets.RESOLUTIONS)
            raise ValueError(f"resolution must be one of {wanted}, got {resolution!r}")
        progress = gr.Progress()
        for step in datasets.checked(images or [], datasets.RESOLUTIONS[resolution]):
            if not isinstance(step, datasets.Checked):
                progress(step, "Reading", unit="images")
                continue
            report = json.loads(step.report)
            yield (
                datasets.verdict_html(report),
                gr.update(value=step.clean, visible=step.clean is not None),
                gr.update(value=step.pictures, visible=bool(step.pictures)),
                datasets.table_html(report),
                datasets.expectations_html(report),
                report,
            )

    def fill(start: Start) -> str:
        value = start.settings.get("resolution", AS_ALLOWED)
        address.check({"resolution": resolution}, {"resolution": value})
        return str(value)

    go.click(
        check_images,
        [files, resolution],
        [verdict, clean, concerned, table, expected, told],
        api_name="check_images",
        show_progress_on=verdict,
        **CHECKING.turns,
    )
    visit.opens(lambda start: (fill(start),), [resolution])
    visit.keep({"resolution": resolution})
