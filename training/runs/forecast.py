"""What a run will cost and roughly how good it can get, before its first step."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor, nn

PROBE_SECONDS = 2.0  # Long enough to be within a fifth of the truth on a quiet machine.

# Images seen -> what to expect of a few thousand photographs at 64 px. Our own runs on cars.
BANDS = [
    (20_000, "noise turning into blobs of the right colours"),
    (60_000, "silhouettes on a ground"),
    (200_000, "recognisable things, soft and without detail"),
    (600_000, "clear things with some detail, some of them bent"),
    (float("inf"), "as good as the data and the size of the networks allow"),
]


@dataclass(frozen=True)
class Forecast:
    """Estimates; the log's own images/s replaces them once the run is under way."""

    images_per_second: float  # Of all processes together.
    seconds: float  # For the steps still to do.
    memory_gib: float  # Of one process, networks, optimizers and activations.
    band: str  # What to expect of the pictures at the end.

    def __str__(self) -> str:
        hours, minutes = divmod(round(self.seconds / 60), 60)
        return (
            f"forecast: {self.images_per_second:.0f} images/s, {hours}:{minutes:02d} h, "
            f"{self.memory_gib:.1f} GiB per process; expect {self.band}"
        )


def forecast(
    G: nn.Module,
    D: nn.Module,
    z: Tensor,  # One micro-batch of latents [n, z_dim], on the device.
    c: Tensor | None,  # Its conditions [n, c_dim]; None for networks without.
    *,
    images_left: int,  # Images still to be seen, by all processes.
    images_at_end: int,  # Images seen when the run is done.
    processes: int = 1,  # Processes that share the batch.
) -> Forecast:
    """Time passes of copies of the networks, so that nothing of the run itself changes.

    One update is a generator pass forward, two discriminator passes forward and back, and one pass
    of both together.
    """
    G, D = copy.deepcopy(G), copy.deepcopy(D)
    arguments = () if c is None else (c,)
    passes, started = 0, time.monotonic()
    while passes == 0 or time.monotonic() - started < PROBE_SECONDS:
        with torch.no_grad():
            fake = G(z, *arguments)
        for _ in range(2):
            D(fake, *arguments).mean().backward()
        D(G(z, *arguments), *arguments).mean().backward()
        if z.device.type == "cuda":
            torch.cuda.synchronize()
        passes += 1
        if passes == 1:  # Allocations and autotuning are not the run's pace.
            started = time.monotonic()
    seconds = (time.monotonic() - started) / max(passes - 1, 1)
    rate = len(z) / seconds * processes
    weights = sum(p.numel() for network in (G, D) for p in network.parameters()) * 4
    # The copies and their gradients stand for the average and Adam's first moment already.
    memory = _memory_in_use(z.device) + weights
    band = next(text for limit, text in BANDS if images_at_end < limit)
    return Forecast(rate, images_left / rate, memory / 2**30, band)


def take_fastest_threads(network: nn.Module, given: Sequence[Tensor]) -> str:
    """Set torch's number of threads to what it is or to one, whichever is faster; in words.

    A copy of the network is timed, with both in turn. Beside other work a second thread may cost
    more than it does.
    """
    network, most = copy.deepcopy(network), torch.get_num_threads()
    seconds = dict.fromkeys((most, 1), 0.0)
    passes = 0
    with torch.random.fork_rng(devices=[]):
        while passes < 2 or sum(seconds.values()) < PROBE_SECONDS:
            for threads in seconds:
                torch.set_num_threads(threads)
                started = time.monotonic()
                network(*given).mean().backward()
                if passes:  # The first has the allocations.
                    seconds[threads] += time.monotonic() - started
            passes += 1
    chosen = min(1, most, key=lambda threads: seconds[threads])
    torch.set_num_threads(chosen)
    faster = seconds[1] / max(seconds[most], 1e-9)
    return (
        f"threads: {chosen}, as {most} are {faster:.2f} times as fast as one at present; "
        f"--threads {chosen} repeats this run to the bit"
    )


def _memory_in_use(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return psutil.Process().memory_info().rss
