"""A figure that images do not have costs no model: it is "none" with its reason, and published."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

import genmodels
from genmodels import metrics
from genmodels.figures import UndefinedFigureError, beside_real, figure, figures, reasons
from genmodels.intervals import bootstrap_interval
from tests import tiny_training
from tests.one_photo import tiny_mode
from training import (
    pair_figures,
    train_dcgan,
    train_pix2pix,
    train_singan,
    train_stylegan2,
    train_unpaired,
    unpaired_figures,
)

STYLEGAN2 = tiny_training.DCGAN | {"w_dim": 8}
PIX2PIX = tiny_training.QUIET | {
    **{"resolution": 32, "batch_size": 2, "levels": 3, "base_channels": 4, "max_channels": 8},
    **{"receptive_field": 16, "d_base_channels": 4},
}


@pytest.fixture(autouse=True, scope="module")
def quick_on_the_cpu():
    with tiny_training.quick_on_the_cpu():
        yield


def soft(rng):
    blocks = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return blocks.resize((32, 32), Image.Resampling.BICUBIC)


def only_green(rng):
    black = Image.new("L", (32, 32))
    return Image.merge("RGB", (black, soft(rng).getchannel("G"), black))


def flat(rng):
    return Image.new("RGB", (32, 32), tuple(int(value) for value in rng.integers(0, 256, 3)))


def mask(rng):
    return soft(rng).convert("L").point(lambda value: 255 * (value > 128))


def grey(rng):
    return Image.new("RGB", (32, 32), "grey")


KINDS = {  # How many images, of which kind.
    "only green": (40, only_green),
    "flat": (40, flat),
    "all the same": (40, grey),
    "masks": (40, mask),
    "ten": (10, soft),
    "two": (2, soft),
    "one": (1, soft),
}


def save_all(folder, kind):
    count, draw = KINDS[kind]
    folder.mkdir(parents=True)
    for index in range(count):
        draw(np.random.default_rng(index)).save(folder / f"{index:02d}.png")
    return str(folder)


def published(out):
    """The facts and the card of a run; every figure is a number, or none with its reason."""
    text = (out / "model" / "run.json").read_text()
    facts = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    figures = []

    def collect(thing):
        if isinstance(thing, dict):
            figures.append(thing) if "value" in thing else [collect(x) for x in thing.values()]

    collect(facts["metrics"])
    assert figures
    for each in figures:
        assert (None in each.values()) == ("reason" in each), each
    card = (out / "model" / "README.md").read_text()
    assert "nan" not in card.lower().split()
    for each in figures:
        if each["value"] is None and each["reason"] in card:
            assert "| none |" in card
    assert genmodels.load(out / "model") is not None
    return facts, card


@pytest.mark.parametrize("kind", KINDS)
def test_any_set_of_images_is_learnt_from_and_published_and_again(tmp_path, kind):
    data, out = save_all(tmp_path / "photos", kind), tmp_path / "run"
    config = train_dcgan.Config(data=data, out=out, **(tiny_training.DCGAN | {"steps": 1}))
    train_dcgan.train(config)
    facts, card = published(out)
    panel = facts["metrics"]
    if kind in ("only green", "flat", "all the same"):
        assert panel["swd"]["value"] is None
        assert "None for *texture" in card
    if kind == "only green":
        assert "flat" in panel["swd"]["reason"]
        assert panel["density"]["value"] >= 0
    if kind in ("all the same", "ten", "two", "one"):
        assert panel["random_kid"]["value"] is None
    if kind in ("ten", "two", "one"):
        assert "16 or more images in each set" in panel["swd"]["reason"]
        assert facts["data"]["num_train"] + facts["data"]["num_held_out"] == KINDS[kind][0]
        assert facts["data"]["num_held_out"] <= {"ten": 5, "two": 1, "one": 0}[kind]
    train_dcgan.train(config)
    again, _ = published(out)
    assert again["metrics"] == panel


def test_a_stylegan2_that_draws_one_picture_is_published(tmp_path):
    data, out = save_all(tmp_path / "photos", "all the same"), tmp_path / "run"
    settings = STYLEGAN2 | {"steps": 1, "augment": "none"}
    train_stylegan2.train(train_stylegan2.Config(data=data, out=out, **settings))
    facts, _ = published(out)
    assert facts["repeats"] == {"trained_on": 39, "held_out_exact": 0, "held_out_near": 0}


def test_a_condition_with_few_images_and_one_value_is_published(tmp_path):
    data = tiny_training.photographs(tmp_path / "photos", 10)
    rows = [{"file_name": f"{i:03d}.png", "body": "suv", "old": i == 3} for i in range(10)]
    (data / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = STYLEGAN2 | {"steps": 1, "conditions": ("body", "old")}
    train_stylegan2.train(train_stylegan2.Config(data=str(data), out=tmp_path / "run", **settings))
    facts, card = published(tmp_path / "run")
    assert facts["conditions_followed"]["conditions"].keys() == {"body", "old"}
    assert "nan" not in card


def pairs(folder, kind, *, is_equal):
    save_all(folder / "source", kind)
    (folder / "target").mkdir()
    for path in (folder / "source").iterdir():
        with Image.open(path) as picture:
            other = picture if is_equal else Image.eval(picture, lambda value: 255 - value)
            other.save(folder / "target" / path.name)
    return str(folder)


@pytest.mark.parametrize("kind", ["flat", "all the same", "masks", "ten", "two", "one"])
@pytest.mark.parametrize("is_equal", [True, False])
def test_any_set_of_pairs_is_learnt_from_and_published(tmp_path, kind, is_equal):
    data, out = pairs(tmp_path / "pairs", kind, is_equal=is_equal), tmp_path / "run"
    train_pix2pix.train(train_pix2pix.Config(data=data, out=out, steps=1, **PIX2PIX))
    facts, _ = published(out)
    for name in ("psnr", "psnr_of_mean"):
        baseline = facts["metrics"][name]["baseline"]
        assert (baseline is None) == (is_equal or facts["data"]["num_held_out"] == 0)


def test_pairs_that_a_network_meets_to_the_pixel_have_no_psnr():
    rng = np.random.default_rng(0)
    targets = torch.from_numpy(rng.integers(0, 255, (6, 3, 32, 32), dtype=np.uint8))
    panel = pair_figures.figures(targets, targets, targets)
    assert panel["psnr"]["reason"] == "6 of 6 pictures equal their targets"
    assert panel["psnr_of_mean"] == {
        "value": None, "baseline": None, "reason": "all pictures equal their targets"
    }  # fmt: skip
    assert (panel["mse"]["value"], panel["ssim"]["value"]) == (0, pytest.approx(1))
    made = targets.clone()
    made[0] += 1
    panel = pair_figures.figures(made, targets, targets)
    assert panel["psnr"]["reason"] == "5 of 6 pictures equal their targets"
    assert math.isfinite(panel["psnr_of_mean"]["value"])


@pytest.mark.parametrize("kind", ["flat", "all the same", "ten", "one"])
def test_any_two_sets_are_learnt_from_without_pairs_and_published(tmp_path, kind):
    data, targets = (save_all(tmp_path / side, kind) for side in ("photos", "paintings"))
    settings = {k: v for k, v in PIX2PIX.items() if k != "pixel_weight"}
    train_unpaired.train(
        train_unpaired.Config(data=data, targets=targets, out=tmp_path / "run", steps=1, **settings)
    )
    facts, _ = published(tmp_path / "run")
    made = facts["metrics"]["made"]
    assert (made["swd"]["value"] is None) == (kind != "ten")


def test_flat_and_few_pictures_have_no_texture_but_colours():
    flat = torch.full((4, 3, 32, 32), 9, dtype=torch.uint8)
    panel = unpaired_figures.figures(flat, flat, flat + 9)
    assert panel["swd"]["value"] is None
    assert panel["colour"]["value"] > 0.5
    assert unpaired_figures.distances(*(unpaired_figures.rows(x) for x in (flat, flat))).keys() == {
        "colour"
    }
    few = unpaired_figures.figures(flat[:1], flat[:1], flat)
    assert "2 or more held-out pictures" in few["colour"]["reason"]
    assert few["kept"]["value"] == pytest.approx(1)


def test_a_photo_with_two_dead_channels_becomes_a_singan(tmp_path):
    only_green(np.random.default_rng(0)).save(tmp_path / "photo.png")
    with tiny_mode():
        settings = {"mode": "tiny-fast", "max_size": 40, "num_samples": 2}
        for _ in range(2):
            train_singan.train(
                train_singan.Config(data=tmp_path / "photo.png", out=tmp_path / "run", **settings)
            )
        assert genmodels.load(tmp_path / "run" / "model") is not None


# How a figure says that it is none.


def undefined():
    raise UndefinedFigureError("they are flat")


def test_a_figure_keeps_what_of_it_is_defined():
    assert figure(value=lambda: 1, interval=lambda: (0, 2)) == {"value": 1, "low": 0, "high": 2}
    assert figure(value=lambda: 1, interval=undefined) == {
        "value": 1, "low": None, "high": None, "reason": "interval: they are flat"
    }  # fmt: skip
    assert figure(value=undefined, real=lambda: 2) == {
        "value": None, "real": 2, "reason": "they are flat"
    }  # fmt: skip
    assert figure(value=lambda: math.inf)["reason"] == "it is not finite"
    both = figures(["a", "b"], value=lambda: {"a": 1, "b": math.nan})
    assert both == {"a": {"value": 1}, "b": {"value": None, "reason": "it is not finite"}}
    titles = {"a": "first: of two (higher)", "b": "second (lower)"}
    assert reasons(titles, both) == "\n\n- None for *second*: it is not finite."
    assert reasons(titles, {"a": both["a"]}) == ""


def test_a_figure_stands_beside_that_of_real_images_as_far_as_it_is_there():
    whole = {"value": 0.5, "low": 0.25, "high": 1.0, "real_vs_real": 0.125}
    assert beside_real(whole) == "0.5 (0.25 to 1; 0.125)"
    assert beside_real(whole | {"low": None, "high": None}) == "0.5 (0.125)"
    assert beside_real(whole | {"real_vs_real": None}) == "0.5 (0.25 to 1; none)"
    assert beside_real({"value": None, "reason": "flat"}) == "none"


def test_other_errors_stay_errors():
    def wrong():
        raise ValueError("level must lie between 0 and 1")

    with pytest.raises(ValueError, match="level"):
        figure(value=wrong)
    with pytest.raises(UndefinedFigureError, match="at least 2 images"):
        bootstrap_interval(np.ones(1))


def test_near_repeats_are_found_mirrored_and_compressed_and_others_are_not():
    rng = np.random.default_rng(0)
    pictures = [np.asarray(soft(rng)) for _ in range(20)]
    train = np.stack(pictures)
    noisy = np.clip(train[:4] * 0.8 + rng.normal(0, 6, train[:4].shape), 0, 255).astype(np.uint8)
    other = np.stack([np.asarray(soft(rng)) for _ in range(20)])
    held_out = np.concatenate([noisy[:2], noisy[2:, :, ::-1], other])
    found = metrics.near_repeats(held_out, train)
    assert found.tolist() == [True] * 4 + [False] * 20
    assert metrics.near_repeats(held_out[:0], train).tolist() == []
