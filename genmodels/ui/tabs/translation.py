"""Translation: a photo as a comic, a painting, in colours; one network beside another."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import gradio as gr

from genmodels.ui.components import about, address, compare, sources
from genmodels.ui.components import hints as hinting
from genmodels.ui.components.address import Start, Visit
from genmodels.ui.components.hints import Hints
from genmodels.ui.components.sources import Source
from genmodels.ui.components.widgets import AT_ONCE, picked, show_errors
from genmodels.ui.server.queues import TRANSLATION
from genmodels.ui.services import photos, pictures, translations, uploads
from genmodels.ui.services.models import Card, Recipe
from genmodels.ui.services.translations import THE_PHOTO, Dials

_EXAMPLES = [*translations.FACES, photos.SCENES[0]]


class Controls(NamedTuple):
    """What a visitor can set."""

    task: gr.Radio
    network: gr.Radio  # The networks of the task.
    other: gr.Dropdown
    model: gr.Textbox  # What both have chosen: out of sight, and any name in the API.
    against: gr.Textbox
    strength: gr.Slider
    detail: gr.Slider
    source: Source
    hints: Hints


def takes(recipe: Recipe) -> bool:
    """Whether this tab draws what has the recipe: a translated photo."""
    return recipe["model"] in _cards()


def build(load: Callable[[str], Any], visit: Visit) -> None:
    """Lay out the tab inside an open gr.Tab; `load` gives a network's pipeline on first use."""
    tasks, cards = translations.tasks(), _cards()
    default = next(iter(cards.values()))
    with gr.Row(elem_classes="studio"):
        with gr.Column():
            notice = gr.Markdown(visible=False, elem_id="translation-notice")
            pair, before_and_after = compare.build("Before", "After", "translation")
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
            with gr.Accordion("Recipe", open=False):
                made_by = gr.JSON(show_label=False, container=False, open=True)
            learnt = about.build(default, "translation")
    key = gr.Textbox(visible=False)  # Key of the visitor's photo.
    wanted = gr.JSON(visible=False)  # The recipe of a picture whose photo is not here.

    @show_errors
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
        result = translations.translated(load, photo, model, against, dials)
        size = " x ".join(str(result.recipe["image"][side]) for side in ("width", "height"))
        words = f"{cards[model].label}, {size} pixels, {result.seconds:.1f} s. "
        words += f"[Share link]({pictures.link(result.recipe)})"
        done = gr.update(value=result.file, visible=True)
        return (result.before, result.after), words, done, result.recipe

    @show_errors
    def translate_all(photo: str | None, strength: float, detail: float) -> Any:
        files = translations.each(load, photo, Dials(strength, detail))
        return gr.update(value=files, visible=True)

    def fill(start: Start) -> tuple[Any, ...]:
        """The picture of a recipe or of before a reload, or else an example's.

        The photo, all controls, what is said of the photo, and what is shown.
        """
        values: dict[str, Any] = {
            "model": default.name, "against": translations.comparisons(default)[0][1],
            "strength": 1.0, "detail": 0.0, "board": hinting.EMPTY, "photo": "",
        }  # fmt: skip
        recipe = start.recipe or start.drawn  # What was wanted before a reload is wanted still.
        photo, notice = None, None
        if recipe is not None:
            values |= _settings_of(pictures.checked(recipe, list(cards)), cards)
            values["photo"], photo = _photo_of(recipe, start.photos) or ("", None)
            notice = pictures.wanting(recipe) if photo is None else None
        elif start.settings:
            values = {name: start.settings.get(name) for name in values}
        _check(values, stored, cards)
        if recipe is None and values["photo"]:
            photo = uploads.path(values["photo"])
            notice = uploads.GONE if photo is None else None
        card = cards[values["model"]]
        path = photo or str(translations.example(card.name))
        points = hinting.read(values["board"], photos.size(path)) if notice is None else []
        shown: tuple[Any, ...] = (None, "", gr.update(visible=False), None)
        if notice is None:
            chosen = {name: values[name] for name in ("model", "against", "strength", "detail")}
            shown = translate(photo, **chosen, hints=points)
            if recipe is not None:
                pictures.report_difference(recipe, shown[-1])
        return (
            photo,
            values["photo"],
            hinting.on(path, values["board"]),
            points,
            _title(tasks, card),
            values["strength"],
            *of_network(card, values["against"], values["detail"]),
            recipe if notice and recipe else None,
            gr.update(value=notice, visible=bool(notice)),
            *shown,
        )

    def of_network(card: Card, against: str | None = None, detail: float | None = None) -> Any:
        """What the choice of a network sets: `changed`."""
        siblings = tasks[_title(tasks, card)]
        others = translations.comparisons(card)
        chosen = others[0][1] if against is None else against
        finer: dict[str, Any] = {} if detail is None else {"value": detail}
        return (
            gr.update(
                choices=[(each.label, each.name) for each in siblings],
                value=card.name,
                info=card.facts["summary"],
            ),
            gr.update(choices=others, value=chosen),
            card.name,
            chosen,
            gr.update(visible=translations.takes_hints(card)),
            gr.update(visible=translations.takes_detail(card), **finer),
            about.film(card),
            about.text(card, "translation"),
        )

    def chosen_task(task: str) -> Any:
        return of_network(tasks[task][0])

    @show_errors
    def chosen_picture(event: gr.SelectData) -> tuple[Any, ...]:
        title = picked(list(tasks), event)
        return title, *chosen_task(title)

    def chosen_network(name: str) -> Any:
        return of_network(cards[name])

    @show_errors
    def brought(photo: str) -> tuple[Any, ...]:
        """Another photo: nothing that was made of the one before stays."""
        return uploads.keep(photo), hinting.on(photo), [], gr.update(visible=False)

    task, network, other, model, against, strength, detail, (photo, taken), board = controls
    inputs = [photo, model, against, strength, detail, board.given]
    shown = [pair, words, file, made_by]
    # Always the last: what was chosen while a picture was made is what the page says then.
    running: dict[str, Any] = {
        "show_progress_on": before_and_after,
        "trigger_mode": "always_last",
        **TRANSLATION.turns,
    }
    within = {"api_visibility": "private", **running}
    stored: dict[str, Any] = {
        "model": model, "against": against, "strength": strength, "detail": detail,
        "board": board.board, "photo": key,
    }  # fmt: skip
    go.click(translate, inputs, shown, api_name="translate", **running)
    held = other.input(lambda name: name, other, against, **AT_ONCE)
    for change in (held.then, board.drawn.success, strength.release, detail.release):
        change(translate, inputs, shown, **within)
    for event in taken:
        come = event.success(brought, photo, [key, board.board, board.given, everything], **AT_ONCE)
        drawn = come.success(translate, inputs, shown, **within)
        drawn.success(
            pictures.settled,
            [wanted, made_by],
            [wanted, notice],
            api_visibility="private",  # Queued, as nothing would be told otherwise.
            show_progress="hidden",
        )
    go_all.click(
        translate_all,
        [photo, strength, detail],
        everything,
        api_visibility="private",
        show_progress_on=go_all,
        **TRANSLATION.turns,
    )
    changed = [network, other, model, against, board.shown, detail, *learnt]
    by_task = task.input(chosen_task, task, changed, **AT_ONCE)
    by_network = network.input(chosen_network, network, changed, **AT_ONCE)
    by_picture = everything.select(chosen_picture, None, [task, *changed], **AT_ONCE)
    for chosen in (by_task, by_network, by_picture):
        chosen.then(translate, inputs, shown, **within)
    everything_else = [photo, key, board.board, board.given, task, strength, *changed]
    visit.opens(fill, [*everything_else, wanted, notice, *shown], **running)
    visit.keep(stored, drawn=wanted)
    visit.keep_photo(key)


def _cards() -> dict[str, Card]:
    return {card.name: card for cards in translations.tasks().values() for card in cards}


def _title(tasks: dict[str, list[Card]], card: Card) -> str:
    """The task of a network, as the page calls it."""
    return next(title for title, cards in tasks.items() if card in cards)


def _settings_of(recipe: Recipe, cards: dict[str, Card]) -> dict[str, Any]:
    """The controls' values that draw a recipe's picture, to be checked."""
    settings, card = recipe["settings"], cards[recipe["model"]]
    image = recipe.get("image")
    if image is None:
        raise ValueError(
            "the recipe of a translated photo must say of what photo, this one does not"
        )
    points = settings.get("hints", [])
    try:
        board = hinting.written(points, (image["width"], image["height"]))
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"hints must be places and colours, got {str(points)[:80]}") from error
    return {
        "model": card.name,
        "against": translations.comparisons(card)[0][1],
        "strength": settings.get("strength", 1.0),
        "detail": settings.get("detail", 0.0),
        "board": board,
    }


def _check(values: dict[str, Any], controls: dict[str, Any], cards: dict[str, Card]) -> None:
    """ValueError for values that no visitor could have chosen."""
    address.check(controls, values)
    card = cards.get(values["model"])
    if card is None or values["against"] not in [
        name for _, name in translations.comparisons(card)
    ]:
        actual = f"{values['model'][:80]!r} and {values['against'][:80]!r}"
        raise ValueError(
            f"a network and what it is compared with must be of one task, got {actual}"
        )
    hinting.read(values["board"], (1, 1))


def _photo_of(recipe: Recipe, keys: Sequence[str]) -> tuple[str, str] | None:
    """The key and the path of the photo that a recipe's picture is made of, if it is here.

    It is looked for among the visitor's own and the examples.
    """
    from genmodels.hub.recipe import pixels_sha256  # Brings torch.

    image = recipe["image"]

    def is_it(path: str) -> bool:
        if photos.size(path) != (image["width"], image["height"]):
            return False
        return pixels_sha256(photos.opened(path, keep_alpha=True)) == image["sha256"]

    uploaded = uploads.find(keys, is_it)
    if uploaded is not None:
        return uploaded
    example = next((example_path for example_path in _EXAMPLES if is_it(str(example_path))), None)
    if example is None:
        return None
    path = photos.copied(example)
    return uploads.keep(path), path


def _controls(tasks: dict[str, list[Card]]) -> Controls:
    title, cards = next(iter(tasks.items()))
    labels = [(each.label, each.name) for each in cards]
    task = gr.Radio(list(tasks), value=title, label="Task")
    network = gr.Radio(labels, value=cards[0].name, label="Network", info=cards[0].facts["summary"])
    others = translations.comparisons(cards[0])
    other = gr.Dropdown(others, value=others[0][1], label="Compare with")
    model = gr.Textbox(cards[0].name, visible=False)
    against = gr.Textbox(others[0][1], visible=False)
    source = sources.build(_EXAMPLES, "translation", has_camera=True)
    visible = translations.takes_hints(cards[0])
    board = hinting.build(source.photo, str(translations.example("colorize")), visible=visible)
    strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", buttons=[])
    detail = gr.Slider(
        0,
        1,
        0,
        step=0.05,
        label="Detail of the photo",
        info="How much fine detail of a large photo is kept, beyond the network's resolution.",
        buttons=[],
    )
    chosen = (task, network, other, model, against)
    return Controls(*chosen, strength, detail, source, board)


def _several(load: Callable[[str], Any], controls: Controls) -> None:
    """Many photos at once, back as a ZIP."""
    with gr.Accordion("Batch: several photos", open=False):
        files = gr.File(
            label=f"Up to {translations.MAX_FILES} photos",
            file_count="multiple",
            file_types=["image"],
            height=140,
            elem_id="several",
        )
        go = gr.Button("Translate all", size="md", elem_id="translate-several")
        archive = gr.File(label="All results", visible=False, elem_id="archive")

    @show_errors
    def all_of_them(
        paths: list[str] | None, model: str, strength: float, detail: float
    ) -> Iterator[Any]:
        progress, total = gr.Progress(), len(paths or [])
        for done, zipped in translations.many(load, paths or [], model, Dials(strength, detail)):
            progress((done, total), "Translating", unit="photos")
            if zipped is not None:
                yield gr.update(value=zipped, visible=True)

    go.click(
        all_of_them,
        [files, controls.model, controls.strength, controls.detail],
        archive,
        api_visibility="private",
        show_progress_on=go,
        concurrency_id="several",  # Not in turn: thirty large photos take minutes.
        concurrency_limit=1,
    )
