"""The calls that users rely on: they exist, and take what the design says they take."""

import ast
import inspect
from pathlib import Path

import pytest

import genmodels
from genmodels import zoo
from genmodels.hub.pipelines import HubPipeline, ImagePipeline

STUB = Path(genmodels.__file__).with_suffix(".pyi")
PHOTO = object()

# Each call by who has it, its name and its arguments.
CALLS = [
    (genmodels, "list_models", (), {}),
    (genmodels, "load", ("cars-stylegan2-128",), {}),
    (genmodels, "load", ("user/repo",), {"revision": "main"}),
    (genmodels, "replay", ("car.png",), {}),
    (
        genmodels.StyleGAN2Pipeline,
        "__call__",
        (),
        {
            "num_images": 4,
            "seed": 7,
            "truncation_psi": 0.7,
            "condition": {"body": "suv", "year": 2010},
        },
    ),
    (genmodels.StyleGAN2Pipeline, "vary", (), {"seed": 7, "strength": 0.3, "num_images": 8}),
    (genmodels.StyleGAN2Pipeline, "interpolate", (), {"seeds": [1, 2, 3], "frames": 24}),
    (
        genmodels.StyleGAN2Pipeline,
        "mix",
        (),
        {"row_seeds": [1, 2], "column_seeds": [3, 4, 5], "layers": "middle"},
    ),
    (genmodels.DCGANPipeline, "__call__", (), {"num_images": 4, "seed": 7}),
    (genmodels.DCGANPipeline, "vary", (), {"seed": 7, "strength": 0.3, "num_images": 8}),
    (genmodels.DCGANPipeline, "interpolate", (), {"seeds": [1, 2, 3], "frames": 24}),
    *(
        (genmodels.PatchPipeline, verb, (PHOTO,), {"width": 1024, "height": 384, "seed": 0})
        for verb in ("extend", "resample", "retarget", "wrap")
    ),
    *(
        (
            genmodels.SinGANPipeline,
            verb,
            (PHOTO,),
            {"mode": "fast", "max_size": 150, "epochs": None, "optimizer": "adam"}
            | {"budget_seconds": None, "seed": 0},
        )
        for verb in ("fit", "fit_steps")
    ),
    (genmodels.SinGANPipeline, "fit", (PHOTO,), {"on_progress": None}),
    (
        genmodels.SinGANPipeline,
        "__call__",
        (),
        {"width": 90, "height": 60, "num_images": 2, "seed": 1},
    ),
    (genmodels.Pix2PixPipeline, "__call__", (PHOTO,), {"strength": 1.0}),
    (genmodels.AutoencoderPipeline, "__call__", (PHOTO,), {"strength": 1.0}),
    (genmodels.UpscalerPipeline, "__call__", (PHOTO,), {}),
    *(
        (pipeline, method, arguments, {})
        for pipeline in (
            genmodels.AutoencoderPipeline,
            genmodels.DCGANPipeline,
            genmodels.Pix2PixPipeline,
            genmodels.SinGANPipeline,
            genmodels.StyleGAN2Pipeline,
            genmodels.UpscalerPipeline,
        )
        for method, arguments in (
            ("from_pretrained", ("user/repo",)),
            ("save_pretrained", ("folder",)),
            ("push_to_hub", ("user/repo",)),
            ("enlarge", (PHOTO, 4)),
        )
    ),
    *((genmodels.metrics, name, ([], []), {}) for name in ("psnr", "ssim", "swd", "random_kid")),
]


@pytest.mark.parametrize(
    ("owner", "name", "arguments", "settings"),
    CALLS,
    ids=[f"{owner.__name__}.{name}" for owner, name, *_ in CALLS],
)
def test_a_public_call_takes_what_the_design_says(owner, name, arguments, settings):
    function = getattr(owner, name)
    is_method = inspect.isclass(owner) and not inspect.ismethod(function)
    inspect.signature(function).bind(*([owner] if is_method else []), *arguments, **settings)


def test_what_draws_without_weights_is_no_hub_pipeline():
    patches = genmodels.load("patches")
    assert isinstance(patches, ImagePipeline)
    assert not isinstance(patches, HubPipeline)
    assert not hasattr(patches, "save_pretrained")


def stub():
    return ast.parse(STUB.read_text()).body


def test_editors_know_every_public_name():
    known = {
        alias.asname for node in stub() if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    known |= {node.name for node in stub() if isinstance(node, ast.FunctionDef)}
    known |= {node.target.id for node in stub() if isinstance(node, ast.AnnAssign)}
    assert known - {None} == set(genmodels.__all__)


def test_editors_know_the_class_of_every_embedded_model():
    typed = {}
    for node in stub():
        if isinstance(node, ast.FunctionDef) and node.name == "load":
            source = node.args.args[0].annotation
            names = [leaf.value for leaf in ast.walk(source) if isinstance(leaf, ast.Constant)]
            typed |= dict.fromkeys(names, node.returns.id)
    engines = {name: class_name for name, (class_name, _) in zoo.ENGINES.items()}
    assert typed == engines | {name: zoo.facts(name)["pipeline"] for name in zoo.names()}
