"""`python app.py` as a child process, among files that must not change."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parents[2]
SECRETS = {"HF_TOKEN": "hf_CanaryCanaryCanaryCanaryCanary", "CANARY_SETTING": "canary-5f0c2e91"}
START_SECONDS = 900  # A busy machine takes its time.


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """The running app: its address, its folders, its log, and what it takes of the machine.

    base/work is Gradio's folder, base/tmp is for temporary files, base/canary must stay as it is.
    """

    def __init__(self, base: Path, port: int | None = None, source: Path = ROOT):
        self.base, self.source = base, source
        self.work, self.canary, self.log = base / "work", base / "canary", base / "log.txt"
        for folder in (self.work, self.canary, base / "tmp", base / "home"):
            folder.mkdir(parents=True)
        (self.canary / "kept.txt").write_text("This file must not change.\n")
        self.port = port or free_port()
        with socket.socket() as probe:  # Somebody else's app would answer in its place.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", self.port))
        self.address = f"http://127.0.0.1:{self.port}"
        environment = {
            **os.environ, **SECRETS,
            "GRADIO_SERVER_PORT": str(self.port), "GRADIO_TEMP_DIR": str(self.work),
            "TMPDIR": str(base / "tmp"), "HOME": str(base / "home"), "HF_HUB_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(source),
        }  # fmt: skip
        environment.pop("GRADIO_SERVER_NAME", None)
        with self.log.open("w") as log:
            command = [sys.executable, "app.py"]
            self.process = subprocess.Popen(
                command, cwd=source, env=environment, stdout=log, stderr=log
            )
        try:
            self._wait()
            self.before = self.snapshot()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and its children if it leaves any."""
        processes = self.processes()
        self.process.terminate()
        psutil.wait_procs(processes, timeout=20)
        for process in processes:
            if process.is_running():
                process.kill()
        self.process.wait(timeout=20)

    def _wait(self) -> None:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(f"{self.address}/config", timeout=10).raise_for_status()
                if self.process.poll() is None:
                    return
                raise RuntimeError(f"the app ended: {self.log.read_text()}")
            except httpx.HTTPError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"the app did not start: {self.log.read_text()}") from None
                time.sleep(0.2)

    def secrets(self) -> list[str]:
        """Texts that are its own affair: paths, settings, what files of the machine hold."""
        paths = [f"{self.source}/", str(self.canary), sys.prefix, f"{Path.home()}/."]
        return [*paths, *SECRETS.values(), "root:x:0:", "HF_HUB_OFFLINE", "Traceback (most recent"]

    def snapshot(self) -> dict[str, str]:
        """What lies outside the work folder: the canary, the app's own code, all around them."""
        code = (self.source / "genmodels").rglob("*")
        # Other tests compile the code meanwhile; the app is told not to.
        own = [self.source / "app.py", *(p for p in code if "__pycache__" not in p.parts)]
        apart = {self.work, self.base / "tmp", self.base / "home", self.log}  # Home: for libraries.
        around = [path for top in self.base.iterdir() if top not in apart for path in walk(top)]
        return {str(path): _state(path) for path in (*own, *around)}

    def changed(self) -> list[str]:
        """Which of it changed since the last time that this was asked."""
        now, before = self.snapshot(), self.before
        self.before = now
        return [path for path in now | before if now.get(path) != before.get(path)]

    def processes(self) -> list[psutil.Process]:
        """The app and all that it started."""
        try:
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def memory_mb(self) -> float:
        """Memory of all its processes, in MB; what they share counts once."""
        total = 0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_full_info().pss
        return total / 1e6

    def measure(self) -> dict[str, float]:
        """Memory in MB, threads, open files, children, and files in the work and temp folders."""
        found = {"rss_mb": 0.0, "pss_mb": 0.0, "threads": 0.0, "fds": 0.0}
        processes = self.processes()
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                memory = process.memory_full_info()
                found["rss_mb"] += memory.rss / 1e6
                found["pss_mb"] += memory.pss / 1e6
                found["threads"] += process.num_threads()
                found["fds"] += process.num_fds()
        kept = [path for top in (self.work, self.base / "tmp") for path in walk(top)]
        sizes = []
        for path in kept:
            with contextlib.suppress(FileNotFoundError):  # Swept meanwhile.
                sizes.append(path.lstat().st_size)
        found |= {"children": len(processes) - 1, "entries": len(kept) - 2}
        return found | {"disk_mb": sum(sizes) / 1e6}


def end_tidily() -> None:
    """Let a terminated harness end its app, too: `timeout` sends SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def walk(top: Path) -> list[Path]:
    """The folder and all in it; what vanishes meanwhile is left out."""
    return [top, *(Path(at) / name for at, dirs, files in os.walk(top) for name in (*dirs, *files))]


def _state(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return "link" if path.is_symlink() else "folder"
    if path.stat().st_size > 100_000:  # Weights: the time of the last change will do.
        return f"{path.stat().st_size} {path.stat().st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()
