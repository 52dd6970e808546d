"""Settings of SinGAN's training: those a user chooses, and the protocol of each mode.

A mode is a `Protocol`; "full" is the paper's (Shaham et al. 2019, arXiv:1905.01164), "fast" ours.
"""

from dataclasses import dataclass
from typing import Any

from torch.optim import ASGD, SGD, Adam, Adamax, AdamW, Optimizer

from genmodels.hub.checks import check_range, check_whole

# Learning rates: SGD and ASGD do not train at Adam's. These gave the lowest reconstruction error
# after 120 iterations at 25x40 px (one photo, one seed): SGD 0.0084 (tried 0.003 to 0.1) and ASGD
# 0.0071 (tried 0.01 to 0.3), against Adam 0.0063, AdamW 0.0064 and Adamax 0.0062.
OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "adam": (Adam, {"lr": 5e-4, "betas": (0.5, 0.999), "fused": True}),
    "adamax": (Adamax, {"lr": 1e-3, "betas": (0.5, 0.999)}),
    "adamw": (AdamW, {"lr": 5e-4, "betas": (0.5, 0.999), "weight_decay": 1e-4, "fused": True}),
    "sgd": (SGD, {"lr": 0.003, "momentum": 0.9, "nesterov": True, "fused": True}),
    "asgd": (ASGD, {"lr": 0.01}),
}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a mode builds the pyramid and trains each scale; the defaults are the paper's."""

    epochs: int = 2000  # Iterations per scale.
    min_size: int = 25  # Pixels of the shorter side at the coarsest scale.
    factor: float = 0.75  # Approximate size ratio of a scale to the next finer one.
    base_channels: int = 32  # Channels of the coarsest networks; doubled ...
    double_every: int = 4  # ... every this many scales.
    d_steps: int = 3  # Updates of the discriminator per iteration.
    g_steps: int = 3  # Updates of the generator per iteration.
    penalty_weight: float = 0.1  # WGAN-GP gradient penalty (Gulrajani et al. 2017, 1704.00028).
    reconstruction_weight: float = 10.0  # Weight of the squared error of the reconstruction.
    noise_strength: float = 0.1  # Noise per RMS error of the reconstruction from the scale below.
    lr_drop_at: float = 0.8  # After this share of the iterations ...
    lr_drop_to: float = 0.1  # ... the learning rate is multiplied by this.


@dataclass(frozen=True, kw_only=True)
class FastProtocol(Protocol):
    """How `genmodels.models.singan.fast` trains: a layout of patches, and few scales above it."""

    epochs: int = 600
    min_size: int = 100  # Pixels of the shorter side of a layout, at most.
    factor: float = 0.65
    double_every: int = 24  # Never: there are fewer scales.
    d_steps: int = 1
    g_steps: int = 1
    penalty_weight: float = 0.03  # R1 penalty on the photo (Mescheder et al. 2018, 1801.04406).
    penalty_every: int = 8  # R1 is applied every 8th iteration, 8 times as strong.
    noise_strength: float = 0.25
    num_layouts: int = 8  # Layouts that the generators are trained to refine.
    num_examples: int = 4  # Full-size pictures to reconstruct, in addition to the photo.
    crop: int = 64  # Side of the training crops in pixels.
    ema_decay: float = 0.98  # EMA decay of the saved weights, per iteration.
    rate_factor: float = 2.0  # Multiplies the learning rate, which follows a cosine to 0.
    layouts_share: float = 0.3  # Largest share of the time budget for making layouts and examples.


MODES = {"fast": FastProtocol(), "full": Protocol()}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings a user chooses; ValueError if one is invalid."""

    mode: str = "fast"  # A key of MODES.
    max_size: int = 150  # Longer side of the finest scale in pixels, 25 to 400.
    epochs: int | None = None  # Iterations per scale, 1 to 10,000; None: the mode's.
    optimizer: str = "adam"  # A key of OPTIMIZERS.
    budget_seconds: float | None = None  # Plan the iterations to take this long, `epochs` at most.
    seed: int = 0  # Random seed.

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(
                f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {self.optimizer!r}"
            )
        check_whole("max_size", self.max_size, 25, 400)
        check_whole("seed", self.seed, 0, 2**63 - 1)
        if self.epochs is not None:
            check_whole("epochs", self.epochs, 1, 10_000)
        if self.budget_seconds is not None:
            check_range("budget_seconds", self.budget_seconds, 1, 7 * 24 * 3600)
