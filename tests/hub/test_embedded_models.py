"""The models that the repository ships."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

import genmodels
from genmodels import zoo

DRAW = """
import hashlib, inspect, json, sys
import genmodels
from PIL import Image
given = [Image.new("RGB", (80, 60), (60 * i, 90, 120)) for i in range(4)]
drawn = {}
for name in sys.argv[1:]:
    pipe = genmodels.load(name)
    takes_pictures = "image" in inspect.signature(type(pipe).__call__).parameters
    pictures = (pipe(given) if takes_pictures else pipe(num_images=4, seed=7)).images
    drawn[name] = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures]
print(json.dumps(drawn))
"""


@pytest.mark.slow
def test_fresh_processes_draw_the_same_pictures():
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", DRAW, *zoo.names()]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first, second = (json.loads(process.communicate()[0]) for process in processes)
    assert first == second
    assert set(first) == set(zoo.names())
    for hashes in first.values():
        assert len(set(hashes)) == 4


def test_a_first_model_of_each_family_is_there():
    families = {zoo.facts(name)["pipeline"] for name in zoo.names()}
    assert {"DCGANPipeline", "StyleGAN2Pipeline", "Pix2PixPipeline"} <= families
    assert all(genmodels.list_models().values())


def test_weights_are_small_enough_to_live_in_a_repository():
    weights = list(zoo.FOLDER.glob("*/**/*.safetensors"))
    assert weights
    assert max(path.stat().st_size for path in weights) <= 25e6
    assert sum(path.stat().st_size for path in zoo.FOLDER.rglob("*") if path.is_file()) <= 150e6


@pytest.mark.parametrize("name", zoo.names())
def test_the_pictures_are_those_of_the_measured_weights(name):
    assert genmodels.load(name).weights_sha256 == zoo.facts(name)["weights_sha256"]


def test_the_readmes_five_lines_run_as_they_stand(tmp_path, monkeypatch):
    readme = (zoo.FOLDER.parent.parent / "README.md").read_text()
    lines = readme.split("## Use it")[1].split("```python")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    exec(lines, {})
    with Image.open(tmp_path / "car.png") as saved:
        assert saved.size == (256, 256)
        assert genmodels.replay(tmp_path / "car.png").tobytes() == saved.tobytes()
