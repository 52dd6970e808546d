"""Where a picture lies in StyleGAN2's style space: from a seed and settings to styles."""

import random
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genmodels.data import conditions
from genmodels.hub.checks import check_range, check_whole, plain, quoted
from genmodels.models import stylegan2
from genmodels.nn.threads import threads_for
from genmodels.pipelines import sampling
from genmodels.pipelines.sampling import MAX_SEED

# Which layers' styles a name stands for, first and last; the last of "fine" is the network's last.
LAYERS = {"coarse": (0, 2), "middle": (3, 6), "fine": (7, None)}  # Up to 8 px, 16-32 px, 64 px on.

MAX_MEANS = 1024  # Mean styles that are kept, of all networks: each is a vector.

# A quarter of a small picture's time, and the same for every picture of a condition. By the hash of
# the weights, so that it is dropped with the weights it was computed from.
_means: OrderedDict[tuple[str, torch.device, tuple[float, ...]], Tensor] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Styles:
    """The style space of one network with the weights that it has now; use in inference mode."""

    network: stylegan2.Generator
    schema: conditions.Schema  # What c means.
    weights_sha256: str

    def of(
        self,
        seed: int,
        *,
        truncation_psi: float = 0.7,
        condition: dict[str, Any] | None = None,
        noise_mode: str = "const",
        variation_seed: int | None = None,
        variation_strength: float = 0.0,
        mix_seed: int | None = None,
        mix_condition: dict[str, Any] | None = None,
        mix_layers: str | Sequence[int] = "middle",
    ) -> tuple[Tensor, dict[str, Any]]:
        """The styles of one picture, [1, num_ws, w_dim], and the settings that its recipe needs."""
        seed = check_whole("seed", seed, 0, MAX_SEED)
        truncation_psi = check_range("truncation_psi", truncation_psi, -1, 2)
        variation_strength = check_range("variation_strength", variation_strength, 0, 1)
        if noise_mode not in ("const", "none"):
            raise ValueError(f'noise_mode must be "const" or "none", got {quoted(noise_mode)}')
        full_condition = self.condition(condition, seed)
        settings = {
            "condition": full_condition,
            "truncation_psi": truncation_psi,
            "noise_mode": noise_mode,
        }
        z = self.latent(seed)
        if variation_seed is not None:
            variation_seed = check_whole("variation_seed", variation_seed, 0, MAX_SEED)
            z = sampling.walk(z, self.latent(variation_seed), variation_strength)
            settings["variation_seed"] = variation_seed
            settings["variation_strength"] = variation_strength
        ws = self.truncated(z, self.encoded(full_condition), truncation_psi)
        if mix_seed is not None:
            mix_seed = check_whole("mix_seed", mix_seed, 0, MAX_SEED)
            first, last = layers(self.network, mix_layers)
            other = self.condition(condition if mix_condition is None else mix_condition, mix_seed)
            mixed_in = self.truncated(self.latent(mix_seed), self.encoded(other), truncation_psi)
            ws = torch.cat([ws[:, :first], mixed_in[:, first : last + 1], ws[:, last + 1 :]], 1)
            settings |= {"mix_seed": mix_seed, "mix_condition": other, "mix_layers": [first, last]}
        return ws, settings

    def condition(self, condition: dict[str, Any] | None, seed: int) -> dict[str, Any]:
        """The condition of a seed's picture: what is asked, completed by the seed."""
        return conditions.draw(self.schema, plain(condition), random.Random(seed))

    def encoded(self, condition: dict[str, Any]) -> Tensor:
        """c [1, c_dim]."""
        c = conditions.encode(self.schema, condition)
        device = self.network.device
        return torch.tensor([c], dtype=torch.float32, device=device).reshape(1, self.network.c_dim)

    def latent(self, seed: int) -> Tensor:
        """z [1, z_dim]."""
        return sampling.draw(seed, self.network.z_dim).to(self.network.device)

    def truncated(self, z: Tensor, c: Tensor, truncation_psi: float) -> Tensor:
        """The styles [1, num_ws, w_dim] of z [1, z_dim] on condition c [1, c_dim]."""
        with threads_for(stylegan2.W_AVG_SAMPLES * self.network.w_dim):
            w = torch.lerp(self.mean(c), self.network.mapping(z, c), truncation_psi)
        return self.network.broadcast(w)

    def mean(self, c: Tensor) -> Tensor:
        """w_avg [1, w_dim] on condition c [1, c_dim]."""
        key = self.weights_sha256, c.device, tuple(c.flatten().tolist())
        with _lock:
            if key in _means:
                _means.move_to_end(key)
                return _means[key]
        mean = self.network.w_avg(c)
        with _lock:
            _means[key] = mean
            while len(_means) > MAX_MEANS:
                _means.popitem(last=False)
        return mean


def layers(network: stylegan2.Generator, names: str | Sequence[int]) -> tuple[int, int]:
    """The first and last style of a range: of "coarse", "middle", "fine", or of itself."""
    end = network.num_ws - 1
    if isinstance(names, str):
        if names not in LAYERS:
            raise ValueError(f"layers must be among {', '.join(LAYERS)}, got {quoted(names)}")
        first, last = LAYERS[names]
        if first > end:
            side = network.config.resolution
            raise ValueError(f"a network of {side} px has no {names} layers")
        last = end if last is None else min(last, end)
    else:
        if len(names) != 2:
            raise ValueError(f"layers must be (first, last), got {quoted(list(names))}")
        first, last = names
    first = check_whole("the first layer", first, 0, end)
    return first, check_whole("the last layer", last, first, end)


def check_schema(schema: dict[str, Any], c_dim: int) -> None:
    """Check the schema, which may come from an untrusted repo."""
    conditions.check(schema)
    if conditions.size(schema) != c_dim:
        raise ValueError(
            f"conditions must describe c_dim = {c_dim} numbers, got {conditions.size(schema)}"
        )
