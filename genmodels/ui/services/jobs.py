"""Long jobs that outlive the page that asked for them: who holds the token finds them again.

The token is all that a visitor holds: it cannot be guessed, and what the job makes stays here. A
job that nobody has followed for a while is ended.
"""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from genmodels.ui.server.queues import in_words

TOKEN_BYTES = 24
FOLLOW_SECONDS = 1.0  # How often a follower hears of the job at least.
UNKNOWN = "this training is not known here any more: train again"


class News(NamedTuple):
    """Where a job stands."""

    words: str
    picture: str | None = None  # Path of a preview; None: the one before.
    result: Any = None  # Once it is done.


Work = Callable[[threading.Event], Iterator[News | None]]  # The event asks it to finish early.


class Job:
    """One job, waiting, running or over."""

    def __init__(self, work: Work, seconds: float) -> None:
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.work, self.seconds = work, seconds  # What it does, and how long about.
        self.news = News("")
        self.error: str | None = None
        self.finish = threading.Event()
        self.started: float | None = None
        self.is_over = False
        self.changed = threading.Condition()
        self.follower: object | None = None
        self.left = time.monotonic()  # When the last follower did.

    def tell(self, news: News) -> None:
        """Keep the news for who follows."""
        with self.changed:
            self.news = news._replace(picture=news.picture or self.news.picture)
            self.changed.notify_all()

    def wait(self, known: News) -> None:
        """Until there is other news, but not for long."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_over or self.news is not known, FOLLOW_SECONDS)

    def end(self, error: str | None = None) -> None:
        """Nothing more will come."""
        with self.changed:
            self.is_over, self.error = True, error
            self.changed.notify_all()

    def is_forgotten(self, grace: float) -> bool:
        """Whether it has had no follower for this many seconds."""
        return self.follower is None and time.monotonic() - self.left > grace

    def seconds_left(self) -> float:
        """About how long it will take from now."""
        if self.started is None:
            return self.seconds
        return max(5.0, self.seconds - (time.monotonic() - self.started))


class Line:
    """Jobs that run one after the other, each in a thread of its own."""

    def __init__(
        self,
        max_waiting: int = 8,
        max_kept: int = 64,  # Jobs that are over and can still be asked for.
        grace: float = 60.0,  # Seconds for which a job goes on without a follower.
    ) -> None:
        self.max_waiting, self.max_kept, self.grace = max_waiting, max_kept, grace
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}  # By token, oldest first.
        self._waiting: deque[Job] = deque()
        self._running: Job | None = None

    def submit(self, work: Work, seconds: float) -> str:
        """The token of a new job. Errors: ValueError, in words, when too many wait already."""
        self._drop_forgotten()
        with self._lock:
            if len(self._waiting) >= self.max_waiting:
                when = in_words(self._wait_of(self._waiting[-1]))
                raise ValueError(
                    f"{len(self._waiting)} trainings are waiting already: try again in {when}"
                )
            job = Job(work, seconds)
            self._jobs[job.token] = job
            over = [token for token, known in self._jobs.items() if known.is_over]
            for token in over[: max(0, len(over) - self.max_kept)]:
                del self._jobs[token]
            self._waiting.append(job)
        self._start_next()
        return job.token

    def follow(self, token: Any) -> Iterator[News]:
        """The news of a job until it is over, at least once a second; a new follower replaces it.

        Errors: ValueError for a token of no job, and the job's own.
        """
        job, me = self._find(token), object()
        job.follower = me
        try:
            while job.follower is me:
                over, news = job.is_over, job.news
                is_waiting = job.started is None and not over
                yield News(self._place_of(job)) if is_waiting else news
                if over:
                    if job.error is not None:
                        raise ValueError(job.error)
                    return
                job.wait(news)
            yield job.news._replace(words="Another window shows this training now.")
        finally:
            if job.follower is me:
                job.left, job.follower = time.monotonic(), None

    def finish(self, token: Any) -> None:
        """Ask a job to finish early with its current result; one that has not begun has none."""
        job = self._find(token)
        job.finish.set()
        with self._lock:
            is_waiting = job in self._waiting
            if is_waiting:
                self._waiting.remove(job)
        if is_waiting:
            job.tell(News("Stopped before it began."))
            job.end()

    def result(self, token: Any) -> Any:
        """What a job has made, None as yet. Errors: ValueError for a token of no job."""
        return self._find(token).news.result

    def knows(self, token: Any) -> bool:
        """Whether there is such a job."""
        return isinstance(token, str) and token in self._jobs

    def _find(self, token: Any) -> Job:
        job = self._jobs.get(token) if isinstance(token, str) else None
        if job is None:
            raise ValueError(UNKNOWN)
        return job

    def _wait_of(self, job: Job) -> float:
        """Seconds until a waiting job begins, about."""
        before = [] if self._running is None else [self._running]
        for waiting in self._waiting:
            if waiting is job:
                break
            before.append(waiting)
        return sum(earlier.seconds_left() for earlier in before)

    def _place_of(self, job: Job) -> str:
        with self._lock:
            if job not in self._waiting:
                return "It begins."
            place = self._waiting.index(job) + 1
            return f"Position {place}, {in_words(self._wait_of(job))}."

    def _drop_forgotten(self) -> None:
        with self._lock:
            dropped = [job for job in self._waiting if job.is_forgotten(self.grace)]
            for job in dropped:
                self._waiting.remove(job)
        for job in dropped:
            job.end("the training was dropped: nobody was there to see it")

    def _start_next(self) -> None:
        with self._lock:
            if self._running is not None or not self._waiting:
                return
            self._running = self._waiting.popleft()
            self._running.started = time.monotonic()
        threading.Thread(target=self._run, args=(self._running,), daemon=True).start()

    def _run(self, job: Job) -> None:
        error: str | None = "the training failed: try again"
        try:
            with closing(job.work(job.finish)) as work:  # type: ignore[type-var]
                for news in work:
                    if news is not None:
                        job.tell(news)
                    self._drop_forgotten()
                    if job.is_forgotten(self.grace):
                        error = "the training was stopped: nobody was there to see it"
                        return
            error = None
        except ValueError as refused:
            error = str(refused)
        finally:
            with self._lock:
                self._running = None
            job.end(error)
            self._start_next()
