"""Train models of the zoo in turn within a time budget, on whatever device is there.

    python training/zoo.py --data data/ --out runs/ --budget-seconds 7200

Every model resumes from its folder, and is published there when its share of the time is used up.
`--install` copies the results into genmodels/zoo; `--recard` only rewrites the cards there.
`--continue-installed` starts new runs from the installed weights instead of from scratch.
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import tyro

from genmodels import zoo
from training.publish.hub_repo import recard
from training.runs.command import run_training, split_folders, training_command

INSTALLED = zoo.FOLDER
RESULTS = Path(__file__).parent / "experiments" / "results"
CARS = (
    "Stanford Cars (Krause et al. 2013), the training photographs as bounding-box crops: "
    "one square per car, background kept"
)
STUDIO = (
    "Stanford Cars (Krause et al. 2013): the front three-quarter views, all turned to face left, "
    "cut out and put on grey"
)
CARS_LICENCE = (
    "The photographs belong to their owners and were collected from the web; the set's authors "
    "offer it for research. Use the model for research and demonstration."
)
CARS_NOTES = ("cars_ablation.md",)
COMICS = (
    "faces and their ink comics, of face2comics 1.0 (Sxela 2021), where a network drew both: its "
    "people do not exist"
)
COMICS_LICENCE = (
    "face2comics is offered under the MIT licence. A comic of a real face is still a picture of "
    "that person: ask before you publish it."
)
# Half as wide as the project's: its 9.6 million numbers would fill the zoo.
AUTOENCODER = "--resolution 128 --steps 12000 --save-every 250 --threads 1 --base-channels 64 "
# Strokes have no place of their own: grain begins them, and only their kind is compared.
BRUSH = "--grain 0.1 --pixel-average 4 --pixel-weight 20 --texture-weight 40 --margin 16"
AUTOENCODER_GPU = (
    "--resolution 256 --steps 20000 --save-every 1000 --batch-size 16 --base-channels 64 "
    "--mixed-precision bf16 --network-size 512 "
)
# Begun as a network of cars: what an edge, a shadow and a texture is need not be learnt again.
FROM_CARS = (
    "--steps 20000 --save-every 200 --threads 1 --max-channels 256 --batch-size 32 --r1-gamma 0.1 "
    "--ema-halflife-images 10000 --critic both --heads-conditions --heads-from-images 24000 "
    "--conditions-from-images 10000 --conditions-full-images 30000"
)
LANDSCAPES = "landscape photographs from Flickr, those of CycleGAN's photo2monet (Zhu et al. 2017)"
COLOURS = (
    "at most 1,500 of each: landscapes from Flickr (those of CycleGAN's photo2monet, Zhu et al. "
    "2017), faces (UTKFace, MEBeauty), buildings (the Intel scene set), churches (Imagenette) and "
    "cars (Stanford Cars, Krause et al. 2013)"
)
COLOURS_LICENCE = (
    "The faces are for non-commercial research only; the other photographs belong to their owners, "
    "their licences are not stated. Use the model for research and demonstration."
)
MONETS = LANDSCAPES + "; the targets are painted by a program from 274 of Monet's works"
LANDSCAPES_LICENCE = (
    "The photographs belong to their owners, their licences are not stated. Use the model for "
    "research and demonstration."
)
FACES = (
    "tight, aligned crops of faces from UTKFace (Zhang et al. 2017) and MEBeauty; openness of eyes "
    "and mouth was measured from landmarks and is given as ranks"
)
FACES_LICENCE = (
    "Both sets are for non-commercial research only, and so is the model. The photographs show "
    "real people: do not use it to imitate or to judge anyone."
)
DISASTERS = (
    "photographs of building fires, earthquake damage, floods and wildfires from AIDER, CrisisNLP, "
    "MEDIC and public repositories, picked by eye"
)
DISASTERS_LICENCE = (
    "The photographs belong to their owners; AIDER and the CrisisNLP sets are for research. Use "
    "the model for research and demonstration, and never present its pictures as an event's."
)


@dataclass(frozen=True)
class Recipe:
    """How one model of the zoo is made."""

    script: str  # In training/.
    data: str  # Folder below --data.
    flags: str  # Flags of the script, for a two-core CPU.
    gpu_flags: str  # Instead of them on a GPU.
    summary: str  # For lists of models, such as the page's.
    data_name: str  # For the card.
    licence: str  # For the card.
    has_held_out: bool = True  # The data is split into train/ and held_out/, or holds images only.
    card_notes: tuple[str, ...] = ()  # Tables in training/experiments/results for the card.
    parent: str | None = None  # On a CPU, start from this model of the zoo.


ZOO = {
    "cars-dcgan-64": Recipe(
        script="train_dcgan.py",
        data="cars-64",
        flags="--steps 20000 --save-every 150 --threads 1",
        gpu_flags="--steps 60000 --save-every 2000 --batch-size 128",
        summary="Cars at 64 px by the plainest of networks, the one that students start with.",
        data_name=CARS,
        licence=CARS_LICENCE,
        card_notes=CARS_NOTES,
    ),
    "cars-dcgan-128": Recipe(
        script="train_dcgan.py",
        data="cars-128",
        flags="--resolution 128 --base-channels 32 --steps 20000 --save-every 100 --threads 1",
        gpu_flags="--resolution 128 --steps 60000 --save-every 2000 --batch-size 128",
        summary="Cars at 128 px by the plainest of networks.",
        data_name=CARS,
        licence=CARS_LICENCE,
        card_notes=CARS_NOTES,
    ),
    "anime-dcgan-64": Recipe(
        script="train_dcgan.py",
        data="anime-64",
        # As many images as cars-dcgan-64 had seen when the two were compared.
        flags="--steps 4632 --save-every 150 --threads 1",
        gpu_flags="--steps 4632 --save-every 500",
        summary="Anime faces at 64 px by the cars' own network: what it does with an easier set.",
        data_name="3,220 anime faces of 2004-2007 from the Anime-Face-Dataset (crops from Getchu)",
        licence="No licence is stated; the drawings belong to their makers. Use the model for "
        "research and demonstration.",
        has_held_out=False,
        card_notes=("cars_vs_anime.md",),
    ),
    "cars-stylegan2-64": Recipe(
        script="train_stylegan2.py",
        data="cars-64",
        flags="--steps 100000 --save-every 600 --threads 1 --max-channels 256 "
        "--r1-gamma 0.05 --ema-halflife-images 20000 --conditions body year",
        gpu_flags="--steps 40000 --save-every 1000 --batch-size 64 --base-channels 64 "
        "--max-channels 256 --lr 2.5e-3 --mixed-precision bf16 --ema-halflife-images 20000 "
        "--conditions body year",
        summary="Cars at 64 px, asked for by body type and model year; it follows loosely.",
        data_name=CARS,
        licence=CARS_LICENCE,
        card_notes=CARS_NOTES,
    ),
    "cars-stylegan2-studio-64": Recipe(
        script="train_stylegan2.py",
        data="cars-64-view-cutout",
        flags="--steps 100000 --save-every 300 --threads 1 --max-channels 256 --no-x-flip "
        "--r1-gamma 0.05 --ema-halflife-images 10000 --conditions body year",
        gpu_flags="--steps 40000 --save-every 1000 --batch-size 64 --base-channels 64 "
        "--max-channels 256 --no-x-flip --r1-gamma 0.05 --lr 2.5e-3 --mixed-precision bf16 "
        "--ema-halflife-images 20000 --conditions body year",
        summary="Cars at 64 px as in a studio: one viewpoint, no background, by body type and "
        "model year.",
        data_name=STUDIO,
        licence=CARS_LICENCE,
        card_notes=CARS_NOTES,
        parent="cars-stylegan2-64",
    ),
    "faces-stylegan2-64": Recipe(
        script="train_stylegan2.py",
        data="faces-64",
        flags=f"{FROM_CARS} --conditions gender eye_openness mouth_openness",
        gpu_flags="--steps 40000 --save-every 1000 --batch-size 64 --base-channels 64 "
        "--max-channels 256 --lr 2.5e-3 --mixed-precision bf16 --ema-halflife-images 20000 "
        "--critic both --heads-from-images 100000 "
        "--conditions gender eye_openness mouth_openness",
        summary="Faces at 64 px, with sliders for how open eyes and mouth are.",
        data_name=FACES,
        licence=FACES_LICENCE,
        parent="cars-stylegan2-64",
    ),
    "disasters-stylegan2-64": Recipe(
        script="train_stylegan2.py",
        data="disasters-64",
        flags=f"{FROM_CARS} --conditions disaster",
        gpu_flags="--steps 40000 --save-every 1000 --batch-size 64 --base-channels 64 "
        "--max-channels 256 --lr 2.5e-3 --mixed-precision bf16 --ema-halflife-images 20000 "
        "--critic both --heads-from-images 100000 --conditions disaster",
        summary="Building fires, earthquakes, floods and wildfires at 64 px.",
        data_name=DISASTERS,
        licence=DISASTERS_LICENCE,
        parent="cars-stylegan2-64",
    ),
    "comic-pix2pix-128": Recipe(
        script="train_pix2pix.py",
        data="pairs-comic",
        flags="--resolution 128 --steps 12000 --save-every 250 --jitter 0.35 --threads 1 "
        "--ema-halflife-images 8000 --network-size 176 --r1-gamma 10 --pixel-weight 60",
        gpu_flags="--resolution 256 --steps 20000 --save-every 1000 --batch-size 16 --jitter 0.35 "
        "--base-channels 64 --max-channels 256 --receptive-field 70 --r1-gamma 10 "
        "--pixel-weight 30 --mixed-precision bf16 --network-size 512",
        summary="A face becomes an ink comic.",
        data_name=COMICS,
        licence=COMICS_LICENCE,
        card_notes=("translation-comic.md",),
    ),
    "comic-autoencoder-128": Recipe(
        script="train_autoencoder.py",
        data="pairs-comic",
        flags=AUTOENCODER + "--jitter 0.35 --ema-halflife-images 8000 --network-size 176",
        gpu_flags=AUTOENCODER_GPU + "--jitter 0.35",
        summary="A face becomes a comic by a network without a critic: softer.",
        data_name=COMICS,
        licence=COMICS_LICENCE,
        card_notes=("translation-comic.md",),
    ),
    "colorize-pix2pix-128": Recipe(
        script="train_pix2pix.py",
        data="pairs-coloring-mixed",
        flags="--predicts chroma --resolution 128 --steps 12000 --save-every 250 --threads 1 "
        "--jitter 0.35 --ema-halflife-images 8000 --network-size 256 --r1-gamma 10 "
        "--pixel-weight 50",
        gpu_flags="--predicts chroma --resolution 256 --steps 20000 --save-every 1000 "
        "--batch-size 16 --base-channels 64 --max-channels 256 --receptive-field 70 --r1-gamma 10 "
        "--pixel-weight 50 --mixed-precision bf16 --network-size 512",
        summary="Colours for a grey photo; the brightness of every pixel stays.",
        data_name=COLOURS,
        licence=COLOURS_LICENCE,
        card_notes=("translation-coloring.md",),
    ),
    "colorize-autoencoder-128": Recipe(
        script="train_autoencoder.py",
        data="pairs-coloring-mixed",
        flags=AUTOENCODER
        + "--predicts chroma --jitter 0.35 --ema-halflife-images 8000 --network-size 256",
        gpu_flags=AUTOENCODER_GPU + "--predicts chroma",
        summary="Colours for a grey photo by a network without a critic: paler.",
        data_name=COLOURS,
        licence=COLOURS_LICENCE,
        card_notes=("translation-coloring.md",),
    ),
    "monet-pix2pix-128": Recipe(
        script="train_pix2pix.py",
        data="pairs-monet",
        flags="--resolution 128 --steps 15000 --save-every 250 --jitter 0.5 --threads 1 "
        "--ema-halflife-images 8000 --network-size 256 --r1-gamma 10 " + BRUSH,
        gpu_flags="--resolution 256 --steps 20000 --save-every 1000 --batch-size 16 --jitter 0.2 "
        "--base-channels 64 --max-channels 256 --receptive-field 70 --r1-gamma 10 "
        "--mixed-precision bf16 --network-size 512 " + BRUSH,
        summary="A landscape in the strokes and the palette of Monet.",
        data_name=MONETS,
        licence=LANDSCAPES_LICENCE,
        card_notes=("translation-monet.md",),
    ),
    "monet-autoencoder-128": Recipe(
        script="train_autoencoder.py",
        data="pairs-monet",
        flags=AUTOENCODER + "--jitter 0.5 --ema-halflife-images 8000 --network-size 256",
        gpu_flags=AUTOENCODER_GPU + "--jitter 0.2",
        summary="A landscape after Monet by a network without a critic: softer.",
        data_name=MONETS,
        licence=LANDSCAPES_LICENCE,
        card_notes=("translation-monet.md",),
    ),
    "cars-stylegan2-128": Recipe(
        script="train_stylegan2.py",
        data="cars-128",
        flags="--steps 100000 --save-every 600 --base-channels 16 --conditions body year",
        gpu_flags="--steps 40000 --save-every 1000 --batch-size 64 --base-channels 64 "
        "--max-channels 256 --z-dim 256 --w-dim 256 --lr 2.5e-3 --r1-gamma 0.5 "
        "--mixed-precision bf16 --ema-halflife-images 20000 --conditions body year",
        summary="Cars at 128 px that can be asked for by body type and model year.",
        data_name=CARS,
        licence=CARS_LICENCE,
        card_notes=CARS_NOTES,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Flags of the zoo's training command."""

    data: Path  # Where the prepared sets are.
    out: Path  # Where each model's run is, in a folder of its name.
    budget_seconds: float  # For all of them together, publishing included.
    models: tuple[str, ...] = ("cars-stylegan2-64", "cars-dcgan-64")  # In this order.
    publish_seconds: float = 400  # Kept back per model for its metrics and card.
    install: bool = False  # Copy the published models into genmodels/zoo.
    recard: bool = False  # Only rewrite the cards of installed models.
    continue_installed: bool = False  # Start new runs from the weights in genmodels/zoo.


def train(config: Config) -> None:
    """Give each model an equal share of what is left; what one does not use goes to the next."""
    unknown = set(config.models) - set(ZOO)
    if unknown:
        raise ValueError(f"models must be among {', '.join(ZOO)}, got {sorted(unknown)}")
    if config.recard:
        for name in config.models:
            _recard(config, name)
        return
    deadline = time.monotonic() + config.budget_seconds
    for done, name in enumerate(config.models):
        share = (deadline - time.monotonic()) / (len(config.models) - done)
        seconds = share - config.publish_seconds
        if seconds <= 0:
            raise ValueError(
                f"budget_seconds leaves {share:.0f} s for {name}, of which publishing needs "
                f"{config.publish_seconds:.0f}"
            )
        print(f"{name}: {seconds:.0f} s of training", flush=True)
        run_training(command(config, name, seconds))
        if config.install:
            install(config.out / name / "model", name)


def _recard(config: Config, name: str) -> None:
    recipe = ZOO[name]
    notes = [RESULTS / note for note in recipe.card_notes]
    data = config.data / recipe.data
    recard(INSTALLED / name, notes, data / "train", data / "held_out")


def command(config: Config, name: str, seconds: float) -> list[str]:
    """The training command of one model."""
    recipe = ZOO[name]
    data = config.data / recipe.data
    images = split_folders(data) if recipe.has_held_out else {"data": data}
    settings = images | {
        "out": config.out / name,
        "budget_seconds": seconds,
        "summary": recipe.summary,
        "data_name": recipe.data_name,
        "licence": recipe.licence,
        "card_notes": [RESULTS / note for note in recipe.card_notes] or None,
    }
    flags = recipe.gpu_flags if torch.cuda.is_available() else recipe.flags
    return training_command(recipe.script, flags, settings) + start_flags(config, name)


def start_flags(config: Config, name: str) -> list[str]:
    """What a run starts from; one that has begun repeats what its folder says."""
    record = config.out / name / "config.json"
    source = None if torch.cuda.is_available() else ZOO[name].parent  # There it would not fit.
    if config.continue_installed and name in zoo.names():
        source = name
    if record.is_file():
        source = json.loads(record.read_text()).get("init_from")
    if source is None:
        return []
    # Its weights know what is asked, unless the recipe says when they are to learn it.
    is_conditional = ZOO[name].script == "train_stylegan2.py"
    is_conditional &= "--conditions-from-images" not in ZOO[name].flags
    at_once = ["--conditions-from-images", "0", "--conditions-full-images", "0"]
    return ["--init-from", source, *(at_once if is_conditional else [])]


def install(model: Path, name: str) -> None:
    """Put a published model in the library's zoo, in place of an older one."""
    shutil.rmtree(INSTALLED / name, ignore_errors=True)
    shutil.copytree(model, INSTALLED / name)


if __name__ == "__main__":
    train(tyro.cli(Config))
