"""What the README and the Makefile promise."""

import json
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import genmodels
from genmodels import zoo

ROOT = Path(__file__).parent.parent
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
README = (ROOT / "README.md").read_text()


def front_matter():
    block = README.split("---\n")[1]
    return dict(line.split(": ", 1) for line in block.splitlines())


def test_the_space_starts_the_app_with_the_gradio_that_was_tested():
    fields = front_matter()
    assert fields["sdk"] == "gradio"
    assert fields["sdk_version"] == version("gradio")
    assert (ROOT / fields["app_file"]).is_file()
    assert fields["license"] == "apache-2.0"


def test_both_commands_are_named_and_ci_runs_the_same_one():
    assert "make app" in README
    assert "make test" in README
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_import_of_the_texts_and_the_cards_is_to_be_had():
    texts = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("training/*.md"),
        *ROOT.glob("genmodels/zoo/*/*.md"),
    ]
    blocks = [block for text in texts for block in PYTHON.findall(text.read_text())]
    imports = {
        line.split("#")[0].strip()
        for block in blocks
        for line in block.splitlines()
        if re.match(r"(import|from) ", line)
    }
    assert "from genmodels import images" in imports
    for line in imports:
        exec(line, {})


def test_every_file_in_the_tree_exists():
    tree = (ROOT / "docs" / "code.md").read_text().split("```")[1]
    folder = ROOT
    for line in tree.strip().splitlines():
        indent = len(line) - len(line.lstrip())
        for name in line.split("   ")[0].split() if indent == 0 else line.split("    ")[0].split():
            path = ROOT / name if indent == 0 else folder / name
            assert path.exists(), (
                f"{name} stands in the tree of docs/code.md, but there is no {path}"
            )
            if indent == 0:
                folder = path


def test_the_table_of_models_repeats_the_figures_of_their_runs():
    table = (ROOT / "docs" / "models.md").read_text()
    rows = {
        match[1]: [cell.strip() for cell in match[2].split("|")]
        for match in re.finditer(r"^\| `([\w-]+)` \|(.*)\|$", table, re.MULTILINE)
    }
    assert set(zoo.names()) <= set(rows)
    for name in zoo.names():
        run = json.loads((zoo.FOLDER / name / "run.json").read_text())
        panel = run["metrics"]
        kind, beside = ("swd", "random_kid", "coverage", "ms_ssim_diversity"), "real_vs_real"
        if "predicts" in run or "scale" in run:  # It translates, or enlarges.
            kind, beside = ("psnr", "ssim", "chroma_error", "swd"), "baseline"
        # Others trained the upscaler, and do not say on how much.
        seen = [] if run["images_seen"] is None else [f"{run['images_seen']:,}"]
        figures = [f"{panel[key]['value']:.3g} ({panel[key][beside]:.2g})" for key in kind]
        expected = [*seen, *figures]
        assert rows[name][-len(expected) :] == expected


def test_every_embedded_model_has_a_card_with_data_licence_and_worst_samples():
    for name in zoo.names():
        card = (zoo.FOLDER / name / "README.md").read_text()
        for part in ("## Data and licence", "## Worst samples", "worst.png", "held-out"):
            assert part in card, f"the card of {name} lacks {part!r}"


def test_the_changelog_is_about_this_version():
    newest = re.search(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == genmodels.__version__


def test_torch_is_pinned_and_nothing_asks_for_torchvision():
    requirements = (ROOT / "requirements.txt").read_text()
    assert "torch==2.13.0\n" in requirements
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for group in project["optional-dependencies"].values() for name in group]
    assert not any("torchvision" in line for line in [requirements, *extras])
