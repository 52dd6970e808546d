"""The comparison of critics: equal CPU time, one table, nothing trained twice."""

import json

import pytest

from genmodels import zoo
from tests.support import tiny_training
from training.experiments import compare_critics

TINY = "--base-channels 4 --max-channels 8 --z-dim 8 --w-dim 8 --threads 1"


@pytest.fixture
def config(tmp_path, monkeypatch):
    for split, count, seed in (("train", 40, 0), ("held_out", 16, 1)):
        tiny_training.photographs(tmp_path / "data/cars-64" / split, count, seed)
    monkeypatch.setattr(compare_critics, "VARIANTS", {"own": compare_critics.Variant("Own", TINY)})
    monkeypatch.setattr(compare_critics, "IMAGES_PER_MINUTE", 64)
    return compare_critics.Config(
        data=tmp_path / "data",
        out=tmp_path / "runs",
        variants=("own",),
        seeds=(0,),
        minutes=1,
        results=tmp_path / "results",
    )


def steps(words):
    return int(words[words.index("--steps") + 1])


def test_a_dearer_way_to_train_sees_fewer_images(tmp_path):
    config = compare_critics.Config(data=tmp_path, out=tmp_path)
    own, both = (compare_critics.command(config, name, 0) for name in ("own", "both"))
    assert steps(own) * compare_critics.BATCH_SIZE == 75 * 3600 // 32 * 32
    assert steps(both) == pytest.approx(steps(own) / 1.8, abs=1)
    assert compare_critics.folder(config, "own", 0) != compare_critics.folder(config, "own", 1)


def test_an_unknown_variant_is_refused(config):
    odd = compare_critics.Config(data=config.data, out=config.out, variants=("boats",))
    with pytest.raises(ValueError, match="variants must be among own, got \\['boats'\\]"):
        compare_critics.compare(odd)


@pytest.mark.slow
def test_a_finished_run_has_a_row_and_is_not_trained_again(config, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    compare_critics.compare(config)
    [run] = json.loads((config.results / "critics.json").read_text())["runs"]
    assert (run["arm"], run["seed"], run["images_seen"]) == ("own", 0, 64)
    rows = (config.results / "critics.md").read_text().split("| --- |")[-1].splitlines()[1:]
    assert len(rows) == 1
    assert rows[0].startswith("| Own | 0 | 64 | 64 | ")
    assert rows[0].count("(") == 4
    weights = config.out / "own-0/model/generator/diffusion_pytorch_model.safetensors"
    before = weights.read_bytes()
    compare_critics.compare(config)
    assert weights.read_bytes() == before

    # To measure conditions takes as long as all the rest: these facts are of a larger model.
    path = config.out / "own-0/model/run.json"
    followed = zoo.facts("cars-stylegan2-64")["conditions_followed"]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"conditions_followed": followed}))
    table = compare_critics.table(config, compare_critics.finished(config))
    assert table.splitlines()[-1].count("(") == 6
