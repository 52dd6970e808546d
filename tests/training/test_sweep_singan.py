"""The sweep of SinGAN's dials: runs kept and taken up, means, the best buy, both modes compared."""

import csv
import json

import pytest

from tests.support.one_photo import photo, tiny_mode
from training.experiments import singan_results, sweep_singan
from training.experiments.singan_results import best_buy, pareto, points
from training.experiments.sweep_singan import Config, sweep


def run(scene="sea", mode="fast", max_size=150, epochs=100, optimizer="adam", seed=0, **figures):
    dials = {"scene": scene, "mode": mode, "max_size": max_size, "epochs": epochs}
    measured = dict.fromkeys(singan_results.FIGURES, 1.0) | figures
    return dials | {"optimizer": optimizer, "seed": seed} | measured


@pytest.fixture
def config(tmp_path):
    (tmp_path / "scenes").mkdir()
    for seed, name in enumerate(("sea", "wood")):
        photo(seed=seed).save(tmp_path / "scenes" / f"{name}.png")
    with tiny_mode():
        yield Config(
            out=tmp_path / "out",
            scenes=tmp_path / "scenes",
            names=("sea",),
            modes=("tiny", "tiny-fast"),
            max_sizes=(64,),
            epochs=(2, 3),
            num_samples=2,
            seen_at=80,
            results=tmp_path / "results",
            plot=tmp_path / "plot.png",
        )


def test_every_run_of_the_grid_is_measured_once_and_all_that_is_there_is_told(config, monkeypatch):
    sweep(config)
    with (config.results / "singan_sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    for row in rows:
        assert float(row["cpu_seconds"]) > 0
        assert float(row["rsifid"]) > 0
        assert float(row["rsifid_seen"]) > 0
    report = (config.results / "singan_sweep.md").read_text()
    assert sum("tiny-fast" in line and "|" in line for line in report.splitlines()) == 2
    assert config.plot.read_bytes().startswith(b"\x89PNG")
    assert (config.out / "sea-tiny-64-2-adam-0" / "samples.png").is_file()

    monkeypatch.setattr(sweep_singan, "_trained", None)  # Would fail to train.
    sweep(config)
    nothing_new = {**vars(config), "names": ()}
    sweep(Config(**nothing_new))
    assert (config.results / "singan_sweep.md").read_text() == report


def test_the_time_of_an_interrupted_run_counts(config):
    dials = {"scene": "sea", "mode": "tiny", "max_size": 64, "epochs": 2}
    dials |= {"optimizer": "adam", "seed": 0}
    folder = config.out / "-".join(map(str, dials.values()))
    folder.mkdir(parents=True)
    (folder / "cpu_seconds.json").write_text("1000.0")
    assert 1000 < sweep_singan.measure(config, dials)["cpu_seconds"] < 1100


def test_a_setting_counts_only_where_it_was_tried_on_the_scenes_that_most_have():
    rows = [run(name, epochs=epochs) for name in ("sea", "wood") for epochs in (200, 300)]
    rows += [run("sea", rsifid=1.0), run("wood", rsifid=3.0), run("moor", rsifid=9.0)]
    rows += [run("sea", mode="full")]
    found = {point.dials: point for point in points(rows)}
    assert set(found) == {("fast", 150, epochs, "adam") for epochs in (100, 200, 300)}
    assert found["fast", 150, 100, "adam"].figures["rsifid"] == 2.0


def test_the_best_buy_is_the_quickest_of_the_good_ones():
    rows = [
        run(epochs=100, cpu_seconds=10, rsifid_seen=0.30),
        run(epochs=200, cpu_seconds=20, rsifid_seen=0.109),
        run(epochs=300, cpu_seconds=30, rsifid_seen=0.100),
        run(epochs=400, cpu_seconds=40, rsifid_seen=0.120),
    ]
    tried = points(rows)
    assert best_buy(tried).dials[2] == 200
    assert [point.dials[2] for point in pareto(tried)] == [100, 200, 300]


def test_modes_are_compared_at_their_longest_on_the_same_scene_and_size(tmp_path):
    rows = [
        run("sea", epochs=600, rsifid=0.1, seed=0),
        run("sea", epochs=600, rsifid=0.3, seed=1),
        run("sea", epochs=100, rsifid=9.0),
        run("sea", mode="full", epochs=2000, rsifid=0.4),
        run("wood", epochs=600, rsifid=0.2),
        run("wood", mode="full", epochs=2000, rsifid=0.4),
        run("moor", mode="full", epochs=2000, rsifid=0.4),  # Nothing to compare it with.
    ]
    singan_results.write(rows, tmp_path, tmp_path / "plot.png")
    report = (tmp_path / "singan_sweep.md").read_text()
    assert "| sea | 150 | 600 / 2000 | 2 / 1 | 1 / 1 | 0.2 / 0.4 |" in report
    assert "| -0.2 (-0.2 to -0.2) |" in report
    assert "| moor |" not in report


def test_what_cannot_be_swept_is_refused(config):
    with pytest.raises(ValueError, match="must hold a photo moon"):
        sweep(Config(**{**vars(config), "names": ("moon",)}))
    with pytest.raises(ValueError, match="num_samples must be 2 or more"):
        sweep(Config(**{**vars(config), "num_samples": 1}))
    with pytest.raises(ValueError, match="need a run or more"):
        sweep(Config(**{**vars(config), "names": (), "out": config.out / "empty"}))
    assert json.dumps(sorted(path.name for path in config.results.glob("*"))) == "[]"
