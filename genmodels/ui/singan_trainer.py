"""A network of the visitor's own: SinGAN, trained on their photo while they watch."""

import functools
import hashlib
import json
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_pil_to_cache
from gradio.utils import get_upload_folder

import genmodels
from genmodels.ui import films, photos, pictures
from genmodels.ui.widgets import AT_ONCE, IN_TURN, MAX_SEED, errors_told

NUM_SAMPLES = 4
FRAMES = 48  # Of a film.
MAX_LOADED = 2  # Networks in memory; the one that was unused for longest makes room.
MAX_SIZES = (100, 150, 200, 250)
SWEEP = Path(__file__).with_name("singan_sweep.png")  # By training/sweep_singan.py.
OPTIMIZERS = ("adam", "adamax", "adamw", "sgd", "asgd")
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_id": "training", "concurrency_limit": 1}

_finishing: dict[str, threading.Event] = {}  # By the visitor whose training it ends.


def build(photo: gr.File) -> None:
    """Lay it out inside an open tab, for the photo that is chosen there."""
    with gr.Accordion("Train a network on this photo", open=False, elem_id="trainer"):
        gr.Markdown(
            "SinGAN learns the photo's textures at several sizes, and then draws as many new "
            "pictures as you like: softer than the patches above, and freer. One training at a "
            "time: others wait in a queue."
        )
        with gr.Row():
            size = gr.Radio(MAX_SIZES, value=250, label="Longer side, in pixels")
            seconds = gr.Slider(20, 300, 90, step=10, label="Seconds, at most", buttons=[])
        with gr.Accordion("Epochs and optimizer", open=False):
            epochs = gr.Slider(
                *(100, 1000, 600),
                step=100,
                label="Epochs",
                info="Updates at each size; fewer when the seconds are over.",
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
            )
        train = gr.Button("Train", variant="primary", elem_id="train")
        finish = gr.Button("Stop, and use what is there", visible=False, elem_id="finish")
        preview = gr.Image(
            show_label=False,
            interactive=False,
            buttons=[],
            visible=False,
            alt_text="What the network draws by now",
            elem_id="training",
        )
        words = gr.Markdown(elem_id="training-words")
        folder = gr.State()
        with gr.Column(visible=False) as trained:
            with gr.Row():
                wider = gr.Slider(0.5, 4, 2, step=0.25, label="Times as wide", buttons=[])
                higher = gr.Slider(0.5, 2, 1, step=0.25, label="Times as high", buttons=[])
            keep = gr.Checkbox(False, label="Keep the photo's layout")
            sample = gr.Button(f"Draw {NUM_SAMPLES} new pictures", elem_id="sample")
            samples = pictures.gallery("samples", columns=1, visible=False)
            with gr.Accordion("A film", open=False):
                gr.Markdown("The photo begins to move, and comes back to where it began.")
                kind, shoot = films.format_and_button()
                films.show([films.Panel(shoot, [folder, kind], _film)], "singan-film")
            model = gr.DownloadButton("Download the network", size="md", elem_id="network")

    @errors_told
    def training(
        path: str | None,
        max_size: int,
        seconds: float,
        epochs: int,
        optimizer: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        shown = gr.update(visible=False)  # There is nothing to see yet.
        asked: dict[str, Any] = {"max_size": max_size, "budget_seconds": seconds}
        asked |= {"epochs": epochs, "optimizer": optimizer}
        for picture, told, done in _train(path, asked, str(request.session_hash)):
            shown = shown if picture is None else gr.update(value=picture, visible=True)
            yield shown, told, done, gr.update(visible=done is not None), gr.skip()
        yield shown, told, done, gr.update(visible=True), _zipped(done)

    @errors_told
    def sampled(folder: str | None, wider: float, higher: float, keep: bool, seed: int) -> Any:
        pipe = _load(folder)
        height, width = pipe.generator.sizes[-1]
        made = pipe(
            NUM_SAMPLES,
            width=round(width * wider),
            height=round(height * higher),
            seed=seed,
            start_scale=min(1, len(pipe.generator.channels) - 1) if keep else 0,
        )
        names = (f"{pipe.source}-seed-{one['seed']}" for one in made.recipes)
        files = [
            save_pil_to_cache(picture, get_upload_folder(), name=name, format="png")
            for picture, name in zip(made.images, names, strict=True)
        ]
        return gr.update(value=files, visible=True)

    told = {"api_visibility": "private"}
    seed = gr.Number(0, precision=0, visible=False)
    roll = f"() => Math.floor(Math.random() * {MAX_SEED})"
    begun = train.click(_running, None, [train, finish], **AT_ONCE)
    outputs = [preview, words, folder, trained, model]
    dials = [size, seconds, epochs, optimizer]
    ended = begun.then(training, [photo, *dials], outputs, **told, **ONE_AT_A_TIME)
    ended.then(_idle, None, [train, finish], **AT_ONCE)
    finish.click(_finish, None, None, **AT_ONCE)
    drawing = [folder, wider, higher, keep, seed]
    for event in (ended.success, sample.click):
        rolled = event(None, None, seed, js=roll)
        rolled.then(sampled, drawing, samples, show_progress_on=samples, **told, **IN_TURN)


def _train(
    path: str | None,
    asked: dict[str, Any],  # Settings of the training.
    visitor: str,
) -> Iterator[tuple[Any, str, str | None]]:
    """(picture, words, folder of the network): the folder once it is there."""
    photo = photos.opened(path or photos.SCENES[0])
    folder = _folder(photo, asked)
    if (folder / "model_index.json").is_file():
        yield None, "This network is there already.", str(folder)
        return
    finish = _finishing[visitor] = threading.Event()
    shown = 0.0
    try:
        for event in genmodels.SinGANPipeline.fit_steps(photo, **asked, finish=finish):
            if event.pipeline is not None:
                if finish.is_set():  # Not what the next one asks for, and another each time.
                    folder = folder.with_name(f"{folder.name}-{secrets.token_hex(4)}")
                event.pipeline.save_pretrained(folder)
                yield event.preview, f"Trained in {event.seconds:.0f} s.", str(folder)
            elif event.preview is not None or time.monotonic() - shown > 1:
                shown = time.monotonic()
                yield event.preview, _words(event), None
    finally:
        _finishing.pop(visitor, None)


def _words(event: Any) -> str:
    left = "" if event.eta_seconds is None else f", {event.eta_seconds:.0f} s left"
    at = f"Size {event.scale + 1} of {event.num_scales}, step {event.step} of {event.steps}"
    return f"{at}{left}"


def _folder(photo: Any, asked: dict[str, Any]) -> Path:
    """Where the network of a photo and these settings is, or will be."""
    key = json.dumps([asked, photo.size]).encode()
    name = hashlib.sha256(key + photo.tobytes()).hexdigest()[:12]
    return Path(get_upload_folder()) / f"singan-{name}"


def _zipped(folder: str | None) -> Any:
    """The network's folder as a ZIP, whose content `genmodels.load` reads."""
    if folder is None:
        return gr.skip()
    path = Path(folder)
    return gr.update(value=shutil.make_archive(folder, "zip", path.parent, path.name))


@errors_told
def _film(folder: str | None, kind: str) -> str:
    pipe, progress = _load(folder), gr.Progress()
    progress(0, f"Drawing {FRAMES} frames")
    made = pipe.animate(FRAMES)
    progress(0.7, f"Writing the {kind}")
    return films.shoot(made.images, made.recipes, kind)


@functools.lru_cache(maxsize=MAX_LOADED)
def _load(folder: str | None) -> Any:
    if folder is None:
        raise ValueError("train a network first")
    pipe = genmodels.load(folder)
    pipe.source = Path(folder).name  # As the folder that a visitor unpacks; ours is our affair.
    return pipe


def _finish(request: gr.Request) -> None:
    finishing = _finishing.get(str(request.session_hash))
    if finishing is not None:
        finishing.set()


def _running() -> tuple[Any, Any]:
    return gr.update(visible=False), gr.update(visible=True)


def _idle() -> tuple[Any, Any]:
    return gr.update(visible=True), gr.update(visible=False)
