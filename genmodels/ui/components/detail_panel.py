"""The detail panel: the selected picture, its file and recipe, variations and films."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from genmodels.ui.components import enlarging, films
from genmodels.ui.components.widgets import AT_ONCE, IN_TURN, show_errors
from genmodels.ui.services import models, pictures, recipes

NUM_VARIATIONS = 8  # Variations drawn at a time.


@dataclass(frozen=True)
class DetailPanel:
    """The components that show the selected picture."""

    name: str  # Prefix of its elements' names.
    picture: gr.Image
    words: gr.Markdown
    file: gr.DownloadButton
    all_files: gr.DownloadButton
    recipe: gr.JSON
    years: gr.Tab | None  # Disabled for a model without years; None if no model has any.
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
        if self.years is not None:
            shown.append(self.years)

        @self._fitting
        @show_errors
        def opened(files: Any, records: Any) -> tuple[Any, ...]:
            return _portrait(files, records, opens_on or 0)

        drawn = list(batches)
        if opens_on is not None:
            drawn = [
                batch.success(opened, [gallery, records], shown, **AT_ONCE) for batch in batches
            ]
        for event in enlarging.follow(self.load, self.switch, gallery, records, drawn):
            again = self._fitting(_opened_again)
            event.then(again, [gallery, records, self.recipe], shown, **AT_ONCE)
        clicked = gallery.select(self._fitting(_clicked), [gallery, records], shown, **AT_ONCE)
        # On a phone the large picture may be screens away.
        element = f"document.getElementById('{self.name}-detail')"
        scroll = f"() => {element}.scrollIntoView({{behavior: 'smooth', block: 'nearest'}})"
        clicked.success(None, js=scroll)

    def _fitting(self, update: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
        """The same without the last update, that of the years, if there are none."""
        if self.years is not None:
            return update

        @functools.wraps(update)
        def without_years(*values: Any) -> tuple[Any, ...]:
            return update(*values)[:-1]

        return without_years


def build(
    load: Callable[[str], Any],
    name: str,  # Prefix of its elements' names.
    switch: gr.Radio,  # Whether pictures are shown enlarged.
    years: tuple[int, int] | None = None,  # The first and the last in the data, if any.
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
        with gr.Tabs():  # Short names: on a phone Gradio hides what does not fit one line.
            with gr.Tab("Variations"):
                variations, records, varied = _variations(load, recipe, f"{name}-variations")
            film_panels, years_tab = [], None
            if years is not None:
                with gr.Tab("Years") as years_tab:
                    film_panels.append(films.through_years(load, recipe, years))
            with gr.Tab("Film"):
                film_panels.append(films.journey(load, recipe, f"{name}-stops"))
        films.show(film_panels, f"{name}-film")
    panel = DetailPanel(name, picture, words, file, all_files, recipe, years_tab, load, switch)
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


@show_errors
def _opened_again(files: Any, records: Any, picked: Any) -> tuple[Any, ...]:
    """The selected picture as the gallery shows it now, if it is in the gallery."""
    if files is None and records is None:
        return _as_it_is()
    drawn = models.as_drawn(picked)
    same = [models.as_drawn(recipe) for _, recipe in recipes.of_gallery(files, records)]
    return _portrait(files, records, same.index(drawn)) if drawn in same else _as_it_is()


@show_errors
def _clicked(files: Any, records: Any, event: gr.SelectData) -> tuple[Any, ...]:
    return _portrait(files, records, event.index)


def _portrait(
    files: Any,  # What the gallery shows: paths and captions, or None.
    records: Any,  # A recipe for each, or None. Both come from the page: untrusted.
    index: int,
) -> tuple[Any, ...]:
    """The updates that show one picture of a gallery."""
    drawn = recipes.of_gallery(files, records)
    if not -len(drawn) <= index < len(drawn):
        raise ValueError(f"the gallery shows {len(drawn)} pictures, got number {index}")
    path, recipe = drawn[index]
    if recipe is None:
        return _as_it_is()
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
        gr.update(interactive="year" in card.schema),
    )


def _as_it_is() -> tuple[Any, ...]:
    return tuple(gr.skip() for _ in range(6))
