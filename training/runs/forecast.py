"""What a run will cost and roughly how good it can get, before its first step."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor, nn

PROBE_SECONDS = 2.0  # Long enough to be within a fifth of the truth on a quiet machine.

# What to expect of a run of fewer images than a limit; the last limit is infinite.
Expectations = Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Forecast:
    """Estimates; the log's own images/s replaces them once the run is under way."""

    images_per_second: float  # Over all processes.
    seconds: float  # For the steps still to do.
    memory_gib: float  # Per process: networks, optimizers and activations.
    expectation: str | None  # Expected quality of the result.

    def __str__(self) -> str:
        hours, minutes = divmod(round(self.seconds / 60), 60)
        return (
            f"forecast: {self.images_per_second:.0f} images/s, {hours}:{minutes:02d} h, "
            f"{self.memory_gib:.1f} GiB per process"
            + (f"; expect {self.expectation}" if self.expectation else "")
        )


def forecast(
    update: Callable[..., None],  # Passes, back included, of one micro-batch through the networks.
    *networks: nn.Module,  # Those that are trained; `update` takes copies of them.
    images_per_update: int,  # Over all processes.
    images_left: int,  # Images still to be seen, by all processes.
    images_at_end: int,  # Images seen when the run is done.
    expectations: Expectations = (),  # What to expect of the result.
) -> Forecast:
    """Time passes of copies of the networks, so that nothing of the run itself changes."""
    copies = [copy.deepcopy(network) for network in networks]
    device = next(parameter.device for parameter in copies[0].parameters())
    passes, started = 0, time.monotonic()
    with torch.random.fork_rng():
        while passes == 0 or time.monotonic() - started < PROBE_SECONDS:
            update(*copies)
            if device.type == "cuda":
                torch.cuda.synchronize()
            passes += 1
            if passes == 1:  # Allocations and autotuning are not the run's pace.
                started = time.monotonic()
    rate = images_per_update * max(passes - 1, 1) / (time.monotonic() - started)
    weights = sum(p.numel() for network in copies for p in network.parameters()) * 4
    # The copies and their gradients stand for the average and Adam's first moment already.
    memory = _memory_in_use(device) + weights
    expectation = next((text for limit, text in expectations if images_at_end < limit), None)
    return Forecast(rate, images_left / rate, memory / 2**30, expectation)


def take_fastest_threads(network: nn.Module, given: Sequence[Tensor]) -> str:
    """Set torch's number of threads to one if that is faster; return a message.

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
