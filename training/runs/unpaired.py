"""UnpairedRun: photographs, and pictures of another kind that show something else."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from genmodels.data import images
from genmodels.data.image_folder import ImageFolder, epoch_flips, epoch_indices, evenly
from genmodels.data.paired_folder import cut
from training.runs.held_out import check_apart, divide, few_lines
from training.runs.run import mix
from training.runs.translator import SHOWN, TranslatorConfig, TranslatorRun


@dataclass(frozen=True, kw_only=True)
class UnpairedConfig(TranslatorConfig):
    """Flags of the script that learns without pairs."""

    image_folders: ClassVar = TranslatorConfig.image_folders | {"targets", "targets_held_out"}
    may_change: ClassVar = TranslatorConfig.may_change | image_folders

    data: str  # Folder of pictures to translate, or "user/repo" of a data set on the Hub.
    targets: str  # The same of pictures as they are to become: other scenes, another kind.
    targets_held_out: str | None = None  # Never trained on; default: a share of --targets, by name.


@dataclass(frozen=True)
class UnpairedBatch:
    """One process's part of a batch, on its device."""

    source: Tensor  # [n, 3, R, R] in [-1, 1].
    target: Tensor  # [n, 3, R, R] in [-1, 1], of other scenes.
    taken: Tensor  # Both, as the network takes them: with grain, if any, [2 * n, 3, R, R].


class UnpairedRun(TranslatorRun):
    """A run on two sets: `data` and `held_out` of the one, `targets` and `held_out_targets`."""

    config: UnpairedConfig
    targets: ImageFolder
    held_out_targets: ImageFolder

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that is learnt from."""
        both = self.data.fingerprint + self.targets.fingerprint
        return hashlib.sha256(both.encode()).hexdigest()

    def _load_data(self) -> tuple[ImageFolder, ImageFolder]:
        config = self.config
        self.targets, self.held_out_targets = self._load(config.targets, config.targets_held_out)
        for line in few_lines(len(self.held_out_targets), self.min_held_out, "--targets-held-out"):
            self.print(line)
        return self._load(config.data, config.held_out, config.listed_files())

    def _load(
        self, source: str, held_out: str | None, files: Collection[str] | None = None
    ) -> tuple[ImageFolder, ImageFolder]:
        """Larger ones to cut from, and at the network's size those that are held out."""
        how: dict[str, Any] = {"cache_dir": self.config.out / "cache"}
        larger = ImageFolder(source, self.loaded_resolution, files=files, **how)
        if held_out is not None:
            apart = ImageFolder(held_out, self.config.resolution, **how)
            check_apart(larger, apart)
            return larger, apart
        whole = ImageFolder(source, self.config.resolution, files=files, **how)
        learnt, apart = divide(larger, self.min_held_out)
        return learnt, whole.only(set(apart.names))

    def batches(self, step: int) -> Iterator[UnpairedBatch]:
        """Parts of the batch of `step` for this process; seeds torch's global source for each."""
        sources, targets = (self._cut(step, x) for x in ("data", "targets"))
        rngs = self.rngs(step, self.config.batch_size)
        for rows in self.parts(step, "unpaired"):
            source, target = (images.to_float(x[rows].to(self.device)) for x in (sources, targets))
            # The second draws on where the first stopped: other grain.
            taken = torch.cat([self.grained(x, rngs[rows]) for x in (source, target)])
            yield UnpairedBatch(source, target, taken)

    def taken(self, shown: Tensor) -> Tensor:
        """What the network takes of the pictures of the sheets, [n, 3, R, R]."""
        return self.grained(shown, self.rngs("shown", len(shown)))

    def _cut(self, step: int, which: str) -> Tensor:
        """Pieces of the pictures of one set that `step` sees: uint8 [batch_size, 3, R, R]."""
        config, folder = self.config, getattr(self, which)
        seed = mix(config.seed, which)
        key = (len(folder), config.batch_size, step, seed)
        rng = torch.Generator().manual_seed(mix(seed, step))
        flips = epoch_flips(*key) if config.x_flip else np.zeros(config.batch_size, dtype=bool)
        boxes = self.boxes(torch.rand(config.batch_size, 3, generator=rng).numpy())
        return cut(
            folder.images, epoch_indices(*key), flips=flips, boxes=boxes, side=config.resolution
        )

    def shown(self) -> Tensor:
        """The photographs of the sheets: [n, 3, R, R] in [-1, 1]."""
        return images.to_float(self.shown_pictures()).to(self.device)

    def shown_pictures(self) -> Tensor:
        """Photographs to show, uint8 [n, 3, R, R]: held-out ones, where there are any."""
        if len(self.held_out):
            return self.held_out.images[evenly(len(self.held_out), SHOWN)]
        rows, whole = evenly(len(self.data), SHOWN), self.data.resolution
        return cut(
            self.data.images,
            rows,
            flips=np.zeros(len(rows), dtype=bool),
            boxes=np.tile([0, 0, whole], (len(rows), 1)),
            side=self.config.resolution,
        )
