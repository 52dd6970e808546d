"""Run: what every training script shares. It offers verbs; the loop stays in the script.

Everything random depends on (seed, step, part of the batch) alone, so a resumed run draws the same
numbers. Images, how they are cut, latents, grain and hints do not even depend on the part: they are
the same however a batch is split over processes or micro-batches. All else (a network's dropout,
noise and mixed styles, augmentation, what a loss samples) each part draws for itself.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import psutil
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.tensorboard import SummaryWriter

from genmodels.data import images
from genmodels.data.file_list import read_files
from genmodels.data.image_folder import ImageFolder, epoch_flips, epoch_indices
from genmodels.doctor import training as doctor
from genmodels.hub import repo
from genmodels.hub.modeling import HubModel
from genmodels.nn.allocator import keep_freed_memory
from training.runs import checkpoint
from training.runs.alarms import AlarmRecord
from training.runs.config_record import ConfigRecord
from training.runs.disk import read_json, whole_file
from training.runs.forecast import Expectations, forecast, take_fastest_threads
from training.runs.held_out import (
    MIN_HELD_OUT,
    check_apart,
    check_places,
    divide,
    few_lines,
    skipped_lines,
)
from training.runs.launching import mixed_precision
from training.runs.lock import lock
from training.runs.stopping import StopSignals, print_line

LOG = "log.jsonl"
LINES_KEPT = 1_000  # Of the log, in memory: a window of the training doctor has fewer.
FREE_SETTINGS = {"dropout", "group_size"}  # Settings with which the same weights still work.


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Flags that all training scripts share; a script's own come in a subclass.

    A subclass adds the names of its flags to these sets. No other flag may change on resuming.
    """

    image_folders: ClassVar[frozenset[str]] = frozenset({"data", "held_out"})
    # What a resumed command may change: where things are, how long it runs, what it shows ...
    may_change: ClassVar[frozenset[str]] = image_folders | {
        *("files", "out", "steps", "budget_seconds", "accumulate"),
        *("save_every", "log_every", "keep_checkpoints"),
        *("name", "summary", "data_name", "licence", "card_notes", "push_to_hub", "private"),
    }
    # ... and what is printed and recorded when it changes, because the weights depend on it.
    tunable: ClassVar[frozenset[str]] = frozenset({"threads", "mixed_precision"})

    data: str  # Folder of images, or "user/repo" of a data set on the Hub.
    out: Path  # Folder of the run; the same command again resumes from it.
    held_out: str | None = None  # Images never trained on; default: a share of --data, by name.
    files: Path | None = None  # Train on these images of --data alone: their names, one a line.
    resolution: int = 64  # Side of the images in pixels, 32 or more.
    steps: int = 10_000  # Updates of the generator.
    budget_seconds: float | None = None  # Stop after this time; 0 only publishes.
    batch_size: int = 32  # Images per update, over all processes and micro-batches.
    accumulate: int = 1  # Micro-batches per process and update; saves memory.
    seed: int = 0  # Random seed.
    x_flip: bool = True  # Mirror half of the images; turn off for text.
    # bf16 if the hardware supports it; default: accelerate's configuration, else no.
    mixed_precision: Literal["no", "bf16"] | None = None
    threads: int | None = None  # CPU threads; results depend on them; default: measured.
    save_every: int = 500  # Steps between checkpoints.
    log_every: int = 50  # Steps between log lines.
    keep_checkpoints: int = 2  # Checkpoints to keep, the newest ones.
    name: str | None = None  # Model name on its card; default: the folder's name.
    summary: str | None = None  # One-line summary of the model; default: family and size.
    data_name: str | None = None  # Name and origin of the images, for the card.
    licence: str = "unknown: say with --licence what the images' owners allow"  # For the card.
    card_notes: tuple[Path, ...] = ()  # Markdown files to append to the card.
    push_to_hub: str | None = None  # Publish the finished model as "user/name".
    private: bool = False  # Make the repo private if it is new.

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "accumulate", "save_every", "log_every")
        for field in (*counts, "keep_checkpoints"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be 1 or more, got {getattr(self, field)}")
        if self.resolution < 32:  # The metrics of the card need this.
            raise ValueError(f"resolution must be 32 or more, got {self.resolution}")
        for path in self.card_notes:  # Checked now rather than after days of training.
            if not path.is_file():
                raise ValueError(f"card_notes must be Markdown files, there is no {path}")

    def listed_files(self) -> frozenset[str] | None:
        """Names of the images to train on; None for all."""
        return None if self.files is None else read_files(self.files)


@dataclass(frozen=True)
class MicroBatch:
    """One process's part of a batch, on its device."""

    real: Tensor  # [n, 3, R, R] in [-1, 1].
    c: Tensor  # Conditions [n, c_dim].
    rows: slice  # Which images of the whole batch these are, ...
    batch_size: int  # ... and how many that has.
    rng: torch.Generator  # On the CPU; each part of the batch has the same.

    def noise(self, *shape: int) -> Tensor:
        """Fresh standard normal numbers [n, *shape], the same however the batch is split."""
        whole = torch.randn(self.batch_size, *shape, generator=self.rng)
        return whole[self.rows].to(self.real.device)


class Run:
    """One training run: its processes, its data, its clock, its folder."""

    min_held_out = MIN_HELD_OUT

    def __init__(self, config: RunConfig, *, conditions: tuple[str, ...] = ()) -> None:
        check_places(config.out, {flag: getattr(config, flag) for flag in config.image_folders})
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        # Denormal numbers, common in a young discriminator's gradients, are ten times slower.
        torch.set_flush_denormal(True)
        keep_freed_memory()
        notes: list[str] = []
        precision: Any = mixed_precision(config.mixed_precision, notes.append)
        config = self.config = dataclasses.replace(config, mixed_precision=precision)
        self.accelerator = Accelerator(mixed_precision=precision)
        for note in notes:
            self.print(note)
        self.device = self.accelerator.device
        self.world = self.accelerator.num_processes
        parts = self.world * config.accumulate
        if config.batch_size % parts:
            raise ValueError(
                f"batch_size must be a multiple of processes x accumulate = {parts}, "
                f"got {config.batch_size}"
            )
        self.micro_batch_size = config.batch_size // parts
        self._lock = lock(config.out) if self.is_main else None
        fields = dataclasses.fields(config)
        known = {f.name: f.default for f in fields if f.default is not dataclasses.MISSING}
        self._record = ConfigRecord(
            config.out,
            dataclasses.asdict(config),
            known | {"mixed_precision": "no"},
            tunable=config.tunable,
            may_change=config.may_change,
            print_line=self.print,
        )
        self.conditions = conditions
        with self.accelerator.main_process_first():
            self.data, self.held_out = self._load_data()
        self.step = 0
        self.seconds = 0.0  # Spent on training by all commands of this run.
        self._state: dict[str, Any] = {}
        self._noted: dict[str, tuple[Tensor, int]] = {}  # Sum and count since the last log line.
        self._writer = SummaryWriter(config.out / "tensorboard") if self.is_main else None
        self._logged: list[dict[str, float]] = []  # The newest lines of the log, for the doctor.
        self.alarms = AlarmRecord(config.out)
        self.is_given_up = False  # For an alarm.
        self._signals = StopSignals(is_loud=self.is_main)
        self._is_interrupted = False  # Any process has, and all of them know.
        self._is_stopping = False  # For that reason, for the budget or an alarm, all of them.
        self._started = self._counted = self._logged_at = time.monotonic()
        self._logged_step = 0
        self.print(f"{len(self.data)} images to train on, {len(self.held_out)} held out")
        for line in (
            *skipped_lines(self.data.skipped),
            *few_lines(len(self.held_out), self.min_held_out),
        ):
            self.print(line)

    def copy_weights(self, source: str, **networks: HubModel) -> None:
        """Start from a published model: fine-tune it, also for other conditions or more pixels.

        Networks are named as in its folder: generator, discriminator.
        """
        for subfolder, network in networks.items():
            parent = type(network).from_pretrained(source, subfolder=subfolder)
            try:
                if hasattr(network, "start_from") and _is_remodelled(parent.config, network.config):
                    network.start_from(parent)
                else:
                    network.load_state_dict(parent.state_dict())
                    _check_settings(parent.config, network.config)
            except (RuntimeError, ValueError) as error:
                raise ValueError(f"{source} has another {subfolder} than asked: {error}") from error
        self._note_parent(source)

    def _note_parent(self, source: str) -> None:
        """Record the parent's facts: its folder may soon hold this run's own model."""
        path = self.config.out / "parent.json"
        if path.is_file() or not self.is_main:
            return
        path_of_parent = repo.resolve(source) / "run.json"
        advice = f"start from another model, or without {path_of_parent.name}"
        facts = read_json(path_of_parent, advice) if path_of_parent.is_file() else {}
        is_path = Path(source).is_dir()  # A local path is private.
        parent = {
            "name": facts.get("name", Path(source).name if is_path else source),
            "data_fingerprint": facts.get("data", {}).get("fingerprint"),
            "images_seen": facts.get("images_seen", 0) + (facts.get("images_seen_by_parent") or 0),
        }
        with whole_file(path) as partial:
            partial.write_text(json.dumps(parent, indent=1) + "\n")

    @property
    def parent(self) -> dict[str, Any] | None:
        """The model this run was initialised from: name, data_fingerprint, total images_seen."""
        path = self.config.out / "parent.json"
        return read_json(path, "delete it") if path.is_file() else None

    @property
    def is_main(self) -> bool:
        """Whether this process writes and prints."""
        return self.accelerator.is_main_process

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the training data."""
        return str(self.data.fingerprint)

    @property
    def images_seen(self) -> int:
        """Real images that the networks were trained on so far."""
        return self.step * self.config.batch_size

    def print(self, text: str) -> None:
        """Print one line, from the main process only."""
        if self.is_main:
            print_line(text)

    def resume(self, **state: checkpoint.Stateful | Optimizer) -> None:
        """Name what a checkpoint holds, move networks to the device, restore the newest one."""
        self._state = state
        for thing in state.values():
            if isinstance(thing, nn.Module):
                thing.to(self.device)
        counters = checkpoint.load(self.config.out / "checkpoints", state)
        if counters is not None:
            self._check_data(counters["fingerprint"])
            self.step, self.seconds = counters["step"], counters["seconds"]
            # Results are bit-equal only with the same number of threads.
            if self.config.threads is None and "threads" in counters:
                torch.set_num_threads(counters["threads"])
            self.print(f"resumed at step {self.step}")
            self._record.accept(self.step, is_main=self.is_main)
        self.alarms.resume(self.images_seen)
        self._logged = read_log(self.config.out / LOG, self.images_seen)
        self._started = self._counted = self._logged_at = time.monotonic()
        self._logged_step = self.step

    def forecast(
        self,
        update: Callable[..., None],  # One update on a micro-batch, with copies of the networks.
        *networks: nn.Module,  # All trained networks.
        expectations: Expectations = (),  # What to expect of the result, by images seen.
    ) -> None:
        """Print what the rest of the run will cost and what to expect of it."""
        if self.step >= self.config.steps:
            return
        batch_size = self.config.batch_size
        estimate = forecast(
            update,
            *networks,
            images_per_update=self.micro_batch_size * self.world,
            images_left=(self.config.steps - self.step) * batch_size,
            images_at_end=self.config.steps * batch_size,
            expectations=expectations,
        )
        self.print(str(estimate))
        self._started = self._counted = self._logged_at = time.monotonic()

    def choose_threads(
        self,
        network: nn.Module,  # A trained network that is large enough to be timed ...
        *given: Tensor,  # ... and inputs for it, on the device.
    ) -> None:
        """On CPUs, a new run without --threads uses one thread if more are no faster.

        A resumed run keeps its number of threads.
        """
        is_new = self.step == 0 and self.config.threads is None
        if is_new and self.world == 1 and self.device.type == "cpu" and torch.get_num_threads() > 1:
            micro_batch = [x[torch.arange(self.micro_batch_size) % len(x)] for x in given]
            self.print(take_fastest_threads(network, micro_batch))
            self._started = self._counted = self._logged_at = time.monotonic()

    def steps(self) -> Iterator[int]:
        """The remaining steps, from 0; ends early on Ctrl-C, SIGTERM, SIGHUP or a spent budget.

        Or once it is given up. The body calls `end_step`; a second Ctrl-C ends at once.
        """
        try:
            with self._signals:
                self._agree_to_stop()
                while self.step < self.config.steps and not self._is_stopping:
                    yield self.step
                if not self._record.is_accepted:
                    self._record.accept(self.step, is_main=self.is_main)
        finally:
            if self._writer is not None:
                with contextlib.suppress(OSError):  # Already reported.
                    self._writer.close()

    def parts(self, step: int, purpose: str) -> Iterator[slice]:
        """The rows of each micro-batch of this process in the batch of `step`.

        Seeds torch's global source for each, differently for each purpose.
        """
        n, accumulate = self.micro_batch_size, self.config.accumulate
        for i in range(accumulate):
            part = self.accelerator.process_index * accumulate + i
            torch.manual_seed(mix(self.config.seed, step, purpose, part + 1))  # 0: of `noise`.
            yield slice(part * n, (part + 1) * n)

    def micro_batches(
        self,
        step: int,
        purpose: str,  # Selects the random numbers, such as "D" and "G".
    ) -> Iterator[MicroBatch]:
        """Parts of the batch of `step` for this process; seeds torch's global source for each."""
        config = self.config
        key = (len(self.data), config.batch_size, step, config.seed)
        indices = epoch_indices(*key)
        flips = epoch_flips(*key) if config.x_flip else None
        for rows in self.parts(step, purpose):
            pixels, c = self.data.batch(indices[rows], None if flips is None else flips[rows])
            yield MicroBatch(
                real=images.to_float(pixels.to(self.device)),
                c=c.to(self.device),
                rows=rows,
                batch_size=config.batch_size,
                rng=torch.Generator().manual_seed(mix(config.seed, step, purpose)),
            )

    def backward(self, loss: Tensor) -> None:
        """Accumulate a micro-batch's gradient towards the mean over the whole batch."""
        (loss / self.config.accumulate).backward()

    def average(self, network: nn.Module) -> None:
        """Make gradients and buffers the mean over processes.

        Not DistributedDataParallel: its hooks fail with R1's double backward and two forwards per
        update, and one flat message is as fast at these sizes.
        """
        if self.world == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        buffers = [b for b in network.buffers() if b.is_floating_point()]
        tensors = gradients + buffers
        flat = self.accelerator.reduce(torch.cat([t.flatten() for t in tensors]), "mean")
        for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def note(self, **values: Tensor) -> None:
        """Add to the averages of the next log line; tensors stay on the device until then."""
        for name, value in values.items():
            total, count = self._noted.get(name, (torch.zeros((), device=self.device), 0))
            self._noted[name] = (total + value.detach().float().mean(), count + 1)

    def alarm(self, *alarms: doctor.Alarm) -> None:
        """Tell what goes wrong: printed, in alarms.jsonl, on the card, and counted in the log."""
        if not self.is_main:
            return
        for alarm in alarms:
            self.print(str(alarm))
            try:
                self.alarms.add(alarm, self.images_seen)
            except OSError as error:  # It must not end the run.
                self.print(f"the alarm could not be written: {error}")

    def give_up(self) -> None:
        """End the run after this step as one that is finished; every process calls it."""
        self.is_given_up = self._is_stopping = True

    def end_step(self) -> None:
        """Count the step, log when that is due, and agree whether to go on."""
        if not self._record.is_accepted:
            self._record.accept(self.step, is_main=self.is_main)
        self.step += 1
        if self.step % self.config.log_every == 0 or self.step == self.config.steps:
            self._log()
        self._agree_to_stop()

    @property
    def is_save_due(self) -> bool:
        """Whether this step ends with a checkpoint; the last one does."""
        due = self.step % self.config.save_every == 0 or self.step == self.config.steps
        return due or self._is_stopping

    def save(self, samples: Tensor) -> None:
        """Write a checkpoint and a sheet of samples [N, 3, R, R]."""
        self._require_finite({"samples": samples})
        if not self.is_main:
            return
        now = time.monotonic()
        self.seconds += now - self._counted
        self._counted = now
        counters = {"seconds": self.seconds, "fingerprint": self.fingerprint}
        counters["threads"] = torch.get_num_threads()
        keep = self.config.keep_checkpoints
        checkpoint.save(
            self.config.out / "checkpoints", self.step, self._state, counters, keep=keep
        )
        self.save_sheet(samples)
        self.print(f"saved step {self.step}")

    def save_sheet(self, samples: Tensor) -> None:
        """Write only a sheet of samples [N, 3, R, R], a frame of the training film."""
        if not self.is_main:
            return
        sheets = self.config.out / "samples"
        sheets.mkdir(exist_ok=True)
        sheet = sheets / f"{self.images_seen:09d}.png"
        with whole_file(sheet) as partial:  # Half a sheet would leave the film unreadable.
            images.grid(images.to_uint8(samples.cpu()), 8).save(partial, "PNG")

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done, the budget is spent or the run given up; not interrupted."""
        return self.step >= self.config.steps or (self._is_stopping and not self._is_interrupted)

    def _log(self) -> None:
        steps = self.step - self._logged_step
        noted = [total / count for total, count in self._noted.values()]
        noted = list(self.accelerator.reduce(torch.stack(noted), "mean"))
        self._require_finite(dict(zip(self._noted, noted, strict=True)))
        means = {name: float(mean) for name, mean in zip(self._noted, noted, strict=True)}
        now = time.monotonic()
        rate = steps * self.config.batch_size / (now - self._logged_at)
        left = (self.config.steps - self.step) * self.config.batch_size / rate
        memory = psutil.Process().memory_info().rss / 2**30
        if self.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated() / 2**30
        self._noted, self._logged_at, self._logged_step = {}, now, self.step
        if self._writer is None:
            return
        counted = {"step": self.step, "images_seen": self.images_seen}
        self._logged = [*self._logged, _rounded(counted | means)][-LINES_KEPT:]
        if "r_t" in means:  # Of a GAN.
            self.alarm(*doctor.of_log(self._logged))
        figures = {**means, "images_per_second": rate, "memory_gib": memory, **self.alarms.counts}
        try:
            with (self.config.out / LOG).open("a") as log:
                log.write(json.dumps(_rounded(counted | figures)) + "\n")
            for name, value in figures.items():
                self._writer.add_scalar(name, value, self.images_seen)
        except OSError as error:  # A lost log line must not end the run.
            self.print(f"the log could not be written: {error}")
        shown = "  ".join(f"{name} {mean:.3f}" for name, mean in means.items())
        self.print(
            f"step {self.step}/{self.config.steps}  {self.images_seen / 1000:.1f}k images  {shown}"
            f"  {rate:.1f} images/s  {memory:.1f} GiB  ETA {_duration(left)}"
        )

    def _agree_to_stop(self) -> None:
        reasons = [self._signals.has_come, self._is_budget_spent(), self.is_given_up]
        if self.world > 1:  # A process that stops alone would leave the others waiting.
            counts = self.accelerator.reduce(torch.tensor(reasons, device=self.device).float())
            reasons = (counts > 0).tolist()
        self._is_interrupted, self._is_stopping = reasons[0], any(reasons)

    def _require_finite(self, tensors: dict[str, Tensor]) -> None:
        bad = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
        if bad:
            alarm = doctor.not_finite(bad, self.step)
            self.alarm(alarm)
            good = checkpoint.newest(self.config.out / "checkpoints")
            raise FloatingPointError(
                f"{alarm.message}. The last good checkpoint is {good or 'none'}: resume it with a "
                "lower --lr"
            )

    def _is_budget_spent(self) -> bool:
        budget = self.config.budget_seconds
        return budget is not None and time.monotonic() - self._started >= budget

    def _load_data(self) -> tuple[Any, Any]:
        """The images to learn from, and those that are held out."""
        config = self.config
        cache, conditions = config.out / "cache", self.conditions
        data = ImageFolder(
            config.data,
            config.resolution,
            conditions=conditions,
            cache_dir=cache,
            files=config.listed_files(),
        )
        if config.held_out is None:
            return divide(data, self.min_held_out)
        held_out = ImageFolder(config.held_out, config.resolution, cache_dir=cache)
        check_apart(data, held_out)
        return data, held_out

    def _check_data(self, fingerprint: str) -> None:
        if fingerprint != self.fingerprint:
            raise ValueError(
                f"{self.config.out} was trained on other images than {self.config.data} holds now: "
                "restore them, or choose another --out (a version before 0.5 also read other "
                "files and divided repeats: --init-from starts from that run's model)"
            )


def read_log(path: Path, images_seen: int) -> list[dict[str, float]]:
    """The newest lines of a log, without those that a kill has left of steps to be done again."""
    lines: dict[int, dict[str, float]] = {}
    for text in path.read_text().splitlines() if path.is_file() else []:
        with contextlib.suppress(ValueError):  # Cut off by a kill or a full disk.
            line = json.loads(text)
            if line["images_seen"] <= images_seen:
                lines[line["images_seen"]] = line
    return [lines[key] for key in sorted(lines)][-LINES_KEPT:]


def _rounded(line: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in line.items()}


def _is_remodelled(parent: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a network is for more pixels or other conditions than the one it starts from."""
    return parent["resolution"] < asked["resolution"] or parent["c_dim"] != asked["c_dim"]


def _check_settings(parent: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Weights of equal shapes may still be meant for another network."""
    for key in set(settings) - FREE_SETTINGS:
        if not key.startswith("_") and parent.get(key) != settings[key]:
            raise ValueError(f"its {key} is {parent.get(key)!r}, asked is {settings[key]!r}")


def mix(*key: int | str) -> int:
    """A seed for one purpose, unlike sums of its parts; a 0 at the end counts for nothing."""
    numbers = [k if isinstance(k, int) else int.from_bytes(k.encode(), "big") for k in key]
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _duration(seconds: float) -> str:
    minutes = int(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d} h"
