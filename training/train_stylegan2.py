"""Train StyleGAN2 (Karras et al. 2019) on a folder of images.

    accelerate launch training/train_stylegan2.py --data photos/ --out runs/mine --resolution 64

The same command again resumes. Everything lands in --out.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import genmodels.openmp  # noqa: F401  (Before torch: its threads wait passively.)

import torch
import tyro
from torch import Tensor, nn
from torch.optim import Adam

from genmodels.models import stylegan2
from genmodels.nn import losses
from genmodels.nn.augment import AdaptiveAugment, diff_augment
from genmodels.nn.ema import EMA
from genmodels.pipelines.pipeline_stylegan2 import StyleGAN2Pipeline
from training.critics.discriminators import OwnCritic, ProjectedCritic
from training.critics.projected_features import Heads, Projection
from training.publish.hub_repo import publish
from training.publish.samples import SampleEvaluation
from training.runs import gan
from training.runs.run import Run
from training.runs.snapshots import Networks, Snapshots

SAMPLING = {"truncation_psi": 1.0}  # Pipeline settings for the metrics.


@dataclass(frozen=True, kw_only=True)
class Config(gan.GanConfig):
    """Flags of StyleGAN2 training. The defaults suit 64 px on a CPU; see training/README.md."""

    tunable: ClassVar = gan.GanConfig.tunable | {
        "lr",
        "r1_gamma",
        "augment",
        "mixing_probability",
        "ema_halflife_images",
        "heads_lr",
        "heads_rest_below",
        "heads_min_coverage",
        "heads_slope_ratio",
    }

    conditions: tuple[str, ...] = ()  # Labels of the data to condition on, such as body year.
    z_dim: int = 128  # Length of the latent vector.
    w_dim: int = 128  # Length of the style vector.
    mapping_layers: int = 2  # Depth of the mapping network.
    base_channels: int = 16  # Channels at full resolution; doubled at every downsampling ...
    max_channels: int = 128  # ... up to this many.
    batch_size: int = 16  # Images per update.
    lr: float = 2e-3  # Learning rate of Adam, both networks.
    r1_gamma: float = 0.3  # Weight of the R1 penalty; higher: more stable, less varied.
    r1_every: int = 16  # Steps between R1 penalties ("lazy").
    path_length_weight: float = 0.0  # The paper uses 2; 0 trains 20 % faster.
    path_length_every: int = 4  # Steps between path-length penalties.
    mixing_probability: float = 0.5  # Probability of style mixing.
    augment: Literal["none", "diffaugment", "ada"] = "diffaugment"  # For real and fake images.
    ada_target: float = 0.6  # ADA's target for the mean sign of D(real).
    ema_halflife_images: float = 5_000  # Half-life of the EMA weights, which are published.
    init_from: str | None = None  # Fine-tune this model: a zoo name, a folder or "user/repo".
    conditions_from_images: float = 20_000  # Images before conditions are faded in ...
    conditions_full_images: float = 60_000  # ... and until they are in full (arXiv:2201.06578).
    critic: Literal["own", "projected", "both"] = "own"  # "projected": pretrained features.
    heads_lr: float = 5e-4  # Learning rate of Adam, heads.
    heads_from_images: float = 0  # Images before the projected heads are used.
    heads_warmup_images: float = 2_000  # Images over which the heads' weight rises from 0.
    heads_rest_below: float = 0.5  # Heads are not updated while their hinge loss is lower.
    heads_min_coverage: float = 0.7  # Snapshot coverage needed to use the heads.
    heads_slope_ratio: float = 20.0  # Heads' gradient norm, relative to the own critic.
    heads_conditions: bool = False  # Give the conditions to the heads as well.
    feature_resolution: int = 96  # Input side of the pretrained network.


def train(config: Config) -> None:
    """Train until `config.steps`, resuming from `config.out` if it holds a checkpoint."""
    run = Run(config, conditions=config.conditions)
    torch.manual_seed(config.seed)
    c_dim = run.data.c.shape[1]
    size = {"base_channels": config.base_channels, "max_channels": config.max_channels}
    side, layers = config.resolution, config.mapping_layers
    G = stylegan2.Generator(side, config.z_dim, config.w_dim, c_dim, mapping_layers=layers, **size)
    D = stylegan2.Discriminator(side, c_dim, **size)
    if config.init_from:
        run.copy_weights(config.init_from, generator=G, discriminator=D)
    ema = EMA(G, config.ema_halflife_images)
    ada = AdaptiveAugment(config.ada_target)
    # Lazy regularisation steps an optimiser more often per image; the paper corrects for that.
    lazy_G = config.path_length_every / (config.path_length_every + 1)
    opt_G = _adam(G, config.lr, lazy_G if config.path_length_weight else 1.0)
    opt_D = _adam(D, config.lr, config.r1_every / (config.r1_every + 1))
    path_mean = _PathMean()
    own = OwnCritic(D, opt_D)
    critics: list[OwnCritic | ProjectedCritic] = [] if config.critic == "projected" else [own]
    networks: Networks = {"discriminator": D} if own in critics else {}  # To publish beside G.
    state = {"G": G, "D": D, "ema": ema.model, "ada": ada, "path_mean": path_mean}
    if config.critic != "own":
        projected = _projected_critic(config, c_dim, run.device)
        critics.append(projected)
        state |= {"heads": projected.network, "opt_heads": projected.optimizer}
    run.resume(**state, opt_G=opt_G, opt_D=opt_D)
    gan.forecast(run, G, D, config.z_dim)
    z_fixed, c_fixed = gan.fixed_latents(run, 64, config.z_dim)

    def augment(images: Tensor) -> Tensor:
        if config.augment == "ada":
            return ada(images)
        return diff_augment(images) if config.augment == "diffaugment" else images

    def logits(images: Tensor) -> Tensor:
        return own.network(augment(images), images.new_zeros(len(images), c_dim), 0.0)

    snapshots = Snapshots(
        run,
        config.snapshot_images,
        SAMPLING,
        logits if own in critics else None,
        gives_up=config.on_alarm == "stop",
    )
    schema = run.data.schema or None

    def judge() -> None:
        coverage = snapshots.judge(StyleGAN2Pipeline(ema.model, conditions=schema), networks)
        if config.critic == "both":
            if news := projected.watch(coverage, run.images_seen):
                run.print(news)
            run.alarm(*projected.alarms())

    if config.init_from and run.step == 0:  # What it starts from is the first one to beat.
        judge()
    for step in run.steps():
        c_weight = _condition_weight(config, run.images_seen)
        active = [critic for critic in critics if critic.is_active]

        # Critics: real up, fake down.
        for critic in active:
            critic.optimizer.zero_grad()
        for batch in run.micro_batches(step, "D"):
            z = batch.noise(config.z_dim)
            with run.accelerator.autocast(), torch.no_grad():
                ws = _mixed_styles(G, z, batch.c * c_weight, config.mixing_probability)
                fake = G.synthesis(ws, "random")
                real, fake = augment(batch.real), augment(fake)
            for critic in active:
                with run.accelerator.autocast():
                    loss, real_logits = critic.d_loss(real, fake, batch.c, c_weight)
                run.backward(loss)
                run.note(**{critic.d_name: loss})
                if critic is active[0]:
                    run.note(r_t=real_logits.sign())
                    ada.update(run.accelerator.gather(real_logits.detach()))
        for critic in active:
            run.average(critic.network)
            critic.step()

        # R1: a gentle slope wherever real images lie. With respect to the augmented image, so that
        # nothing has to differentiate the augmentation twice.
        if own in active and step % config.r1_every == 0:
            opt_D.zero_grad()
            for batch in run.micro_batches(step, "R1"):
                real = augment(batch.real).detach().requires_grad_()
                r1 = losses.r1_penalty(D(real, batch.c, c_weight), real)
                run.backward(config.r1_gamma / 2 * config.r1_every * r1)
                run.note(r1=r1)
            run.average(D)
            opt_D.step()

        # Generator: raise each critic's score of the fake. Their gradients are added at the image.
        opt_G.zero_grad()
        for batch in run.micro_batches(step, "G"):
            z = batch.noise(config.z_dim)
            with run.accelerator.autocast():
                ws = _mixed_styles(G, z, batch.c * c_weight, config.mixing_probability)
                fake = augment(G.synthesis(ws, "random"))
            image = fake.detach().requires_grad_()
            slopes: list[Tensor] = []
            for critic in active:
                with run.accelerator.autocast():
                    loss = critic.g_loss(image, batch.c, c_weight)
                slopes += torch.autograd.grad(loss, image)
                run.note(**{critic.g_name: loss})
            if len(slopes) == 2:
                slopes = [projected.joined(slopes[0], slopes[1], run.images_seen)]
            fake.backward(slopes[0] / config.accumulate)
        if len(active) == 2:
            projected.balance.follow()
        run.average(G)
        opt_G.step()

        # Path length: equal steps in w change the image equally.
        if config.path_length_weight and step % config.path_length_every == 0:
            opt_G.zero_grad()
            everywhere = []
            for batch in run.micro_batches(step, "path"):
                z = batch.noise(config.z_dim)
                ws = G.broadcast(G.mapping(z, batch.c * c_weight))
                fake = G.synthesis(ws, "random")
                lengths = losses.path_length(fake, ws, torch.randn_like(fake))
                penalty = (lengths - path_mean.mean).square().mean()
                run.backward(config.path_length_weight * config.path_length_every * penalty)
                everywhere.append(run.accelerator.gather(lengths.detach()))
            path_mean.update(torch.cat(everywhere))
            run.average(G)
            opt_G.step()

        ema.update(G, config.batch_size, run.images_seen)
        if config.augment == "ada" and step % 4 == 3:
            ada.adjust(run.images_seen)
        run.note(ada_p=ada.p)
        run.end_step()
        if snapshots.is_due:
            judge()
        if run.is_save_due:
            with torch.no_grad():
                c = c_fixed * c_weight
                w = torch.lerp(ema.model.w_avg(c), ema.model.mapping(z_fixed, c), 0.7)
                run.save(ema.model.synthesis(ema.model.broadcast(w)))

    if run.is_finished:
        pipeline = StyleGAN2Pipeline(ema.model, conditions=schema)
        pipeline, networks, snapshot = snapshots.choose(pipeline, networks)
        publish(run, pipeline, SampleEvaluation(run, SAMPLING, snapshot), extra_networks=networks)


class _PathMean(nn.Module):
    """The running mean that path lengths are drawn to (StyleGAN2, eq. 4)."""

    mean: Tensor  # A scalar, in a buffer so that checkpoints hold it.

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def update(self, lengths: Tensor) -> None:
        """Follow the lengths of a whole batch [N], so that its parts all see the same mean."""
        self.mean.lerp_(lengths.mean(), 0.01)


def _projected_critic(config: Config, c_dim: int, device: torch.device) -> ProjectedCritic:
    """Heads on pretrained features, and how they are held back."""
    heads = Heads(c_dim if config.heads_conditions else 0)
    return ProjectedCritic(
        Projection(config.feature_resolution, config.seed).to(device),
        heads,
        _adam(heads, config.heads_lr, 1.0),
        rest_below=config.heads_rest_below,
        min_coverage=config.heads_min_coverage if config.critic == "both" else 0.0,
        from_images=config.heads_from_images if config.critic == "both" else 0,
        slope_ratio=config.heads_slope_ratio,
        warmup_images=config.heads_warmup_images,
    )


def _adam(network: nn.Module, lr: float, lazy: float) -> Adam:
    """Adam without momentum, its rates corrected by the share of steps that are not penalties."""
    return Adam(network.parameters(), lr * lazy, betas=(0.0, 0.99**lazy), eps=1e-8)


def _mixed_styles(G: stylegan2.Generator, z: Tensor, c: Tensor, probability: float) -> Tensor:
    """Styles [N, num_ws, w_dim]; some images take a second one from a random layer on."""
    ws = G.broadcast(G.mapping(z, c))
    if probability == 0:
        return ws
    other = G.broadcast(G.mapping(torch.randn_like(z), c))
    first = torch.randint(1, G.num_ws, (len(z), 1, 1), device=z.device)
    first = torch.where(torch.rand_like(first, dtype=z.dtype) < probability, first, G.num_ws)
    layer = torch.arange(G.num_ws, device=z.device)[None, :, None]
    return torch.where(layer < first, ws, other)


def _condition_weight(config: Config, images_seen: int) -> float:
    """0 at first, then up to 1: learning classes at once makes small sets collapse per class."""
    start, end = config.conditions_from_images, config.conditions_full_images
    return min(max((images_seen - start) / max(end - start, 1), 0.0), 1.0)


if __name__ == "__main__":
    train(tyro.cli(Config))
