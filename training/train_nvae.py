"""Train NVAE (Vahdat & Kautz 2020) on a folder of images, on condition of their labels.

    accelerate launch training/train_nvae.py --data faces/ --out runs/mine --conditions gender age

--latents "1:1x128" makes it a plain conditional VAE, a baseline. The same command again resumes.
Everything lands in --out.
"""

import copy
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import tyro
from torch import Tensor, nn
from torch.optim import Adamax

from genmodels.data.image_folder import ImageFolder
from genmodels.models.nvae import NVAE, TEMPERATURES
from genmodels.nn import logistic
from genmodels.nn.ema import EMA
from genmodels.nn.spectral import SpectralPenalty
from genmodels.pipelines.pipeline_nvae import NVAEPipeline
from training.critics.frozen_features import FeatureDistance, FeatureMoments, PooledFeatures
from training.publish.hub_repo import publish
from training.publish.variational import VariationalEvaluation
from training.runs import variational
from training.runs.run import MicroBatch, mix
from training.runs.variational import SafeStep, VariationalConfig, VariationalRun


@dataclass(frozen=True, kw_only=True)
class Config(VariationalConfig):
    """Flags of the NVAE script; the defaults train at 64 px on one CPU core."""

    tunable: ClassVar = (VariationalConfig.tunable | {"lr", "ema_halflife_images", "steps"}) | {
        *("decay_from", "beta", "kl_warmup_images", "spectral_weight", "max_norm", "skip_norm"),
        *("condition_dropout", "feature_weight", "features_from"),
    }
    may_change: ClassVar = VariationalConfig.may_change - {"steps"}  # The rate falls over them.

    latents: str = "4:2x16 8:3x12 16:2x8 32:1x4"  # Side:groups x channels, coarse to fine.
    base_channels: int = 16  # Channels at the image's side; doubles at every halving ...
    max_channels: int = 96  # ... up to this many.
    encoder_cells: int = 1  # Residual cells of the encoder at each side.
    mixture: int = 1  # Components of the likelihood, 1 to 10.
    lr: float = 4e-3  # Adamax learning rate after warm-up.
    lr_warmup_steps: int = 300  # The rate rises over these.
    decay_from: float = 0.5  # From this part of the steps on the rate falls, to a fortieth.
    weight_decay: float = 3e-4  # For convolutions and linear layers.
    beta: float = 1.0  # Weight of the KL once warm; above 1 samples gain and copies lose.
    kl_warmup_images: int = 100_000  # Over these the KL's weight rises from 0.
    spectral_weight: float = 0.1  # Weight of the spectral norms, in nats per image.
    max_norm: float = 20.0  # Gradient norm at which it is clipped ...
    skip_norm: float = 200.0  # ... and beyond which the step is left out.
    feature_weight: float = 0.0  # Slope of the feature loss by that of the likelihood; 1: as much.
    features_from: float = 0.6  # From this part of the steps on there is a feature loss.
    feature_resolution: int = 96  # Side at which the pretrained network sees the images.
    init_from: str | None = None  # Go on from this model: a folder or "user/repo".
    # Learn only what follows the last latents, by the features of samples at --temperature.
    only_tail: bool = False
    ema_halflife_images: float = 5_000  # Half-life of the published average.
    temperature: float = 0.7  # For the sample sheets; one of the calibrated ones.
    calibration_passes: int = 50  # Batches of 16 samples per temperature for calibration.

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature not in TEMPERATURES:
            raise ValueError(f"temperature must be one of {TEMPERATURES}, got {self.temperature}")
        if self.only_tail and self.init_from is None:
            raise ValueError("only_tail is for a network that has learnt: give it as init_from")
        if not 0 <= self.beta <= 100:
            raise ValueError(f"beta must be from 0 to 100, got {self.beta}")
        if not 0 <= self.feature_weight <= 100:
            raise ValueError(f"feature_weight must be from 0 to 100, got {self.feature_weight}")


def train(config: Config) -> None:
    """Train until `config.steps`, resuming from `config.out` if it holds a checkpoint."""
    run = VariationalRun(config, conditions=config.conditions)
    torch.manual_seed(config.seed)
    G = NVAE(
        config.resolution,
        run.c_dim,
        config.latents,
        config.base_channels,
        config.max_channels,
        config.encoder_cells,
        config.mixture,
    )
    if config.init_from:
        run.copy_weights(config.init_from, generator=G)
    ema = EMA(G, config.ema_halflife_images)
    spectral = SpectralPenalty(G)
    safe = SafeStep(config.max_norm, config.skip_norm)
    state: dict[str, Any] = {"G": G, "ema": ema.model, "spectral": spectral, "safe": safe}
    tail = None
    if config.only_tail:
        G.requires_grad_(False)
        for part in G.tail():
            part.requires_grad_(True)
        tail = TailLoss(config, run.device)
        state["moments"] = tail.moments
    opt_G = Adamax(_groups(G, config.weight_decay), config.lr)
    run.resume(**state, opt_G=opt_G)
    bound = BoundLoss(config, G, spectral, run.device)
    forecast(run, G)

    for step in run.steps():
        for group in opt_G.param_groups:
            settings = (config.lr, config.lr_warmup_steps, config.decay_from)
            group["lr"] = variational.rate(step, config.steps, *settings)
        noted = []
        opt_G.zero_grad()
        safe.begin(G)
        for batch in run.micro_batches(step, "posterior"):
            with run.accelerator.autocast():
                loss, figures = (tail or bound)(G, batch, step)
            run.backward(loss)
            noted.append(figures)
        run.average(G)
        is_safe, norm = safe.end(G, opt_G)
        if tail is not None:  # Its statistics are of samples, and are found when it is published.
            safe.put_back(G)
        if is_safe:
            ema.update(G, config.batch_size, run.images_seen)
            for each in noted:
                run.note(**each, norm=norm)
        run.note(skipped=safe.skipped)
        if (step + 1) % config.save_every == 0:
            run.note(train_bpd=bits_per_dim(run, ema.model, run.data))
            if len(run.held_out):
                run.note(held_out_bpd=bits_per_dim(run, ema.model, run.held_out))

        run.end_step()
        if run.is_save_due:
            seen = calibrated(run, ema.model, config, config.temperature)
            run.save(sheet(run, seen, config.temperature))

    if run.is_finished:
        network = calibrated(run, ema.model, config, *TEMPERATURES)
        bits = {"train": run.data, "held_out": run.held_out}
        found = {name: float(bits_per_dim(run, network, x)) for name, x in bits.items() if len(x)}
        pipeline = NVAEPipeline(network, conditions=run.schema or None)
        publish(run, pipeline, VariationalEvaluation(run, found, config.temperature))


def forecast(run: VariationalRun, G: NVAE) -> None:
    """Choose the number of threads, and print what the rest of the run will cost."""
    image, c = run.examples(run.micro_batch_size)
    run.choose_threads(G, torch.zeros(len(c), G.z_dim, device=c.device), c)
    run.forecast(partial(update, image, c), G)


def update(image: Tensor, c: Tensor, G: NVAE) -> None:
    """The passes of one update."""
    log_likelihood, kl, _ = G.elbo(image, c)
    (kl.sum(1) - log_likelihood).mean().backward()


class BoundLoss:
    """The bound of a batch, in nats per channel of a pixel, and what is added to it."""

    def __init__(
        self, config: Config, G: NVAE, spectral: SpectralPenalty, device: torch.device
    ) -> None:
        self.config, self.spectral = config, spectral
        sizes = [float(group.size) for level in G.levels for group in level.groups]
        self.sizes = torch.tensor(sizes, device=device)
        self.distance = None
        if config.feature_weight:
            self.distance = FeatureDistance(config.feature_resolution).to(device)

    def __call__(self, G: NVAE, batch: MicroBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        config, shape = self.config, batch.real.shape[1:]
        warmth = min(1.0, step * config.batch_size / max(config.kl_warmup_images, 1))
        log_likelihood, kl, parameters = G.elbo(batch.real, batch.c)
        weights = variational.kl_weights(kl, self.sizes, warmth)
        penalty = config.beta * max(warmth, 1e-4) * (kl * weights).sum(1)
        loss = (penalty - log_likelihood).mean() + config.spectral_weight * self.spectral()
        figures = {
            "kl_bpd": logistic.bits_per_dim(kl.sum(1), shape),
            "nll_bpd": logistic.bits_per_dim(-log_likelihood, shape),
            "used_groups": (kl.mean(0) > 0.01 * self.sizes).float(),
        }
        figures["bpd"] = figures["kl_bpd"] + figures["nll_bpd"]
        if self.distance is not None and step >= config.features_from * config.steps:
            far = self.distance(logistic.mode(parameters), batch.real)
            pull = variational.balanced(far.mean(), -log_likelihood.mean(), parameters)
            loss = loss + config.feature_weight * pull
            figures["feature_distance"] = far
        return loss / shape.numel(), {name: value.detach() for name, value in figures.items()}


class TailLoss:
    """What tells samples at a temperature from real pictures, on average."""

    def __init__(self, config: Config, device: torch.device) -> None:
        self.temperature = config.temperature
        self.features = PooledFeatures(config.feature_resolution).to(device)
        self.moments = FeatureMoments(self.features.length())

    def __call__(self, G: NVAE, batch: MicroBatch, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        noise = self.temperature * torch.randn(len(batch.c), G.z_dim, device=batch.c.device)
        drawn = logistic.mode(G.decode(noise, batch.c))
        loss, gap = self.moments(self.features(drawn), self.features(batch.real))
        return loss, {"feature_gap": gap}


def bits_per_dim(run: VariationalRun, network: NVAE, folder: ImageFolder) -> Tensor:
    """The bound on some of the folder's images, in bits per channel of a pixel; one sample each."""
    torch.manual_seed(mix(run.config.seed, "measured"))
    bits = []
    with torch.no_grad():
        for image, c in run.measured(folder):
            log_likelihood, kl, _ = network.elbo(image, c)
            bits.append(logistic.bits_per_dim(kl.sum(1) - log_likelihood, image.shape[1:]))
    return torch.cat(bits).mean()


def calibrated(run: VariationalRun, network: NVAE, config: Config, *temperatures: float) -> NVAE:
    """A copy of the network with BatchNorm statistics of these temperatures."""
    found = copy.deepcopy(network)
    found.calibrate(run.drawn_c, temperatures, passes=config.calibration_passes)
    return found


def sheet(run: VariationalRun, network: NVAE, temperature: float) -> Tensor:
    """A row of images, a row of their reconstructions, six rows of samples: [64, 3, R, R]."""
    rng = torch.Generator().manual_seed(mix(run.config.seed, "fixed"))
    image, known = run.shown()
    noise = temperature * torch.randn(48, network.z_dim, generator=rng).to(run.device)
    c = run.drawn_c(48, rng)
    with torch.no_grad():
        again = network(network.encode(image, known), known)
        return torch.cat([image, again, network(noise, c, temperature)])


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters with weight decay, and those that only scale or shift, without."""
    parts: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in network.parameters():
        if parameter.requires_grad:
            parts[parameter.ndim > 1].append(parameter)
    return [
        {"params": parts[True], "weight_decay": weight_decay},
        {"params": parts[False], "weight_decay": 0.0},
    ]


if __name__ == "__main__":
    train(tyro.cli(Config))
