"""The detail panel: the selected picture, its file and recipe, variations and films."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from genmodels.ui.components import enlarging, films
from genmodels.ui.components.widgets import AT_ONCE, IN_TURN, show_errors
from genmodels.ui.services import models, pictures, recipes
from genmodels.ui.services.models import Span

NUM_VARIATIONS = 8  # Variations drawn at a time.


class Sweep(NamedTuple):
    """A kind of film: through the numbers of a condition."""

    title: str  # Of its tab: a short one, as a phone is narrow.
    span: Span


@dataclass(frozen=True)
class DetailPanel:
    """The components that show the selected picture."""

    name: str  # Prefix of its elements' names.
    picture: gr.Image
    words: gr.Markdown
    file: gr.DownloadButton
    all_files: gr.DownloadButton
    recipe: gr.JSON
    sweeps: Mapping[str, gr.Tab]  # By condition: disabled for a model without it.
    load: Callable[[str], Any]
    switch: gr.Radio  # Whether pictures are shown enlarged.

    def follow(
        self,
        gallery: gr.Gallery,
        records: gr.JSON,  # The recipes, one per picture.
        batches: Sequence[Any] = (),  # The events that fill the gallery.
        opens_on: int | None = 0,  # Picture of a batch to show first; None: keep the current one.
    ) -> None:
        """Show one picture of every batch, then the one clicked, enlarged or not."""
        shown: list[Any] = [self.picture, self.words, self.file, self.all_files, self.recipe]
        shown += self.sweeps.values()
        conditions = tuple(self.sweeps)

        @show_errors
        def opened(files: Any, records: Any) -> tuple[Any, ...]:
            return _portrait(files, records, opens_on or 0, conditions)

        @show_errors
        def opened_again(files: Any, records: Any, picked: Any) -> tuple[Any, ...]:
            """The selected picture as the gallery shows it now, if it is in the gallery."""
            if files is None and records is None:
                return _as_it_is(conditions)
            drawn = models.as_drawn(picked)
            same = [models.as_drawn(recipe) for _, recipe in recipes.of_gallery(files, records)]
            if drawn not in same:
                return _as_it_is(conditions)
            return _portrait(files, records, same.index(drawn), conditions)

        @show_errors
        def clicked(files: Any, records: Any, event: gr.SelectData) -> tuple[Any, ...]:
            return _portrait(files, records, event.index, conditions)

        drawn = list(batches)
        if opens_on is not None:
            drawn = [
                batch.success(opened, [gallery, records], shown, **AT_ONCE) for batch in batches
            ]
        for event in enlarging.follow(self.load, self.switch, gallery, records, drawn):
            event.then(opened_again, [gallery, records, self.recipe], shown, **AT_ONCE)
        selected = gallery.select(clicked, [gallery, records], shown, **AT_ONCE)
        # On a phone the large picture may be screens away.
        element = f"document.getElementById('{self.name}-detail')"
        scroll = f"() => {element}.scrollIntoView({{behavior: 'smooth', block: 'nearest'}})"
        selected.success(None, js=scroll)


def build(
    load: Callable[[str], Any],
    name: str,  # Prefix of its elements' names.
    switch: gr.Radio,  # Whether pictures are shown enlarged.
    sweeps: Mapping[str, Sweep] | None = None,  # By condition: the films through its numbers.
) -> DetailPanel:
    """Add the panel to an open tab; `follow` then connects it to a gallery."""
    with gr.Column(elem_id=f"{name}-detail", elem_classes="detail-panel"):
        with gr.Row(elem_classes="portrait"):
            picture = gr.Image(
                show_label=False,
                interactive=False,
                type="filepath",
                image_mode=None,
                buttons=["fullscreen"],
                alt_text="The picked picture",
                min_width=200,
            )
            with gr.Column(min_width=200):
                words = gr.Markdown(elem_id=f"{name}-picked")
                file = gr.DownloadButton("Download PNG", size="md", visible=False)
                all_files = gr.DownloadButton("Download all (ZIP)", size="md", visible=False)
                with gr.Accordion("Recipe", open=False):
                    recipe = gr.JSON(
                        show_label=False, container=False, open=True, elem_id=f"{name}-recipe"
                    )
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Variations"):
                variations, records, varied = _variations(load, recipe, f"{name}-variations")
            film_panels, sweep_tabs = [], {}
            for condition, (title, span) in (sweeps or {}).items():
                with gr.Tab(title) as sweep_tabs[condition]:
                    film_panels.append(films.sweep(load, recipe, condition, span))
            with gr.Tab("Film"):
                film_panels.append(films.journey(load, recipe, f"{name}-stops"))
        films.show(film_panels, f"{name}-film")
    panel = DetailPanel(name, picture, words, file, all_files, recipe, sweep_tabs, load, switch)
    panel.follow(variations, records, [varied], opens_on=None)
    return panel


def _variations(
    load: Callable[[str], Any], recipe: gr.JSON, elem_id: str
) -> tuple[gr.Gallery, gr.JSON, Any]:
    """Variations of the selected picture: the gallery, its recipes, the event that draws them."""
    with gr.Row(elem_classes="way"):
        strength = gr.Slider(
            0.05,
            1,
            0.3,
            step=0.05,
            label="Variation strength",
            info="Low: the same picture with other details. 1: a different picture.",
            buttons=[],
            min_width=200,
        )
        button = gr.Button(f"Draw {NUM_VARIATIONS} variations", size="md", min_width=170, scale=0)
    gallery, records = pictures.gallery(elem_id, visible=False), gr.JSON(visible=False)

    @show_errors
    def vary(picked: Any, strength: float) -> tuple[Any, Any]:
        if picked is None:
            raise ValueError("pick a picture first")
        recipe = models.as_drawn(recipes.checked(picked))
        output = load(recipe["model"]).vary(
            seed=recipe["seed"],
            strength=strength,
            num_images=NUM_VARIATIONS,
            **{k: v for k, v in recipe["settings"].items() if not k.startswith("variation_")},
        )
        shown = pictures.captioned(output.images, output.recipes)
        return gr.update(value=shown, visible=True), output.recipes

    varied = button.click(
        vary,
        [recipe, strength],
        [gallery, records],
        api_visibility="private",
        show_progress_on=button,
        **IN_TURN,
    )
    return gallery, records, varied


def _portrait(
    files: Any,  # What the gallery shows: paths and captions, or None.
    records: Any,  # A recipe for each, or None. Both come from the page: untrusted.
    index: int,
    conditions: Sequence[str] = (),  # Those through which there are films.
) -> tuple[Any, ...]:
    """The updates that show one picture of a gallery."""
    drawn = recipes.of_gallery(files, records)
    if not -len(drawn) <= index < len(drawn):
        raise ValueError(f"the gallery shows {len(drawn)} pictures, got number {index}")
    path, recipe = drawn[index]
    if recipe is None:
        return _as_it_is(conditions)
    drawn_as = models.as_drawn(recipe)
    card = models.card(drawn_as["model"])
    enlarged = "" if drawn_as is recipe else f", enlarged by {recipe['model']}"
    words = f"""### {models.in_words(recipe)}

Seed {drawn_as["seed"]}, drawn by {card.label}{enlarged}.
[Share link]({pictures.link(recipe)})
"""
    shown = [(file, record) for file, record in drawn if record is not None]
    archive = pictures.zipped([file for file, _ in shown], [record for _, record in shown])
    return (
        path,
        words,
        gr.update(value=path, visible=True),
        gr.update(value=archive, visible=len(shown) > 1),
        recipe,
        *(gr.update(interactive=name in card.schema) for name in conditions),
    )


def _as_it_is(conditions: Sequence[str]) -> tuple[Any, ...]:
    return tuple(gr.skip() for _ in range(5 + len(conditions)))
