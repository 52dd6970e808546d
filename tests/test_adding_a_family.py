"""A new family touches what docs/adding-a-family.md names, and nothing else."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOY = ROOT / "tests/toy_family"
# Where each of the toy's files goes.
FILES = {
    "model.py": "genmodels/models/linear.py",
    "pipeline.py": "genmodels/pipelines/pipeline_linear.py",
    "train.py": "training/train_linear.py",
    "contract.py": "tests/models/test_linear.py",
}
# The lists that it is added to: file, what is there already, and what goes before that.
PIPELINE = '"LinearPipeline": "genmodels.pipelines.pipeline_linear",\n    '
FAMILY = """from genmodels.models import linear
from genmodels.pipelines.pipeline_linear import LinearPipeline

FAMILIES["LinearPipeline"] = Family(
    lambda: LinearPipeline(linear.Generator(16)), {}, inputs=lambda: (torch.randn(2, 8),)
)
"""
LISTS = (
    ("genmodels/__init__.py", '"NVAEPipeline": "', PIPELINE),
    ("genmodels/__init__.py", '"NVAEPipeline",\n', '"LinearPipeline",\n    '),
    ("genmodels/hub/loading.py", '"NVAEPipeline": "', PIPELINE),
    ("tests/support/families.py", "WITH_NETWORK =", FAMILY),
)


@pytest.fixture
def house(tmp_path):
    """A copy of the repository with the toy family in it; the weights of the zoo are the same."""
    copy = tmp_path / "house"
    skipped = shutil.ignore_patterns("__pycache__", "zoo")
    for name in ("genmodels", "training", "tests", "docs"):
        shutil.copytree(ROOT / name, copy / name, ignore=skipped)
    for name in ("app.py", "pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, copy)
    (copy / "genmodels/zoo").symlink_to(ROOT / "genmodels/zoo")
    for name, place in FILES.items():
        shutil.copy(TOY / name, copy / place)
    for name, before, line in LISTS:
        text = (copy / name).read_text()
        assert text.count(before) == 1, f"{name}: {before!r} is there {text.count(before)} times"
        (copy / name).write_text(text.replace(before, line + before))
    return copy


@pytest.mark.slow
def test_a_toy_family_is_trained_and_drawn_and_keeps_the_rules_of_the_house(house):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    rooms, contract = "tests/test_layout.py", "tests/pipelines/test_pipelines.py"
    tests = [rooms, contract, "tests/models/test_linear.py"]
    ours = "linear or Linear or test_layout"
    environment = os.environ | {"PYTHONPATH": str(house), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [*command, *tests, "-k", ours], cwd=house, env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout[-3000:]
    passed = re.search(r"(\d+) passed", answer.stdout)
    assert passed is not None
    assert int(passed.group(1)) > 250


def test_the_guide_names_every_list_that_the_toy_is_added_to():
    guide = (ROOT / "docs/adding-a-family.md").read_text()
    for name, *_ in LISTS:
        assert f"`{name}`" in guide, name
    for place in FILES.values():
        assert f"`{place.replace('linear', 'dcgan')}`" in guide, place
