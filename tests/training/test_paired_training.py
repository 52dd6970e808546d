"""The scripts that learn from pairs, run in this process on a few tiny pictures."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import genmodels
from tests.support import tiny_training
from tests.support.tiny_training import load_file, state
from training import train_autoencoder, train_pix2pix
from training.publish import paired_figures
from training.publish.hub_repo import recard
from training.runs import checkpoint
from training.runs.paired import PairRun, random_marks

SMALL = {"resolution": 32, "steps": 4, "batch_size": 4} | tiny_training.QUIET
PIX2PIX = SMALL | {"levels": 3, "base_channels": 4, "max_channels": 8, "receptive_field": 16}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return tiny_training.pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(autouse=True, scope="module")
def quick_on_the_cpu():
    with tiny_training.quick_on_the_cpu():
        yield


def train(pairs, out, script=train_pix2pix, **changes):
    """Run the script as its command would; what its newest checkpoint holds."""
    settings = PIX2PIX if script is train_pix2pix else SMALL
    script.train(script.Config(out=out, **(pairs | settings | changes)))
    return state(out)


@pytest.fixture(scope="module")
def four_steps(pairs, tmp_path_factory, quick_on_the_cpu):
    out = tmp_path_factory.mktemp("runs") / "inverse"
    return out, train(pairs, out, keep_checkpoints=4)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"predicts": "chroma"},
        {"norm": "batch", "dropout": 0.5, "grain": 0.3, "texture_weight": 10.0},
        {"script": train_autoencoder, "base_channels": 8, "grain": 0.3},
    ],
    ids=["plain", "hints", "all that is random", "autoencoder"],
)
def test_a_resumed_run_ends_in_the_same_weights(pairs, tmp_path, settings):
    out = tmp_path / "run"
    once = train(pairs, out, keep_checkpoints=4, **settings)
    tiny_training.forget(out, 3, 4)  # As if it had been killed after the second.
    again = train(pairs, out, **settings)
    assert again.keys() == once.keys()
    assert [key for key in again if not torch.equal(again[key], once[key])] == []


@pytest.mark.parametrize("script", [train_pix2pix, train_autoencoder])
def test_without_a_number_of_threads_both_are_tried_and_told(pairs, tmp_path, capsys, script):
    torch.set_num_threads(2)
    train(pairs, tmp_path, script, steps=1, threads=None)
    assert f"threads: {torch.get_num_threads()}, as 2 are" in capsys.readouterr().out


def test_checkpoints_have_the_names_that_older_runs_wrote(pairs, four_steps, tmp_path):
    tiny_training.assert_is_named_as_before(four_steps[0], "pix2pix")
    train(pairs, tmp_path, script=train_autoencoder, base_channels=8, steps=1)
    tiny_training.assert_is_named_as_before(tmp_path, "autoencoder")


def test_two_steps_change_every_parameter_and_stay_finite(four_steps):
    out, end = four_steps
    start = load_file(out / "checkpoints" / "step_00000002" / checkpoint.TENSORS)
    learnt = [key for key in end if key.startswith(("G.", "D.", "ema."))]
    assert len(learnt) > 20
    assert [key for key in learnt if torch.equal(start[key], end[key])] == []
    assert [key for key in end if not end[key].isfinite().all()] == []


def test_the_rate_falls_to_nothing_over_the_last_steps(pairs, tmp_path):
    """With the decay from the start on, the fourth of four steps has a quarter of the rate."""
    moved = {}
    for name, decay_from in (("flat", 1.0), ("falling", 0.0)):
        out = tmp_path / name
        end = train(pairs, out, decay_from=decay_from, keep_checkpoints=4)
        before = load_file(out / "checkpoints" / "step_00000003" / checkpoint.TENSORS)
        key = "D.to_logits.bias"
        moved[name] = (end[key] - before[key]).abs().mean()
    assert 0.1 < moved["falling"] / moved["flat"] < 0.5


def test_more_steps_move_the_rate_and_are_said_and_recorded(pairs, four_steps, tmp_path, capsys):
    out = tmp_path / "longer"
    shutil.copytree(four_steps[0], out)
    train(pairs, out)  # The same command again changes nothing.
    assert "changes" not in json.loads((out / "config.json").read_text())
    train(pairs, out, steps=5)
    assert "--steps is 5 from here on, it was 4" in capsys.readouterr().out
    train(pairs, out, steps=5)
    told = json.loads((out / "model" / "run.json").read_text())["config"]
    assert told["changes"] == [{"step": 4, "steps": [4, 5]}]


def test_it_learns_to_invert_and_says_so_on_its_card(pairs, tmp_path):
    out = tmp_path / "inverse"
    flags = {"steps": 300, "save_every": 100, "log_every": 50, "lr": 2e-3, "jitter": 0.0}
    train(pairs, out, adversarial_weight=0.0, ema_halflife_images=40.0, **flags)
    facts = json.loads((out / "model" / "run.json").read_text())
    panel = facts["metrics"]
    assert panel["n"] == 6
    assert panel["psnr"]["value"] > panel["psnr"]["baseline"] + 6
    assert panel["psnr"]["low"] <= panel["psnr"]["value"] <= panel["psnr"]["high"]
    assert panel["psnr_of_mean"]["value"] <= panel["psnr"]["value"]
    card = (out / "model" / "README.md").read_text()
    assert f"| {panel['psnr']['value']:.4g} |" in card
    assert "12 pairs to train on, 6 held out" in card
    pipe = genmodels.load(out / "model")
    with Image.open(out / "model" / "samples.png") as sheet:  # Sources, made, targets.
        assert sheet.size == (6 * 32 + 5 * 2, 3 * 32 + 2 * 2)
    black = Image.new("RGB", (32, 32), "#202020")
    assert np.asarray(pipe(black).images[0]).mean() > 128
    for name in ("samples.png", "worst.png", "progress.webp"):
        assert (out / "model" / name).is_file()
    assert not (out / "model" / "discriminator").exists()


def test_the_penalty_is_taken_every_so_often_and_changes_what_is_learnt(
    pairs, four_steps, tmp_path
):
    held = train(pairs, tmp_path / "held", r1_gamma=5.0, r1_every=2)
    lines = tiny_training.log(tmp_path / "held")
    assert [line["step"] for line in lines if "r1" in line] == [1, 3]
    assert not torch.equal(held["D.to_logits.weight"], four_steps[1]["D.to_logits.weight"])


def test_a_card_is_written_anew_with_other_notes(four_steps, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(four_steps[0] / "model", folder)
    before = (folder / "README.md").read_text()
    (tmp_path / "note.md").write_text("## More\n\nA table.\n")
    recard(folder, [tmp_path / "note.md"], tmp_path, tmp_path)
    assert (folder / "README.md").read_text() == before + "\n## More\n\nA table.\n"


def test_a_published_model_starts_another(pairs, four_steps, tmp_path):
    parent = four_steps[0] / "model"
    out = tmp_path / "child"
    train(pairs, out, init_from=str(parent), steps=1, lr=1e-9)
    weights = state(out)
    generator = genmodels.load(parent).generator.state_dict()
    assert all(torch.allclose(weights[f"G.{key}"], generator[key], atol=1e-4) for key in generator)
    assert json.loads((out / "model" / "run.json").read_text())["parent"] == "inverse"


def test_a_published_autoencoder_starts_another(pairs, tmp_path):
    settings = {"script": train_autoencoder, "base_channels": 8}
    train(pairs, tmp_path / "parent", steps=2, **settings)
    parent = tmp_path / "parent" / "model"
    weights = train(pairs, tmp_path / "child", init_from=str(parent), steps=1, lr=1e-9, **settings)
    generator = dict(genmodels.load(parent).generator.named_parameters())
    assert all(torch.allclose(weights[f"G.{key}"], generator[key], atol=1e-4) for key in generator)
    assert json.loads((tmp_path / "child/model/run.json").read_text())["parent"] == "parent"
    with pytest.raises(ValueError, match="no-such-model"):
        train(pairs, tmp_path / "other", init_from="no-such-model", steps=1, **settings)


def test_a_parent_without_a_critic_starts_one_that_has_none(pairs, tmp_path):
    alone = {"adversarial_weight": 0.0, "steps": 1}
    train(pairs, tmp_path / "parent", **alone)
    parent = str(tmp_path / "parent" / "model")
    train(pairs, tmp_path / "child", init_from=parent, **alone)
    with pytest.raises(ValueError, match=r"discriminator must hold config\.json"):
        train(pairs, tmp_path / "critic", init_from=parent, steps=1)


def test_a_parent_whose_layers_mean_something_else_is_refused(pairs, four_steps, tmp_path):
    parent = str(four_steps[0] / "model")
    with pytest.raises(ValueError, match="its norm is 'layer', asked is 'instance'"):
        train(pairs, tmp_path / "child", init_from=parent, steps=1, norm="instance")


def test_a_refused_first_command_leaves_the_folder_to_another(pairs, tmp_path):
    with pytest.raises(ValueError, match="multiples of 8"):
        train(pairs, tmp_path / "run", resolution=36)
    with pytest.raises(ValueError, match="pixels a side"):
        train(pairs, tmp_path / "run", receptive_field=286)
    train(pairs, tmp_path / "run", steps=1)


def test_what_is_held_out_must_not_be_trained_on(pairs, tmp_path):
    both = {"data": pairs["data"], "held_out": pairs["data"]}
    with pytest.raises(ValueError, match=r"must hold other pairs than .*, 12 are in both"):
        train(both, tmp_path / "run")


def test_chroma_is_learnt_from_targets_alone_and_hints_are_heard(pairs, tmp_path):
    for split in ("train", "held_out"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "target").symlink_to(f"{pairs['data']}/../{split}/target")
    grey = {"data": str(tmp_path / "train"), "held_out": str(tmp_path / "held_out")}
    out = tmp_path / "colours"
    train(grey, out, predicts="chroma", network_size=32)
    pipe = genmodels.load(out / "model")
    assert (pipe.config.predicts, pipe.config.network_size) == ("chroma", 32)
    given = Image.open(next((tmp_path / "train" / "target").iterdir()))
    made = pipe(given, hints=[(3, 4, "#ff0000")]).images[0]
    assert np.array_equal(np.asarray(made.convert("L")), np.asarray(given.convert("L")))
    with pytest.raises(ValueError, match=r"holds a run with --predicts chroma"):
        train(grey, out, network_size=32)


def test_grain_is_learnt_with_and_published(pairs, four_steps, tmp_path):
    grained = train(pairs, tmp_path / "grained", grain=0.3)
    assert not torch.equal(grained["G.to_image.weight"], four_steps[1]["G.to_image.weight"])
    assert genmodels.load(tmp_path / "grained" / "model").config.grain == 0.3
    with pytest.raises(ValueError, match="grain must be from 0 to 0 where chroma is predicted"):
        train(pairs, tmp_path / "run", grain=0.3, predicts="chroma")


@pytest.mark.parametrize(
    "settings",
    [{"grain": 0.3}, {"predicts": "chroma", "hints": 1.0}],
    ids=["grain", "hints"],
)
def test_a_batch_in_two_parts_holds_the_same_pictures(pairs, tmp_path, settings):
    taken, wanted = {}, {}
    for parts in (1, 2):
        flags = pairs | PIX2PIX | settings | {"out": tmp_path / str(parts), "accumulate": parts}
        batches = list(PairRun(train_pix2pix.Config(**flags)).pairs(step=1))
        assert len(batches) == parts
        taken[parts] = torch.cat([batch.taken for batch in batches])
        wanted[parts] = torch.cat([batch.wanted for batch in batches])
    assert torch.equal(taken[1], taken[2])
    assert torch.equal(wanted[1], wanted[2])
    # Each picture has drawn for itself: the noise upon the inverse of its target, or hints.
    drawn = taken[1] + wanted[1] if "grain" in settings else taken[1][:, 3:]
    assert torch.corrcoef(drawn.flatten(1)).triu(1).max() < 0.5


def test_what_is_finer_than_the_average_is_no_error(pairs, tmp_path):
    """Averaged over all of the picture, the error is that of its mean colour: far smaller."""
    errors = []
    for side in (1, 32):
        out = tmp_path / str(side)
        train(pairs, out, steps=1, pixel_average=side)
        errors.append(tiny_training.log(out)[0]["pixels"])
    assert errors[1] < 0.7 * errors[0]
    with pytest.raises(ValueError, match="pixel_average must be from 1 to 32, got 64"):
        train(pairs, tmp_path / "run", pixel_average=64)


def test_texture_is_learnt_from_if_asked(pairs, four_steps, tmp_path):
    asked = train(pairs, tmp_path / "run", texture_weight=10.0)
    assert all(line["texture"] > 0 for line in tiny_training.log(tmp_path / "run"))
    assert not torch.equal(asked["G.to_image.weight"], four_steps[1]["G.to_image.weight"])


def test_random_hints_are_the_targets_own_colours():
    torch.manual_seed(0)
    chroma = torch.rand(200, 2, 32, 40) * 2 - 1
    chroma[:] = chroma.mean(dim=(2, 3), keepdim=True)
    marks = random_marks(chroma, 0.5, [torch.Generator().manual_seed(i) for i in range(200)])
    hinted = marks[:, 2].amax(dim=(1, 2)) > 0
    assert 70 < hinted.sum() < 130
    where = marks[:, 2:].expand(-1, 2, -1, -1) > 0
    assert torch.allclose(marks[:, :2][where], chroma[where])
    assert marks[:, :2][~where].abs().max() == 0


def test_the_autoencoder_learns_and_is_published(pairs, tmp_path):
    flags = {"steps": 60, "save_every": 60, "log_every": 10, "lr": 2e-3, "jitter": 0.0}
    weights = train(pairs, tmp_path / "auto", train_autoencoder, ema_halflife_images=20.0, **flags)
    assert "D" not in {key.split(".")[0] for key in weights}
    errors = [line["error"] for line in tiny_training.log(tmp_path / "auto")]
    assert errors[-1] < errors[0] / 5
    facts = json.loads((tmp_path / "auto" / "model" / "run.json").read_text())
    psnr = facts["metrics"]["psnr"]  # Of held-out pictures; plain grey would be 6 above it.
    assert psnr["value"] > psnr["baseline"] + 10
    assert facts["pipeline"] == "AutoencoderPipeline"
    assert facts["parameters"] == 9_600_206
    assert genmodels.load(tmp_path / "auto" / "model")(Image.new("RGB", (40, 30))).images


def test_figures_of_pictures_one_level_apart_are_what_the_textbook_says():
    rng = np.random.default_rng(0)
    targets = torch.from_numpy(rng.integers(0, 255, (4, 3, 32, 32), dtype=np.uint8))
    panel = paired_figures.figures(targets + 1, targets, 255 - targets)
    assert panel["mse"]["value"] == 1
    assert panel["psnr"]["value"] == pytest.approx(48.13, abs=0.005)
    assert panel["psnr_of_mean"]["value"] == pytest.approx(48.13, abs=0.005)
    assert panel["ssim"]["value"] > 0.999 > 0 > panel["ssim"]["baseline"]
    assert panel["chroma_error"]["value"] < 1


def test_masks_without_a_colour_are_learnt_from_and_their_texture_is_none(pairs, tmp_path):
    shutil.copytree(pairs["data"], tmp_path / "train")
    shutil.copytree(pairs["held_out"], tmp_path / "held_out")
    for path in tmp_path.glob("*/source/*"):
        with Image.open(path) as whole:
            red = whole.getchannel("R")
        Image.merge("RGB", (red, *[Image.new("L", red.size)] * 2)).save(path)
    masks = {"data": str(tmp_path / "train"), "held_out": str(tmp_path / "held_out")}
    train(masks, tmp_path / "run", steps=2)
    panel = json.loads((tmp_path / "run" / "model" / "run.json").read_text())["metrics"]
    assert panel["swd"]["value"] > 0
    assert (panel["swd"]["baseline"], "flat" in panel["swd"]["reason"]) == (None, True)
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "| none |" in card
    assert "- None for *texture*: baseline: a colour is flat" in card
    made = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    assert paired_figures.figures(made, made + 9, made)["swd"]["value"] is None


def test_flags_out_of_range_are_refused(pairs, tmp_path):
    for name, high in (("jitter", 0.75), ("hints", 1), ("decay_from", 1)):
        with pytest.raises(ValueError, match=f"{name} must be from 0 to {high}, got 1.5"):
            train(pairs, tmp_path / "run", **{name: 1.5})
    for flag in ("pixel_weight", "texture_weight", "adversarial_weight", "r1_gamma"):
        with pytest.raises(ValueError, match=f"{flag} must be 0 or more, got -1"):
            train(pairs, tmp_path / "run", **{flag: -1.0})
    with pytest.raises(ValueError, match="r1_every must be 1 or more, got 0"):
        train(pairs, tmp_path / "run", r1_every=0)
    with pytest.raises(ValueError, match="network_size must be from 0 to 4096, got -5"):
        train(pairs, tmp_path / "run", network_size=-5)
    with pytest.raises(ValueError, match="reverse is for rgb"):
        train(pairs, tmp_path / "run", reverse=True, predicts="chroma")
    few = {"data": pairs["data"], "held_out": None}
    out = tmp_path / "few"
    train(few, out, steps=1)  # It holds some out itself.
    facts = json.loads((out / "model" / "run.json").read_text())
    assert facts["data"]["num_train"] + facts["data"]["num_held_out"] == 12
