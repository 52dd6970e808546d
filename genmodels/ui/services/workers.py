"""Heavy work in processes of its own, so that the page stays quick and its memory comes back.

A task is a function that yields; `run` yields the same from a process that lives for this task
alone. It computes on one thread, gives way to the page, and may take so much memory and no more.
It comes from a server that has the imports done: 0.05 s instead of 5. Closing the generator ends
the process at once, and a process that dies costs one request.

Between the processes go plain values only: numbers, texts, bytes, paths, and tuples of these.
"""

import atexit
import contextlib
import multiprocessing
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from genmodels import zoo
from genmodels.nn import allocator
from genmodels.ui.services.memory import POLL_SECONDS, Budget

# With the page's own process (0.5 GB), the server of processes (0.4 GB) and what an upload takes
# while it is decoded, all stays below 3 GB.
BUDGET = Budget(1800)
MAX_SECONDS = 900.0  # Time limit of any task.
TRIM_SECONDS = 20.0
NICENESS = int(os.environ.get("GENMODELS_NICENESS", "10"))  # Niceness of a task; the page has 0.
IMPORTED = [
    "gradio",
    "genmodels.doctor.dataset",
    "genmodels.pipelines.pipeline_autoencoder",
    "genmodels.pipelines.pipeline_patches",
    "genmodels.pipelines.pipeline_pix2pix",
    "genmodels.pipelines.pipeline_singan",
    "genmodels.pipelines.pipeline_stylegan2",
]
HAS_SERVER = "forkserver" in multiprocessing.get_all_start_methods()
CONTEXT: Any = multiprocessing.get_context("forkserver" if HAS_SERVER else "spawn")

TOO_LARGE = "that takes more memory than there is here: ask for a smaller picture"
BROKEN_OFF = "the work broke off before it was done: try again, or ask for less"

finishing = threading.Event()  # In a task's process: set to make it finish early.

_running: set[Any] = set()


def run(
    task: Callable[..., Iterator[Any]],  # A module's own function.
    *arguments: Any,
    megabytes: int,  # What it may take, beside what is imported.
    niceness: int = NICENESS,  # How far it gives way to others, 0 to 19.
    finish: threading.Event | None = None,  # Set it, and `finishing` is set for the task.
) -> Iterator[Any]:
    """What the task yields, and None about twice a second while it computes or waits for memory.

    Errors: a ValueError of the task's; a ValueError that says so when its process died, took more
    memory or longer than it may, or failed, which the log then tells of.
    """
    with BUDGET.share(megabytes) as share:
        yield from share.wait()
        ours, theirs = CONTEXT.Pipe()
        settings = (megabytes, niceness, get_upload_folder(), str(zoo.FOLDER))
        process = CONTEXT.Process(target=_work, args=(theirs, settings, task, arguments))
        with ours:
            with theirs:
                _start(process)
            try:
                yield from _received(ours, process, finish)
            finally:
                process.kill()
                process.join()
                _running.discard(process)
                process.close()


def result(task: Callable[..., Iterator[Any]], *arguments: Any, megabytes: int) -> Any:
    """What the task yields last. Errors: as of `run`."""
    *_, last = run(task, *arguments, megabytes=megabytes)
    return last


def start_server() -> None:
    """Start the process that others come from, if it is not there; it imports what they need."""
    if HAS_SERVER:
        from multiprocessing import forkserver

        CONTEXT.set_forkserver_preload(IMPORTED)
        forkserver.ensure_running()


def keep_ready() -> None:
    """Have the server of processes there before it is needed; then give freed memory back for ever.

    What a large request took stays with the C library otherwise.
    """
    allocator.return_freed_memory()
    start_server()
    while True:
        time.sleep(TRIM_SECONDS)
        allocator.trim()


def _start(process: Any) -> None:
    try:
        start_server()
        process.start()
    except (EOFError, OSError) as error:  # The server was killed; there is another next time.
        raise ValueError(BROKEN_OFF) from error
    _running.add(process)


def _received(pipe: Connection, process: Any, finish: threading.Event | None) -> Iterator[Any]:
    end = time.monotonic() + MAX_SECONDS
    is_told = False
    while True:
        if finish is not None and finish.is_set() and not is_told:
            with contextlib.suppress(OSError):  # It is over already.
                pipe.send("finish")
            is_told = True
        if not pipe.poll(POLL_SECONDS):
            if time.monotonic() > end:
                raise ValueError(f"it was ended: it took more than {MAX_SECONDS:.0f} s")
            yield None
            continue
        try:
            kind, value = pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            process.join(1)  # It may be telling the log why.
            raise ValueError(BROKEN_OFF) from error
        if kind == "done":
            return
        if kind == "refused":
            raise ValueError(value)
        yield value


def _work(
    pipe: Connection,
    settings: tuple[int, int, str, str],
    task: Callable[..., Iterator[Any]],
    arguments: tuple[Any, ...],
) -> None:
    """In the task's process."""
    megabytes, niceness, folder, models = settings
    os.environ["GRADIO_TEMP_DIR"], zoo.FOLDER = folder, Path(models)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The page's process ends this one.
    if hasattr(os, "nice"):
        os.nice(niceness)
    import torch

    torch.set_num_threads(1)
    threading.Thread(target=_listen, args=(pipe,), daemon=True).start()
    _limit_memory(megabytes)
    try:
        for value in task(*arguments):
            pipe.send(("yielded", value))
        pipe.send(("done", None))
    except ValueError as error:
        pipe.send(("refused", str(error)))
    except MemoryError:
        pipe.send(("refused", TOO_LARGE))
    except RuntimeError as error:  # Torch's, when there is no more memory.
        if "allocate memory" not in str(error):
            raise
        pipe.send(("refused", TOO_LARGE))


def _listen(pipe: Connection) -> None:
    """Hear that it is to finish; end with the page's process, however that ends."""
    try:
        while True:
            pipe.recv()
            finishing.set()
    except (EOFError, OSError):
        os._exit(1)


def _limit_memory(megabytes: int) -> None:
    """Make it an error to take more, where the system can."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return
    import resource

    match = re.search(r"VmData:\s+(\d+) kB", status.read_text())
    if match is not None:
        limit = (int(match[1]) << 10) + (megabytes << 20)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


@atexit.register
def _end_all() -> None:
    for process in list(_running):
        process.kill()
