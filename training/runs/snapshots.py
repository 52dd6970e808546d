"""Snapshots: the averaged generator, judged as it learns on images held out; the best one is kept.

A critic on pretrained features makes single pictures better and better while the generator forgets
how to draw most of its data, so the last state of a run is not always its best. The judges share
nothing with those features: they are `genmodels.metrics`' own. The training doctor reads each
snapshot.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from genmodels import metrics
from genmodels.data import images
from genmodels.data.image_folder import evenly
from genmodels.doctor import training as doctor
from genmodels.doctor.leaks import leak
from genmodels.hub.modeling import HubModel
from genmodels.hub.pipelines import HubPipeline
from genmodels.metrics.figures import UndefinedFigureError
from genmodels.nn.augment import classical_augment
from training.runs.gan import Logits, held_out_gap
from training.runs.run import Run

Networks = Mapping[str, HubModel]  # What is published beside the pipeline, by folder.

FILE = "snapshots.jsonl"
BEST = "best"  # The folder of the best one's networks, as a model's ...
FACTS = "snapshot.json"  # ... and in it, what was found of them.
MAX_JUDGED = 500  # Samples and held-out images each; the order of snapshots is stable from there.
FIRST_SEED = 4_000_000  # Seed of the first sample; the card uses other seeds.


@dataclass(frozen=True)
class Snapshot:
    """The figures of the generator after some number of images."""

    images_seen: int
    swd: float | None  # Texture; lower is better; None where a colour is flat in all images.
    random_kid: float  # Structure; lower is better.
    coverage: float  # Share of the held-out images that samples come near to.
    sameness: float  # MS-SSIM of random pairs ...
    real_sameness: float  # ... and that of the held-out images.
    # Mean sign of D on training images minus that on held-out ones; None: not measured.
    held_out_gap: float | None = None
    leak: float | None = None  # 0 = as real images, 1 = as classically augmented ones.

    @property
    def score(self) -> float:
        """One number to order snapshots by, lower is better: relative changes weigh the same.

        The structural distance is unbiased and may reach 0 by chance, so it has a floor.
        """
        texture = 1.0 if self.swd is None else self.swd
        return texture * max(self.random_kid, 0.01) / max(self.coverage, 0.01)

    def __str__(self) -> str:
        texture = "none" if self.swd is None else f"{self.swd:.1f}"
        return (
            f"snapshot at {self.images_seen / 1000:.1f}k images: SWD {texture}  random KID "
            f"{self.random_kid:.2f}  coverage {self.coverage:.2f}  sameness {self.sameness:.2f} "
            f"(real {self.real_sameness:.2f})"
        )


class Snapshots:
    """Those of one run, in its folder: a line each in snapshots.jsonl, the best one's weights.

    To be made once the run has resumed.
    """

    def __init__(
        self,
        run: Run,
        every_images: float,  # How often one is due.
        sampling: dict[str, Any],  # Settings of the pipeline for the samples.
        logits: Logits | None = None,  # The discriminator as the loop uses it, if there is one.
        *,
        gives_up: bool = False,  # End the run at one that is worse, once there was an alarm.
    ) -> None:
        self.run, self.every_images, self.sampling = run, every_images, sampling
        self.logits, self.gives_up = logits, gives_up
        # A run resumed from an older checkpoint measures the later snapshots again.
        self._found = [each for each in self._read() if each.images_seen <= run.images_seen]
        if self._is_hopeless:
            run.give_up()

    @property
    def is_due(self) -> bool:
        """Whether a snapshot is due after the step that has just ended."""
        seen, batch_size = self.run.images_seen, self.run.config.batch_size
        return seen // self.every_images > (seen - batch_size) // self.every_images

    def judge(self, pipeline: HubPipeline, extra_networks: Networks) -> float:
        """Measure the pipeline's samples; keep its networks if they are the best so far.

        Returns the coverage, on every process; 0 where the images have none.
        """
        snapshot = self._judge(pipeline, extra_networks) if self.run.is_main else None
        coverage = 0.0 if snapshot is None else snapshot.coverage
        is_hopeless = float(self.run.is_main and self._is_hopeless)
        on_main = torch.tensor([coverage, is_hopeless], device=self.run.device)
        coverage, is_hopeless = self.run.accelerator.reduce(on_main, "sum").tolist()
        if is_hopeless:
            self.run.print("given up after an alarm; --on-alarm warn would go on")
            self.run.give_up()
        return coverage

    @property
    def _is_hopeless(self) -> bool:
        """Whether the run now is worse than it was, and there was an alarm since it was best."""
        if not self.gives_up or not self._found:
            return False
        newest, best = self._found[-1], min(self._found, key=lambda each: each.score)
        is_now = newest.images_seen == self.run.images_seen
        return is_now and newest != best and self.run.alarms.since(best.images_seen)

    def _judge(self, pipeline: HubPipeline, extra_networks: Networks) -> Snapshot | None:
        """None where these images have no such figures, as few ones or flat ones do not."""
        try:
            snapshot = self._measure(pipeline)
        except UndefinedFigureError as error:
            self.run.print(f"no snapshot at {self.run.images_seen} images: {error}")
            return None
        earlier = [each for each in self._found if each.images_seen < snapshot.images_seen]
        is_best = all(snapshot.score < each.score for each in earlier)
        if is_best or not (self.run.config.out / BEST).is_dir():  # A kill may have cost it.
            self._keep(pipeline, extra_networks, snapshot)
        self._found = [*earlier, snapshot]
        path = self.run.config.out / FILE
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(asdict(each)) + "\n" for each in self._found))
        partial.replace(path)
        self.run.print(f"{snapshot}{': the best so far' if is_best else ''}")
        self.run.alarm(*doctor.of_snapshot(asdict(snapshot), [asdict(each) for each in earlier]))
        return snapshot

    def choose(
        self, pipeline: HubPipeline, extra_networks: Networks
    ) -> tuple[HubPipeline, Networks, Snapshot | None]:
        """The networks to publish of a finished run, and what was found of them.

        The best ones, the last ones among them; these and None if no snapshot was ever due.
        """
        if not self.run.is_main or not self._found:
            return pipeline, extra_networks, None
        if self._found[-1].images_seen != self.run.images_seen:
            self._judge(pipeline, extra_networks)
        folder = self.run.config.out / BEST
        best = Snapshot(**json.loads((folder / FACTS).read_text()))
        self.run.print(f"publishing the best of {len(self._found)} snapshots: {best}")
        extra_networks = {
            name: type(network).from_pretrained(folder, subfolder=name)
            for name, network in extra_networks.items()
        }
        return type(pipeline).from_pretrained(folder), extra_networks, best

    def _read(self) -> list[Snapshot]:
        path = self.run.config.out / FILE
        lines = path.read_text().splitlines() if path.is_file() else []
        return [Snapshot(**json.loads(line)) for line in lines]

    def _measure(self, pipeline: HubPipeline) -> Snapshot:
        held_out = self.run.held_out.images[:MAX_JUDGED]
        samples = [
            image
            for first in range(0, len(held_out), 250)
            for image in pipeline(
                min(250, len(held_out) - first), seed=FIRST_SEED + first, **self.sampling
            ).images
        ]
        fake = images.from_pil(samples)
        seen = self.run.data.images[evenly(len(self.run.data), MAX_JUDGED)]
        structure = metrics.structure(fake, held_out)
        return Snapshot(
            images_seen=self.run.images_seen,
            swd=_texture(fake, held_out),
            random_kid=structure["random_kid"],
            coverage=structure["coverage"],
            sameness=float(metrics.ms_ssim_diversity(fake)),
            real_sameness=float(metrics.ms_ssim_diversity(held_out)),
            held_out_gap=None if self.logits is None else held_out_gap(self.run, self.logits),
            leak=leak(fake, seen, classical_augment(seen, torch.Generator().manual_seed(0))),
        )

    def _keep(self, pipeline: HubPipeline, extra_networks: Networks, snapshot: Snapshot) -> None:
        """In full precision; whole or not at all."""
        folder = self.run.config.out / BEST
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        pipeline.save_pretrained(partial)
        for name, network in extra_networks.items():
            network.save_pretrained(partial / name)
        (partial / FACTS).write_text(json.dumps(asdict(snapshot)) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)


def _texture(samples: Tensor, held_out: Tensor) -> float | None:
    """The sliced Wasserstein distance, if these images have one."""
    try:
        return float(metrics.swd(samples, held_out))
    except UndefinedFigureError:
        return None
