"""A network of the visitor's own: SinGAN, trained on their photo while they watch."""

import hashlib
import json
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import gradio as gr
from gradio.context import Context

import genmodels
from genmodels.ui.assets import ASSETS
from genmodels.ui.components import films
from genmodels.ui.components.widgets import AT_ONCE, MAX_SEED, show_errors
from genmodels.ui.server import work_folder
from genmodels.ui.server.queues import SAMPLING
from genmodels.ui.services import photos, pictures, workers
from genmodels.ui.services.jobs import Line, News

NUM_SAMPLES = 4
FRAMES = 48  # Frames of a film.
MAX_SIZES = (100, 150, 200, 250)
SWEEP = ASSETS / "singan_sweep.png"  # By training/experiments/sweep_singan.py.
OPTIMIZERS = ("adam", "adamax", "adamw", "sgd", "asgd")
MEGABYTES = 400  # That training takes at most, or drawing.

TRAININGS = Line()


def build(photo: gr.File, token: gr.BrowserState) -> None:
    """Lay it out inside an open tab, for the photo that is chosen there.

    `token` is the training's, which a reloaded page has, too.
    """
    with gr.Accordion("Train a SinGAN on this photo", open=False, elem_id="trainer") as fold:
        gr.Markdown(
            "SinGAN learns the photo's textures at several sizes, and then draws as many new "
            "pictures as you like: softer than the patches above, and freer. One training at a "
            "time: others wait in a queue."
        )
        with gr.Row():
            size = gr.Radio(MAX_SIZES, value=250, label="Longer side (pixels)")
            seconds = gr.Slider(20, 300, 90, step=10, label="Time limit (seconds)", buttons=[])
        with gr.Accordion("Advanced settings", open=False):
            epochs = gr.Slider(
                100,
                1000,
                600,
                step=100,
                label="Epochs",
                info="Updates at each scale. Fewer if the time limit ends first.",
                buttons=[],
            )
            optimizer = gr.Dropdown(OPTIMIZERS, value=OPTIMIZERS[0], label="Optimizer")
            gr.Markdown(
                "What they bring, on three landscapes: how unlike the photo the pictures are when "
                "all are shown at one size, against the processor's seconds. The paper's own "
                "protocol takes 70 minutes at 100 px, where this takes 43 seconds, and its "
                "pictures are less like the photo."
            )
            gr.Image(
                str(SWEEP),
                show_label=False,
                interactive=False,
                buttons=["fullscreen"],
                alt_text="Likeness against time, by size and number of epochs",
                elem_id="sweep",
                image_mode=None,
            )
        train = gr.Button("Train", variant="primary", elem_id="train")
        finish = gr.Button("Stop and keep the result", visible=False, elem_id="finish")
        preview = gr.Image(
            show_label=False,
            interactive=False,
            buttons=[],
            visible=False,
            alt_text="What the network draws by now",
            elem_id="training",
            image_mode=None,
        )
        words = gr.Markdown(elem_id="training-words")
        with gr.Column(visible=False) as trained:
            with gr.Row():
                wider = gr.Slider(0.5, 4, 2, step=0.25, label="Width factor", buttons=[])
                higher = gr.Slider(0.5, 2, 1, step=0.25, label="Height factor", buttons=[])
            keep = gr.Checkbox(False, label="Keep the photo's layout")
            sample = gr.Button(f"Draw {NUM_SAMPLES} new pictures", elem_id="sample")
            samples = pictures.gallery("samples", columns=1, visible=False)
            with gr.Accordion("Film loop", open=False):
                gr.Markdown("The photo begins to move, and comes back to where it began.")
                kind, shoot = films.format_and_button()
                films.show([films.Panel(shoot, [token, kind], _film)], "singan-film")
            model = gr.DownloadButton("Download the network", size="md", elem_id="network")

    @show_errors
    def training(
        path: str | None, max_size: int, seconds: float, epochs: int, optimizer: str
    ) -> Iterator[tuple[Any, ...]]:
        settings: dict[str, Any] = {"max_size": max_size, "budget_seconds": seconds}
        settings |= {"epochs": epochs, "optimizer": optimizer}
        token = start(path, settings)
        for update in _followed(token):
            yield token, *update

    @show_errors
    def found_again(token: str | None) -> Iterator[tuple[Any, ...]]:
        """The training of before the page was reloaded, if there was one."""
        if not TRAININGS.knows(token):
            yield tuple(gr.skip() for _ in range(7))
            return
        for update in _followed(token):
            yield *_running(), gr.update(open=True), *update

    @show_errors
    def sampled(token: str | None, wider: float, higher: float, keep: bool, seed: int) -> Any:
        arguments = (_trained(token), wider, higher, keep, seed)
        files = workers.result(_sample, *arguments, megabytes=MEGABYTES)
        return gr.update(value=files, visible=True)

    @show_errors
    def first_samples(token: str | None, *arguments: Any) -> Any:
        is_trained = TRAININGS.knows(token) and TRAININGS.result(token) is not None
        return sampled(token, *arguments) if is_trained else gr.skip()

    private: dict[str, Any] = {"api_visibility": "private"}
    unlimited: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden"}
    seed = gr.Number(0, precision=0, visible=False)
    roll = f"() => Math.floor(Math.random() * {MAX_SEED})"
    outputs = [preview, words, trained, model]
    begun = train.click(_running, None, [train, finish], **AT_ONCE)
    dials = [photo, size, seconds, epochs, optimizer]
    ended = begun.then(training, dials, [token, *outputs], **private, **unlimited)
    page = cast("gr.Blocks", Context.root_block)
    everything = [train, finish, fold, *outputs]
    again = page.load(found_again, token, everything, **private, **unlimited)
    for event in (ended, again):
        event.then(_idle, None, [train, finish], **AT_ONCE)
    finish.click(_finish, token, None, **AT_ONCE)
    drawing = [token, wider, higher, keep, seed]
    for drawn, draw in (
        (ended.success, first_samples),
        (again.success, first_samples),
        (sample.click, sampled),
    ):
        rolled = drawn(None, None, seed, js=roll)
        rolled.then(draw, drawing, samples, show_progress_on=samples, **private, **SAMPLING.turns)


def _followed(token: str | None) -> Iterator[tuple[Any, ...]]:
    """What is shown of a training: the preview, words, whether there is a network, and its ZIP."""
    shown = gr.update(visible=False)  # There is nothing to see yet.
    for news in TRAININGS.follow(token):
        if news.picture is not None:
            shown = gr.update(value=news.picture, visible=True)
        is_done = news.result is not None
        archive = gr.update(value=f"{news.result}.zip") if is_done else gr.skip()
        yield shown, news.words, gr.update(visible=is_done), archive


def start(path: str | None, settings: dict[str, Any]) -> str:
    """The token of a training with these settings. Errors: ValueError."""
    path = path or str(photos.SCENES[0])
    photo = photos.opened(path)
    folder = _folder(photo, settings)

    def work(finish: threading.Event) -> Iterator[News | None]:
        if _is_kept(folder):
            yield News("This network is there already.", result=str(folder))
            return
        arguments = (path, settings, str(folder))
        yield from workers.run(_train, *arguments, megabytes=MEGABYTES, finish=finish)

    return TRAININGS.submit(work, settings["budget_seconds"])


def _train(path: str, settings: dict[str, Any], folder: str) -> Iterator[News]:
    """In a process of its own: how it goes; at last the folder of the network."""
    at, shown = "", 0.0
    finish, photo = workers.finishing, photos.opened(path)
    try:
        for event in genmodels.SinGANPipeline.fit_steps(photo, **settings, finish=finish):
            preview = None
            if event.preview is not None:
                preview = work_folder.png(event.preview, "preview")
            if event.pipeline is not None:
                words = f"Trained in {event.seconds:.0f} s."
                if finish.is_set():  # Not what the next one asks for, and another each time.
                    folder = f"{folder}-{secrets.token_hex(4)}"
                    words = f"Stopped at {at} after {event.seconds:.0f} s."
                yield News(words, preview, _saved(event.pipeline, Path(folder)))
                return
            at = f"size {event.scale + 1} of {event.num_scales}, step {event.step} of {event.steps}"
            if preview is not None or time.monotonic() - shown > 1:
                shown = time.monotonic()
                yield News(_words(at, event.eta_seconds), preview)
    except FloatingPointError as error:
        raise ValueError(str(error)) from error


def _saved(pipe: Any, folder: Path) -> str:
    """The network in its folder, and beside it as a ZIP; each appears as a whole."""
    part = folder.with_name(f"{folder.name}.{secrets.token_hex(4)}")
    named = part / folder.name  # As the folder that a visitor unpacks.
    pipe.save_pretrained(named)
    if not folder.exists():
        named.rename(folder)
    archive = shutil.make_archive(str(part / "network"), "zip", folder.parent, folder.name)
    Path(archive).replace(f"{folder}.zip")
    shutil.rmtree(part)
    return str(folder)


def _words(at: str, seconds_left: float | None) -> str:
    left = "" if seconds_left is None else f", {seconds_left:.0f} s left"
    return f"{at[:1].upper()}{at[1:]}{left}"


def _folder(photo: Any, settings: dict[str, Any]) -> Path:
    """Where the network of a photo and these settings is, or will be."""
    key = json.dumps([settings, photo.size]).encode()
    name = hashlib.sha256(key + photo.tobytes()).hexdigest()[:12]
    return work_folder.path() / f"singan-{name}"


def _trained(token: str | None) -> str:
    """The folder of a visitor's network."""
    folder = None if token is None else TRAININGS.result(token)
    if folder is None:
        raise ValueError("train a network first")
    if not _is_kept(Path(folder)):
        raise ValueError("the network was not used for long and is gone: train it again")
    return str(folder)


def _is_kept(folder: Path) -> bool:
    """Whether a network is there, and its ZIP; they then count as used now."""
    files = (folder / "model_index.json", Path(f"{folder}.zip"))
    return all(work_folder.is_kept(file) for file in files)


def _sample(folder: str, wider: float, higher: float, keep: bool, seed: int) -> Iterator[list[str]]:
    """In a process of its own: the pictures' paths."""
    pipe = _load(folder)
    height, width = pipe.generator.sizes[-1]
    output = pipe(
        NUM_SAMPLES,
        width=round(width * wider),
        height=round(height * higher),
        seed=seed,
        start_scale=min(1, len(pipe.generator.channels) - 1) if keep else 0,
    )
    names = (f"{pipe.source}-seed-{record['seed']}" for record in output.recipes)
    yield [
        work_folder.png(picture, name) for picture, name in zip(output.images, names, strict=True)
    ]


@show_errors
def _film(token: str | None, kind: str) -> films.Making:
    yield from workers.run(_animate, _trained(token), kind, megabytes=MEGABYTES)


def _animate(folder: str, kind: str) -> films.Making:
    """In a process of its own."""
    pipe = _load(folder)
    yield 0.0, f"Drawing {FRAMES} frames"
    output = pipe.animate(FRAMES)
    yield 0.7, f"Writing the {kind}"
    yield films.shoot(output.images, output.recipes, kind)


def _load(folder: str) -> Any:
    pipe = genmodels.load(folder)
    pipe.source = Path(folder).name  # As the folder that a visitor unpacks; ours is our affair.
    return pipe


def _finish(token: str | None) -> None:
    if TRAININGS.knows(token):
        TRAININGS.finish(token)


def _running() -> tuple[Any, Any]:
    return gr.update(visible=False), gr.update(visible=True)


def _idle() -> tuple[Any, Any]:
    return gr.update(visible=True), gr.update(visible=False)
