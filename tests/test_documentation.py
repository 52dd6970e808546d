"""The guides: their Python runs, their commands have the flags that they name."""

import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest
import tyro

from genmodels.data import images
from genmodels.ui.assets import ASSETS

ROOT = Path(__file__).parent.parent
GUIDES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "training" / "README.md"]
PAGE = "http://127.0.0.1:7860"
WITH_PYTHON = [guide for guide in GUIDES if "```python" in guide.read_text()]
SECONDS = re.compile(r"budget_seconds=\d+")  # Of a training; one will do here.
SIDE = re.compile(r"\b(width|height)=(\d+)")  # Of a picture; a third will do.


def blocks(guide, language):
    """The texts of a guide's code blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", guide.read_text(), re.MULTILINE | re.DOTALL)


def commands():
    """Each command line of a script of ours, once: its words from the script's name on."""
    seen = {}
    for guide in GUIDES:
        for block in blocks(guide, "bash"):
            variables = dict(re.findall(r'^(\w+)="(.*)"$', block, re.MULTILINE))
            for line in block.replace("\\\n", " ").splitlines():
                for name, value in variables.items():
                    line = line.replace(f"${name}", value)
                words = shlex.split(line, comments=True)
                for i, word in enumerate(words):
                    if re.fullmatch(r"training(/\w+)+\.py|training(\.\w+)+", word):
                        seen[" ".join(words[i:])] = words[i:]
                        break
    return seen


@pytest.mark.parametrize("words", commands().values(), ids=commands().keys())
def test_a_command_of_the_guides_names_flags_that_there_are(words):
    script, *arguments = words
    module = importlib.import_module(script.removesuffix(".py").replace("/", "."))
    if hasattr(module, "Config"):
        tyro.cli(module.Config, args=arguments)
    else:
        flags = {word.removeprefix("--") for word in arguments if word.startswith("--")}
        assert flags <= set(inspect.signature(module.bench).parameters)


@pytest.mark.parametrize("guide", [*GUIDES, ROOT / "CHANGELOG.md"], ids=lambda path: path.stem)
def test_what_a_guide_links_to_is_there(guide):
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", guide.read_text())
    gone = [
        link
        for link in links
        if not link.startswith(("http", "mailto")) and not (guide.parent / link).exists()
    ]
    assert not gone


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_a_make_target_of_the_guides_is_in_the_makefile(guide):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b(?=`|\s+#)", guide.read_text())) <= targets


@pytest.mark.browser  # With the page, which these tests start.
@pytest.mark.parametrize("guide", WITH_PYTHON, ids=lambda g: g.name)
def test_the_python_of_a_guide_runs(guide, app_address, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo = images.open_rgb(next((ASSETS / "scenes").glob("*.jpg")))
    photo.resize((120, 90)).save("photo.jpg")
    names = {}
    for block in blocks(guide, "python"):
        block = SIDE.sub(lambda side: f"{side[1]}={int(side[2]) // 3}", block)
        exec(SECONDS.sub("budget_seconds=1", block).replace(PAGE, app_address), names)
