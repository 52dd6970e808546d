"""The plan of the house: who may import whom, what each family has, what is never used."""

import ast
import functools
import importlib.util
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import genmodels

ROOT = Path(__file__).parents[1]
SOURCES = sorted([ROOT / "app.py", *ROOT.glob("genmodels/**/*.py"), *ROOT.glob("training/**/*.py")])
FEATURES = {"efficientnet_lite"}  # Frozen networks that draw nothing: what others learn with.
FAMILIES = sorted({path.stem for path in ROOT.glob("genmodels/models/[a-z]*")} - FEATURES)
# Reads a third party's weights, once: tensors only, of a file whose hash it knows.
CONVERTERS = {"training.prepare.convert_efficientnet_lite"}

# Which rooms may import which others; what is not listed imports nothing of ours. Arrows point down
# only. "genmodels", "training": the files that lie in no room of theirs.
LIBRARY = "genmodels .zoo .nn .data .hub .models .pipelines .metrics .doctor"
MAY_IMPORT = {
    "genmodels.hub": "genmodels .zoo .nn .data",
    "genmodels.models": ".nn .data .hub",
    "genmodels.pipelines": ".nn .data .hub .models",
    "genmodels.metrics": ".data .models",
    "genmodels.doctor": "genmodels .data .models .metrics",
    "genmodels.ui.services": "genmodels .zoo .nn .data .hub .pipelines .doctor .ui.assets "
    ".ui.server",
    "genmodels.ui.components": "genmodels .zoo .data .hub .ui.assets .ui.server .ui.services",
    "genmodels.ui.tabs": ".data .hub .ui.assets .ui.server .ui.services .ui.components",
    "app": "genmodels .ui.server .ui.services .ui.components .ui.tabs",
    "training.runs": LIBRARY,
    "training.critics": LIBRARY,
    "training.judges": LIBRARY,
    "training.publish": f"{LIBRARY} training.runs training.judges",
    "training": f"{LIBRARY} training.runs training.critics training.publish",
    "training.prepare": f"{LIBRARY} training.runs training.publish",
    "training.experiments": f"{LIBRARY} training.runs training.judges training.publish "
    "training.prepare",
    "training.benchmarks": f"{LIBRARY} training.critics training.prepare",
}

# What never imports another of its kind: families, tabs, scripts.
PEERS = (
    r"genmodels\.(?:models\.|pipelines\.pipeline_)(\w+)|training\.train_(\w+)",
    r"genmodels\.ui\.tabs\.(\w+)",
    r"training\.(train_\w+)",
)
# SinGAN's fast mode puts its coarsest picture together from the photo's patches.
KNOWN_PEERS = {("singan", "patches")}

# Who may import packages that shape what imports them.
ONLY_IN = {
    "gradio": "app genmodels.ui.*",
    "accelerate": "training.runs.*",
    "huggingface_hub": "genmodels.hub.* genmodels.data.* training.publish.* "
    "training.prepare.upscaler_card",
    "diffusers": "genmodels.hub.* genmodels.models.* genmodels.pipelines.*",
    "datasets": "genmodels.data.*",
    "av": "genmodels.data.*",
    "torchvision": "",
    "transformers": "",
    "onnx": "genmodels.metrics.* training.prepare.*",
    "onnxruntime": "genmodels.metrics.* training.prepare.*",
    "pickle": "",
    "dill": "",
    "cloudpickle": "",
    "joblib": "",
    "shelve": "",
    "marshal": "",
}


# Scripts that people start, each of which sets how threads wait before torch can come.
ENTRIES = [path for path in SOURCES if "__main__" in path.read_text()]


def module_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def nodes(path):
    return list(ast.walk(ast.parse(path.read_text())))


def imports(path):
    """Every module that a file imports, wherever in the file."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if is_ours(inner) else node.module


def is_ours(module):
    path = ROOT / module.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def fits(module, patterns):
    return any(fnmatchcase(module, pattern) for pattern in patterns.split())


def is_package(module):
    return (ROOT / module.replace(".", "/") / "__init__.py").exists()


def room_of(module):
    """The folder that a file lies in; a family's own package is in the room of all families."""
    folder = module if is_package(module) else module.rpartition(".")[0]
    parts = folder.split(".")
    return ".".join(parts[: 3 if "ui" in parts else 2]) or module


def allowed(room):
    names = MAY_IMPORT.get(room, "").split()
    return {room, *(f"genmodels{name}" if name.startswith(".") else name for name in names)}


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_a_file_imports_only_from_the_rooms_below(path):
    room = room_of(module_of(path))
    ours = {name for name in imports(path) if is_ours(name)}
    forbidden = sorted(name for name in ours if room_of(name) not in allowed(room))
    assert not forbidden, f"{room} must not import {forbidden}"


def peer(pattern, module):
    match = re.match(pattern, module)
    name = next(filter(None, match.groups())) if match else None
    is_family = pattern == PEERS[0]
    return name if not is_family or name in FAMILIES else None


@pytest.mark.parametrize("pattern", PEERS)
def test_families_tabs_and_scripts_do_not_know_each_other(pattern):
    pairs = {
        (peer(pattern, module_of(path)), peer(pattern, name))
        for path in SOURCES
        for name in imports(path)
    }
    strangers = {(one, other) for one, other in pairs if one and other and one != other}
    assert strangers <= KNOWN_PEERS


def test_the_plan_names_no_room_that_is_gone():
    rooms = {room for name in MAY_IMPORT for room in allowed(name)}
    assert [room for room in sorted(rooms - {"app"}) if not is_package(room)] == []


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_package_is_imported_only_where_it_belongs(package):
    users = [
        module_of(path)
        for path in SOURCES
        if any(name.split(".")[0] == package for name in imports(path))
    ]
    assert [module for module in users if not fits(module, ONLY_IN[package])] == []


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_no_code_reads_a_pickle_or_runs_a_repos_code(path):
    is_converter = module_of(path) in CONVERTERS
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            forbidden = ("torch.save",) if is_converter else ("torch.load", "torch.save")
            assert f"{node.value.id}.{node.attr}" not in forbidden
        elif isinstance(node, ast.Name):
            assert node.id not in ("eval", "exec")
        elif isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "trust_remote_code"):
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
        elif isinstance(node, ast.keyword) and is_converter and node.arg == "weights_only":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is True
        elif isinstance(node, ast.keyword):
            assert node.arg not in ("weights_only", "custom_pipeline")


@pytest.mark.parametrize("path", [p for p in ENTRIES if p.name != "app.py"], ids=module_of)
def test_a_script_sets_how_threads_wait_before_it_imports_what_may_bring_torch(path):
    first = next(
        name for name in imports(path) if name.split(".")[0] not in sys.stdlib_module_names
    )
    assert first.split(".")[0] == "genmodels"  # All of which begin with genmodels.openmp.


def test_only_one_place_writes_safetensors_so_that_all_files_follow_the_umask():
    users = [module_of(path) for path in SOURCES if "save_file" in path.read_text()]
    assert users == ["genmodels.hub.weights"]


def test_torchvision_is_not_installed():
    assert importlib.util.find_spec("torchvision") is None


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_a_model_a_pipeline_a_script_and_a_test(family):
    untrained = family in ("patches", "upscaler")  # Nothing to train, and trained by others.
    script = [] if untrained else [f"training/train_{family}.py"]
    for path in (
        f"genmodels/pipelines/pipeline_{family}.py",
        *script,
        f"tests/models/test_{family}.py",
    ):
        assert (ROOT / path).is_file(), f"{path} is missing"


def test_every_public_name_can_be_had():
    for name in genmodels.__all__:
        assert getattr(genmodels, name) is not None


def test_importing_the_package_costs_nothing():
    code = (
        "import sys, time; start = time.process_time(); import genmodels; "
        "print(time.process_time() - start, *sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, *modules = out.stdout.split()
    assert float(seconds) < 0.3
    assert not {"torch", "diffusers", "gradio", "numpy", "PIL"} & set(modules)


def test_the_changelog_tells_of_this_version():
    newest = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == genmodels.__version__
