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
FAMILIES = sorted({path.stem for path in ROOT.glob("genmodels/models/[a-z]*.py")} - FEATURES)
# Reads a third party's weights, once: tensors only, of a file whose hash it knows.
CONVERTERS = {"training.convert_efficientnet_lite"}

# Who may import which of our own modules. "{family}" is the importer's own. The first pattern that
# fits a module holds; what is not listed may import nothing of ours.
MAY_IMPORT = {
    "app": "genmodels genmodels.ui.*",
    "genmodels": "genmodels.openmp",
    "training": "genmodels.openmp",
    # The page: tabs over pipelines; tabs do not know each other.
    "genmodels.ui.*": "genmodels genmodels.allocator genmodels.conditions genmodels.decoding "
    "genmodels.images "
    "genmodels.recipe genmodels.zoo genmodels.pipelines.* genmodels.ui.[!t]* genmodels.ui.theme",
    # From pictures to networks.
    "genmodels.pipelines.pipeline_{family}": "genmodels.models.{family} genmodels.hub "
    "genmodels.images genmodels.recipe genmodels.conditions genmodels.latents genmodels.threads "
    "genmodels.batches genmodels.weights genmodels.{family}_* genmodels.nnf "
    "genmodels.patch_source genmodels.translation",
    "genmodels.latents": "genmodels.hub",
    "genmodels.translation": "genmodels.hub genmodels.images genmodels.recipe genmodels.colour "
    "genmodels.batches genmodels.tiles genmodels.threads",
    "genmodels.models.efficientnet_lite": "genmodels.hub",
    "genmodels.models.{family}": "genmodels.hub genmodels.resample genmodels.nnf "
    "genmodels.patch_source genmodels.threads",
    "genmodels.nnf": "genmodels.patch_source genmodels.blend",
    # A SinGAN trains in the app, so its training is the library's.
    "genmodels.singan_settings": "genmodels.hub",
    "genmodels.singan_*": "genmodels.models.singan genmodels.models.patches genmodels.nnf "
    "genmodels.patch_source genmodels.hub genmodels.singan_* genmodels.images genmodels.state "
    "genmodels.threads",
    "genmodels.stylegan2_styles": "genmodels.models.stylegan2 genmodels.conditions "
    "genmodels.hub genmodels.latents genmodels.threads",
    "genmodels.state": "genmodels.hub genmodels.weights",
    "genmodels.hub": "genmodels.checks genmodels.repo genmodels.weights",
    "genmodels.repo": "genmodels.checks genmodels.zoo",
    "genmodels.recipe": "genmodels genmodels.hub genmodels.images",
    # Pictures in, data or figures out.
    "genmodels.images": "genmodels.decoding",
    "genmodels.data": "genmodels.images genmodels.conditions genmodels.image_files "
    "genmodels.metadata genmodels.pixel_cache genmodels.splits",
    "genmodels.image_files": "genmodels.images genmodels.metadata",
    "genmodels.pixel_cache": "genmodels.images genmodels.image_files",
    "genmodels.pairs": "genmodels.data genmodels.colour genmodels.image_files genmodels.splits",
    "genmodels.doctor*": "genmodels.images genmodels.metrics genmodels.doctor.*",
    "genmodels.metrics": "genmodels.descriptors genmodels.fidelity genmodels.figures "
    "genmodels.intervals genmodels.neighbours genmodels.open_nsfw",
    "genmodels.open_nsfw": "genmodels.descriptors genmodels.figures genmodels.intervals",
    "genmodels.neighbours": "genmodels.descriptors",
    "genmodels.single_image": "genmodels.descriptors genmodels.fidelity",
    "genmodels.fidelity": "genmodels.descriptors",
    "genmodels.descriptors": "genmodels.images genmodels.figures",
    "genmodels.intervals": "genmodels.figures",
    # Training: scripts do not know each other; what they share is named here.
    "training.train_{family}": "genmodels.models.{family} genmodels.pipelines.pipeline_{family} "
    "genmodels.losses genmodels.augment genmodels.ema genmodels.data genmodels.metrics "
    "genmodels.images genmodels.conditions genmodels.{family}_* training.run training.publish "
    "training.pair_run training.publish_pairs training.disk training.lock training.stopping "
    "training.critics training.projected_features training.snapshots",
    "training.projected_features": "genmodels.models.efficientnet_lite",
    "training.critics": "genmodels.losses training.projected_features",
    "training.snapshots": "genmodels.figures genmodels.images genmodels.metrics genmodels.hub "
    "training.run",
    "training.convert_efficientnet_lite": "genmodels.zoo genmodels.models.efficientnet_lite",
    "training.translator_run": "genmodels.translation training.run",
    "training.pair_run": "genmodels.colour genmodels.images genmodels.data genmodels.pairs "
    "genmodels.translation training.held_out training.run training.translator_run",
    # Without pairs: a network of another script's family.
    "training.train_unpaired": "genmodels.models.pix2pix genmodels.pipelines.pipeline_pix2pix "
    "genmodels.losses genmodels.ema training.patch_nce training.publish_unpaired "
    "training.unpaired_run",
    "training.unpaired_run": "genmodels.images genmodels.data genmodels.pairs "
    "genmodels.translation training.held_out training.run training.translator_run",
    "training.patch_nce": "genmodels.losses genmodels.models.pix2pix",
    "training.publish_translator": "genmodels.images genmodels.hub training.facts "
    "training.translation_card training.translator_run",
    "training.publish_unpaired": "genmodels.images genmodels.hub genmodels.pairs training.facts "
    "training.pair_figures training.publish_translator training.translator_run "
    "training.unpaired_figures training.unpaired_run",
    "training.unpaired_figures": "genmodels.colour genmodels.figures genmodels.metrics "
    "training.translator_run",
    "training.translation_card": "genmodels.figures training.card",
    "training.card": "genmodels.figures",
    "training.checkpoint": "genmodels.weights",
    "training.held_out": "genmodels.data genmodels.image_files genmodels.metrics genmodels.pairs "
    "genmodels.splits",
    "training.config_record": "training.disk",
    "training.compare_painters": "genmodels genmodels.data genmodels.metrics "
    "training.held_out training.monet_teacher training.pair_figures training.translator_run "
    "training.unpaired_figures",
    "training.publish_pairs": "genmodels.images genmodels.hub genmodels.metrics training.facts "
    "training.pair_figures training.pair_run training.publish_translator training.translator_run",
    "training.pair_figures": "genmodels.figures genmodels.images genmodels.metrics genmodels.hub",
    "training.compare_translation": "genmodels genmodels.images genmodels.metrics genmodels.pairs "
    "training.pair_figures training.project_formulas training.translation_arms "
    "training.translation_table training.translator_run",
    "training.project_formulas": "genmodels.images",
    "training.publish": "genmodels genmodels.hub genmodels.images genmodels.metrics "
    "genmodels.data training.run training.card training.facts training.judge training.snapshots",
    "training.facts": "genmodels genmodels.hub genmodels.images training.disk training.held_out "
    "training.run",
    "training.judge": "genmodels genmodels.hub genmodels.images genmodels.data genmodels.weights "
    "genmodels.conditions genmodels.augment training.agreement training.card training.classifier",
    "training.agreement": "genmodels.intervals",
    "training.classifier": "genmodels.images",
    "training.two_sample": "genmodels.augment genmodels.intervals training.classifier",
    "training.compare_cars": "genmodels genmodels.data genmodels.figures genmodels.images "
    "training.two_sample",
    "training.compare_sets": "genmodels.data genmodels.figures genmodels.zoo training.diversity",
    "training.diversity": "genmodels.descriptors genmodels.metrics",
    "training.compare_critics": "genmodels.figures",
    "training.run": "genmodels.images genmodels.data genmodels.hub genmodels.metrics "
    "genmodels.allocator training.checkpoint training.config_record training.disk "
    "training.forecast training.held_out training.launching training.lock training.stopping",
    "training.zoo": "genmodels.zoo training.publish training.publish_translator",
    "training.prepare_cars": "genmodels.images genmodels.image_files genmodels.metadata "
    "training.viewpoints training.cutouts training.segmenter training.u2netp training.held_out "
    "training.stopping",
    "training.prepare_pairs": "genmodels.images genmodels.image_files training.pair_checks "
    "training.comic_teacher training.held_out training.monet_teacher training.stopping",
    "training.comic_teacher": "training.pair_checks",
    "training.monet_teacher": "training.pair_checks",
    "training.segmenter": "genmodels.images training.cutouts",
    "training.u2netp": "genmodels.images training.cutouts",
    "training.convert_upscaler": "genmodels genmodels.hub genmodels.images genmodels.open_nsfw "
    "genmodels.models.upscaler genmodels.pipelines.pipeline_upscaler training.pair_figures "
    "training.upscaler_card genmodels.weights",
    "training.cutouts": "genmodels.images training.viewpoints",
    "training.viewpoints": "genmodels.images",
    "training.check_cutouts": "genmodels.images genmodels.intervals training.cutouts "
    "training.segmenter training.u2netp",
    "training.compare_panoramas": "genmodels.single_image genmodels.intervals "
    "genmodels.pipelines.pipeline_patches training.gpnn training.scenes",
    "training.sweep_singan": "genmodels.images genmodels.single_image "
    "genmodels.pipelines.pipeline_singan training.singan_results training.scenes",
    "training.singan_results": "genmodels.intervals",
    "training.time_panoramas": "genmodels.pipelines.pipeline_patches training.scenes",
    "training.scenes": "genmodels.images",
    "training.gpnn": "genmodels.hub genmodels.images",
    "training.check_metrics": "genmodels.images genmodels.metrics genmodels.open_nsfw",
    "training.bench": "genmodels.models.* genmodels.losses genmodels.allocator genmodels.threads "
    "training.critics training.projected_features",
}

# Who may import packages that shape what imports them.
ONLY_IN = {
    "gradio": "app genmodels.ui.*",
    "accelerate": "training.run",
    "huggingface_hub": "genmodels.repo genmodels.data training.run",
    "diffusers": "genmodels.hub genmodels.models.* genmodels.pipelines.*",
    "datasets": "genmodels.data",
    "av": "genmodels.images",
    "torchvision": "",
    "transformers": "training.segmenter",
    "onnx": "genmodels.open_nsfw training.u2netp",
    "onnxruntime": "genmodels.open_nsfw training.u2netp",
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


def allowed(module):
    """The patterns of what a module of ours may import."""
    for importer, patterns in MAY_IMPORT.items():
        for family in FAMILIES:
            if fits(module, importer.format(family=family)):
                return patterns.format(family=family)
    return ""


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_a_file_imports_only_what_the_plan_allows(path):
    module = module_of(path)
    ours = {name for name in imports(path) if is_ours(name)}
    ours -= {"genmodels.openmp"} if path in ENTRIES else set()
    forbidden = sorted(name for name in ours if not fits(name, allowed(module)))
    assert not forbidden, f"{module} must not import {forbidden}"


def test_the_plan_names_no_module_that_is_gone():
    modules = [module_of(path) for path in SOURCES]
    for importer in MAY_IMPORT:
        patterns = " ".join(importer.format(family=family) for family in FAMILIES)
        planned = importer == "genmodels.doctor*"  # The next room to be built.
        assert planned or any(fits(module, patterns) for module in modules), importer


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
    assert users == ["genmodels.weights"]


def test_torchvision_is_not_installed():
    assert importlib.util.find_spec("torchvision") is None


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_a_model_a_pipeline_a_script_and_a_test(family):
    untrained = family in ("patches", "upscaler")  # Nothing to train, and trained by others.
    script = [] if untrained else [f"training/train_{family}.py"]
    for path in (
        f"genmodels/models/{family}.py",
        f"genmodels/pipelines/pipeline_{family}.py",
        *script,
        f"tests/test_{family}.py",
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
