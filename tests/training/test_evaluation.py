"""A family that is no GAN is trained and published with what all families share."""

import dataclasses
import json
import shutil
from typing import ClassVar

import pytest
import torch
import yaml
from diffusers.configuration_utils import register_to_config
from PIL import Image

import genmodels
from genmodels import zoo
from genmodels.data import images
from genmodels.hub import loading, recipe
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline, ImageOutput
from tests.support import tiny_training
from training import train_autoencoder, train_dcgan, train_pix2pix, train_stylegan2, train_unpaired
from training.publish.hub_repo import publish, recard
from training.publish.samples import SampleEvaluation
from training.runs.run import Run, RunConfig


class Encoder(HubModel):
    """Image [N, 3, R, R] -> its mean colour [N, 3]."""

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x.mean((2, 3)) * self.gain


class Decoder(HubModel):
    """Colour [N, 3] -> image [N, 3, 32, 32]."""

    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.pattern = torch.nn.Parameter(torch.zeros(1, 3, 32, 32))

    def forward(self, colour):
        return colour[:, :, None, None] + self.pattern


class ColourPipeline(HubPipeline):
    """Two networks, neither of them called generator, no latents, no discriminator."""

    components_allowed: ClassVar = {"encoder": Encoder, "decoder": Decoder}
    tags = ("autoencoder",)

    @register_to_config
    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.register_modules(encoder=encoder, decoder=decoder)

    def __call__(self, num_images=1, *, seed=0):
        output = ImageOutput(images=[], recipes=[])
        for own in range(seed, seed + num_images):
            rng = torch.Generator().manual_seed(own)
            with self.drawing():
                drawn = self.decoder(torch.rand(1, 3, generator=rng))
                drawn = drawn + 0.1 * torch.randn(1, 3, 32, 32, generator=rng)
            (picture,) = images.to_pil(drawn.clamp(-1, 1))
            made = recipe.make(self, own)
            output.images.append(recipe.attach(picture, made))
            output.recipes.append(made)
        return output


def train(config):
    """The loop of such a family."""
    run = Run(config)
    torch.manual_seed(config.seed)
    E, D = Encoder(), Decoder()
    optimizer = torch.optim.Adam([*E.parameters(), *D.parameters()], 1e-2)
    run.resume(E=E, D=D, optimizer=optimizer)
    some = torch.zeros(run.micro_batch_size, 3, 32, 32)
    run.forecast(lambda E, D: D(E(some)).square().mean().backward(), E, D)
    for step in run.steps():
        optimizer.zero_grad()
        for batch in run.micro_batches(step, "autoencoder"):
            error = (D(E(batch.real) + 0.1 * batch.noise(3)) - batch.real).square().mean()
            run.backward(error)
            run.note(error=error)
        optimizer.step()
        run.end_step()
        if run.is_save_due:
            with torch.no_grad():
                run.save(D(torch.zeros(8, 3)))
    if run.is_finished:
        publish(run, ColourPipeline(E, D), SampleEvaluation(run))


@pytest.fixture(autouse=True, scope="module")
def quick_and_known():
    with tiny_training.quick_on_the_cpu(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(loading.PIPELINES, "ColourPipeline", __name__)
        yield


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    root = tmp_path_factory.mktemp("colours")
    return RunConfig(
        data=str(tiny_training.photographs(root / "train", 40)),
        held_out=str(tiny_training.photographs(root / "held_out", 16, seed=1)),
        out=root / "run",
        resolution=32,
        steps=2,
        batch_size=8,
        accumulate=2,
        **tiny_training.QUIET,
    )


@pytest.fixture(scope="module")
def published(config, quick_and_known):
    train(config)
    return config.out / "model"


def test_it_is_published_with_its_own_networks_and_no_others(published):
    pipe = genmodels.load(published)
    assert isinstance(pipe, ColourPipeline)
    facts = json.loads((published / "run.json").read_text())
    assert facts["parameters"] == 3 + 3 * 32 * 32
    assert facts["evaluation"] == "samples"
    assert facts["metrics"]["n"] == 16
    assert {path.name for path in published.iterdir() if path.is_dir()} == {"encoder", "decoder"}


def front_matter(folder):
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def test_its_card_is_not_tagged_gan_and_gives_every_figure_to_the_hub(published):
    facts = json.loads((published / "run.json").read_text())
    head = front_matter(published)
    assert head["tags"] == ["image-generation", "autoencoder"]
    (result,) = head["model-index"][0]["results"]
    values = {metric["type"]: metric["value"] for metric in result["metrics"]}
    assert values["swd"] == pytest.approx(facts["metrics"]["swd"]["value"])
    assert "open_nsfw_kid" not in values  # Of so few images it is none.
    assert result["dataset"]["revision"] == facts["data"]["fingerprint"][:16]


def test_it_resumes_to_the_bit_and_noise_does_not_depend_on_parts(config, published, tmp_path):
    once = tiny_training.state(config.out)
    split = dataclasses.replace(config, out=tmp_path / "run", keep_checkpoints=2)
    train(split)
    tiny_training.forget(split.out, 2)
    train(split)
    again = tiny_training.state(split.out)
    assert all(torch.equal(again[key], once[key]) for key in once)
    noise = {}
    for parts in (1, 4):
        changed = dataclasses.replace(config, out=tmp_path / str(parts), accumulate=parts)
        batches = list(Run(changed).micro_batches(0, "any"))
        noise[parts] = torch.cat([batch.noise(2, 3) for batch in batches])
        assert not torch.equal(batches[0].noise(2, 3), noise[parts][: 8 // parts])  # Fresh ones.
    assert torch.equal(noise[1], noise[4])


@pytest.mark.parametrize(
    "script",
    [train_autoencoder, train_dcgan, train_pix2pix, train_stylegan2, train_unpaired],
)
def test_flags_that_may_change_are_the_scripts_own(script):
    flags = {field.name for field in dataclasses.fields(script.Config)}
    assert script.Config.may_change | script.Config.tunable <= flags
    assert not script.Config.may_change & script.Config.tunable
    assert script.Config.image_folders <= flags


def test_a_gan_is_tagged_as_one():
    assert "gan" in genmodels.DCGANPipeline.tags
    assert "gan" in genmodels.StyleGAN2Pipeline.tags
    assert "gan" not in genmodels.AutoencoderPipeline.tags


def test_cards_of_models_that_0_4_published_are_written_anew(tmp_path):
    """Their run.json does not say how they were measured."""
    for name in ("cars-dcgan-64", "comic-pix2pix-128"):
        folder = tmp_path / name
        shutil.copytree(zoo.FOLDER / name, folder)
        recard(folder, [], tmp_path, tmp_path)
        assert f"# {name}" in (folder / "README.md").read_text()
        assert front_matter(folder)["model-index"][0]["name"] == name
        with Image.open(folder / "samples.png") as sheet:
            assert sheet.width > 0
