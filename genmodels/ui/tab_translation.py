"""Translation: a photo as a comic, a painting, in colours; one network beside another."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import gradio as gr
from gradio.context import Context

from genmodels.ui import about, hints, lab, photos, pictures, sources
from genmodels.ui.hints import Hints
from genmodels.ui.lab import THE_PHOTO, Dials
from genmodels.ui.models import Card
from genmodels.ui.queues import TRANSLATION
from genmodels.ui.widgets import AT_ONCE, errors_told


class Controls(NamedTuple):
    """What a visitor can set."""

    task: gr.Radio
    network: gr.Radio  # Of the task.
    other: gr.Dropdown
    model: gr.Textbox  # What both have chosen: out of sight, and any name in the API.
    against: gr.Textbox
    strength: gr.Slider
    detail: gr.Slider
    photo: gr.File
    hints: Hints


def build(load: Callable[[str], Any]) -> None:
    """Lay out the tab inside an open gr.Tab; `load` gives a network's pipeline on first use."""
    opened = cast("gr.Tab", Context.block)
    tasks = lab.tasks()
    cards = {card.name: card for own in tasks.values() for card in own}
    default = next(iter(cards.values()))
    with gr.Row(elem_classes="studio"):
        with gr.Column():
            slider = gr.ImageSlider(
                show_label=False,
                interactive=False,
                type="filepath",
                format="png",
                buttons=["fullscreen"],
                elem_id="translation",
            )
            words = gr.Markdown(elem_id="translation-words")
            file = gr.DownloadButton("Download PNG", size="md", visible=False)
            everything = pictures.gallery("every-task", len(tasks), visible=False)
        with gr.Column():
            with gr.Row():
                go = gr.Button("Translate", variant="primary", size="lg", elem_id="translate")
                go_all = gr.Button(
                    "All at once", size="lg", visible=len(tasks) > 1, elem_id="translate-all"
                )
            controls = _controls(tasks)
        with gr.Column():
            _several(load, controls)
            with gr.Accordion("Its recipe", open=False):
                told = gr.JSON(show_label=False, container=False, open=True)
            learnt = about.build(default, "translation")

    @errors_told
    def translate(
        photo: str | None,
        model: str = default.name,
        against: str = THE_PHOTO,
        strength: float = 1.0,
        detail: float = 0.0,
        hints: Any = (),
    ) -> tuple[Any, ...]:
        """Translate a photo: before and after, words, a PNG file with its recipe, the recipe.

        photo: an image file; none takes an example. against: "the photo", "the photo in grey" or
        another model.
        hints: for a model that colours, a list of [column, row, "#c03020"] in the photo's pixels.
        """
        dials = Dials(strength, detail, hints or ())
        made = lab.translated(load, photo, model, against, dials)
        size = " x ".join(str(made.recipe["image"][side]) for side in ("width", "height"))
        words = f"{cards[model].label}, {size} pixels, {made.seconds:.1f} s"
        done = gr.update(value=made.file, visible=True)
        return (made.before, made.after), words, done, made.recipe

    @errors_told
    def translate_all(photo: str | None, strength: float, detail: float) -> Any:
        made = lab.each(load, photo, Dials(strength, detail))
        return gr.update(value=made, visible=True)

    def translation_open(words: str) -> tuple[Any, ...]:
        """What a visitor sees first."""
        return tuple(gr.skip() for _ in range(4)) if words else translate(None)

    def chosen_task(task: str) -> tuple[Any, ...]:
        first = tasks[task][0]
        labels = [(card.label, card.name) for card in tasks[task]]
        _, *changes = chosen_network(first.name)
        told = first.facts["summary"]
        return gr.update(choices=labels, value=first.name, info=told), *changes

    def chosen_picture(picked: gr.SelectData) -> tuple[Any, ...]:
        title = list(tasks)[picked.index]
        return title, *chosen_task(title)

    def chosen_network(name: str) -> tuple[Any, ...]:
        card = cards[name]
        others = lab.held_against(card)
        held = gr.update(choices=others, value=others[0][1])
        listening = gr.update(visible=lab.takes_hints(card))
        finer = gr.update(visible=lab.takes_detail(card))
        told = about.film(card), about.text(card, "translation")
        changes = (held, name, others[0][1], listening, finer, *told)
        return gr.update(info=card.facts["summary"]), *changes

    task, network, other, model, against, strength, detail, photo, hinting = controls
    listening, given, emptied = hinting
    asked = [photo, model, against, strength, detail, given]
    shown = [slider, words, file, told]
    # Always the last: what was chosen while a picture was made is what the page says then.
    running: dict[str, Any] = {
        "show_progress_on": slider,
        "trigger_mode": "always_last",
        **TRANSLATION.turns,
    }
    within = {"api_visibility": "private", **running}
    go.click(translate, asked, shown, api_name="translate", **running)
    held = other.input(lambda name: name, other, against, **AT_ONCE)
    for change in (emptied.then, held.then, given.change, strength.release, detail.release):
        change(translate, asked, shown, **within)
    go_all.click(
        *(translate_all, [photo, strength, detail], everything),
        api_visibility="private",
        show_progress_on=go_all,
        **TRANSLATION.turns,
    )
    photo.change(lambda: gr.update(visible=False), None, everything, **AT_ONCE)
    changed = [network, other, model, against, listening, detail, *learnt]
    by_task = task.input(chosen_task, task, changed, **AT_ONCE)
    by_network = network.input(chosen_network, network, changed, **AT_ONCE)
    by_picture = everything.select(chosen_picture, None, [task, *changed], **AT_ONCE)
    for chosen in (by_task, by_network, by_picture):
        chosen.then(translate, asked, shown, **within)
    opened.select(translation_open, words, shown, **within)


def _controls(tasks: dict[str, list[Card]]) -> Controls:
    title, own = next(iter(tasks.items()))
    labels = [(card.label, card.name) for card in own]
    task = gr.Radio(list(tasks), value=title, label="What it becomes")
    network = gr.Radio(labels, value=own[0].name, label="Network", info=own[0].facts["summary"])
    others = lab.held_against(own[0])
    other = gr.Dropdown(others, value=others[0][1], label="Held against")
    model = gr.Textbox(own[0].name, visible=False)
    against = gr.Textbox(others[0][1], visible=False)
    examples = [*lab.FACES, photos.SCENES[0]]
    photo = sources.build(examples, "translation", has_camera=True)
    given = hints.build(photo, str(lab.example("colorize")), visible=lab.takes_hints(own[0]))
    strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", buttons=[])
    detail = gr.Slider(
        *(0, 1, 0),
        step=0.05,
        label="The photo's own detail",
        info="Of what is finer than the network sees, in a large photo.",
        buttons=[],
    )
    chosen = (task, network, other, model, against)
    return Controls(*chosen, strength, detail, photo, given)


def _several(load: Callable[[str], Any], controls: Controls) -> None:
    """Many photos at once, back as a ZIP."""
    with gr.Accordion("Several photos at once", open=False):
        files = gr.File(
            label=f"Up to {lab.MAX_FILES} photos",
            file_count="multiple",
            file_types=["image"],
            height=140,
            elem_id="several",
        )
        go = gr.Button("Translate them all", size="md", elem_id="translate-several")
        archive = gr.File(label="All of them", visible=False, elem_id="archive")

    @errors_told
    def all_of_them(
        paths: list[str] | None, model: str, strength: float, detail: float
    ) -> Iterator[Any]:
        progress, total = gr.Progress(), len(paths or [])
        for done, made in lab.many(load, paths or [], model, Dials(strength, detail)):
            progress((done, total), "Translating", unit="photos")
            if made is not None:
                yield gr.update(value=made, visible=True)

    go.click(
        *(all_of_them, [files, controls.model, controls.strength, controls.detail], archive),
        api_visibility="private",
        show_progress_on=go,
        concurrency_id="several",  # Not in turn: thirty large photos take minutes.
        concurrency_limit=1,
    )
