"""PairRun: what the scripts that learn from pairs of images share beyond `training.runs.run`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor

from genmodels.data import color, images
from genmodels.data.image_folder import epoch_flips, epoch_indices, evenly
from genmodels.data.paired_folder import PairFolder
from genmodels.pipelines.translation import HINT_SIDE, encode
from training.runs.held_out import divide
from training.runs.run import mix
from training.runs.translator import SHOWN, TranslatorConfig, TranslatorRun

HINTS_MEAN = 8  # Mean number of hints in a picture that has any ...
MAX_HINTS = 64  # ... which is at most this.


@dataclass(frozen=True, kw_only=True)
class PairConfig(TranslatorConfig):
    """Flags of the scripts that learn from pairs."""

    data: str  # Folder with target/ and source/; without source/ the targets in grey are it.
    reverse: bool = False  # Learn the other direction: from target to source.
    predicts: Literal["rgb", "chroma"] = "rgb"  # Chroma: the source's brightness stays.
    hints: float = 0.5  # Share of the pictures that come with hints, when chroma is predicted.

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.hints <= 1:
            raise ValueError(f"hints must be from 0 to 1, got {self.hints}")
        if self.grain and self.predicts == "chroma":
            raise ValueError(
                f"grain must be from 0 to 0 where chroma is predicted, got {self.grain}"
            )
        if self.reverse and self.predicts == "chroma":
            raise ValueError("reverse is for rgb: chroma is learnt from the brightness of a target")

    @property
    def published(self) -> dict[str, Any]:
        """What the published pipeline is told, beside its network."""
        return super().published | {"predicts": self.predicts}


@dataclass(frozen=True)
class PairBatch:
    """One process's part of a batch, on its device."""

    taken: Tensor  # What the network takes: [n, 3, R, R], or [n, 4, R, R] for chroma.
    wanted: Tensor  # What it should give: [n, 3, R, R], or [n, 2, R, R] for chroma.


class PairRun(TranslatorRun):
    """A run on pairs: `data` and `held_out` are `PairFolder`s, the first of larger pictures."""

    config: PairConfig
    min_held_out = 4

    def _load_data(self) -> tuple[PairFolder, PairFolder]:
        config, cache = self.config, self.config.out / "cache"
        how: dict[str, Any] = {"reverse": config.reverse, "cache_dir": cache}
        files = config.listed_files()
        data = PairFolder(config.data, self.loaded_resolution, files=files, **how)
        if config.held_out is not None:
            if repeated := data.repeated(PairFolder(config.held_out, data.resolution, **how)):
                raise ValueError(
                    f"{config.held_out} must hold other pairs than {config.data}, "
                    f"{len(repeated)} are in both: {', '.join(repeated[:5])}"
                )
            return data, PairFolder(config.held_out, config.resolution, **how)
        whole = PairFolder(config.data, config.resolution, files=files, **how)
        learnt, apart = divide(data, self.min_held_out)
        return learnt, whole.only(set(apart.names))

    def pairs(self, step: int) -> Iterator[PairBatch]:
        """Parts of the batch of `step` for this process; seeds torch's global source for each."""
        config = self.config
        key = (len(self.data), config.batch_size, step, config.seed)
        indices = epoch_indices(*key)
        flips = epoch_flips(*key) if config.x_flip else np.zeros(config.batch_size, dtype=bool)
        rng = torch.Generator().manual_seed(mix(config.seed, step, "pairs"))
        boxes = self.boxes(torch.rand(config.batch_size, 3, generator=rng).numpy())
        rngs = self.rngs(step, config.batch_size)
        for rows in self.parts(step, "pairs"):
            source, target = self.data.batch(
                indices[rows], flips=flips[rows], boxes=boxes[rows], side=config.resolution
            )
            yield self._batch(source, target, rngs[rows], hints=config.hints)

    def shown(self) -> tuple[PairBatch, Tensor, Tensor]:
        """The pairs of the sheets, without hints, and both sides of them as pictures."""
        source, target = self.shown_pairs()
        batch = self._batch(source, target, self.rngs("shown", len(source)), hints=0)
        return batch, images.to_float(source), images.to_float(target)

    def shown_pairs(self) -> tuple[Tensor, Tensor]:
        """Pairs to show, both uint8 [n, 3, R, R]: held-out ones, where there are any."""
        folder = self.held_out if len(self.held_out) else self.data
        return folder.batch(evenly(len(folder), SHOWN), side=self.config.resolution)

    def sheet(self, given: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """Sources, what the network made of them and targets, one row each: [3 * n, 3, R, R]."""
        given = given.cpu()
        if self.config.predicts == "chroma":
            given = color.join(color.luma(source), given)
        return torch.cat([source, given.clamp(-1, 1), target])

    def _batch(
        self, source: Tensor, target: Tensor, rngs: Sequence[Generator], hints: float
    ) -> PairBatch:
        rgb, wanted = (images.to_float(x.to(self.device)) for x in (source, target))
        if self.config.predicts == "rgb":
            return PairBatch(self.grained(rgb, rngs), wanted)
        wanted = color.chroma(wanted)
        marks = random_marks(wanted.cpu(), hints, rngs).to(self.device)
        return PairBatch(encode(rgb, "chroma", marks), wanted)


def random_marks(
    chroma: Tensor,  # [N, 2, H, W], of the target.
    share: float,  # Share of the pictures that get hints.
    rngs: Sequence[Generator],  # One for each picture.
) -> Tensor:
    """Chroma of hints at random places and where they are: [N, 3, H, W], as a person gives them."""
    marks = torch.zeros(len(chroma), 3, *chroma.shape[2:])
    height, width = chroma.shape[2:]
    for image_chroma, mark, rng in zip(chroma, marks, rngs, strict=True):
        if torch.rand((), generator=rng) >= share:
            continue
        chances = torch.empty(()).geometric_(1 / HINTS_MEAN, generator=rng)
        for _ in range(min(int(chances), MAX_HINTS)):
            top = int(torch.randint(max(1, height - HINT_SIDE), (), generator=rng))
            left = int(torch.randint(max(1, width - HINT_SIDE), (), generator=rng))
            place = (slice(top, top + HINT_SIDE), slice(left, left + HINT_SIDE))
            mark[:2, *place] = image_chroma[:, *place].mean(dim=(1, 2), keepdim=True)
            mark[2, *place] = 1
    return marks
