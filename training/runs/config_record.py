"""config.json of a run: its first command decides what the run is, a later one must agree."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from training.runs.disk import read_json, whole_file


class ConfigRecord:
    """The flags of a run's commands, compared when made and written by `accept`.

    ValueError if the folder holds a run with other flags, or its file is damaged.
    """

    def __init__(
        self,
        out: Path,  # The run's folder.
        flags: dict[str, Any],  # Flags of this command.
        defaults: dict[str, Any],  # A flag that has come since: runs did before what these do now.
        *,
        tunable: Collection[str],  # May change; changes are printed and recorded.
        may_change: Collection[str],  # What may change without a word.
        print_line: Callable[[str], None],
    ) -> None:
        self._path = out / "config.json"
        self._flags = _as_json(flags)
        self._changes: list[dict[str, Any]] = []  # To tunable flags, by earlier commands ...
        self._changed: dict[str, list[Any]] = {}  # ... and by this one: before and after.
        self.is_accepted = False  # The flags are those of the folder from now on.
        if not self._path.is_file():
            return
        advice = "restore it, or delete it if this command repeats the flags of the run"
        before, mine = _as_json(defaults) | read_json(self._path, advice), self._flags
        self._changes = before.pop("changes", [])
        for key in sorted(set(before) | set(mine)):
            if before.get(key) == mine.get(key):
                continue
            flag = "--" + key.replace("_", "-")
            if key in tunable:
                print_line(f"{flag} is {mine.get(key)} from here on, it was {before.get(key)}")
                self._changed[key] = [before.get(key), mine.get(key)]
            elif key not in may_change:
                raise ValueError(
                    f"{out} holds a run with {flag} {before.get(key)}, this command "
                    f"has {mine.get(key)}: repeat its flags or choose another --out"
                )

    def accept(self, step: int, *, is_main: bool) -> None:
        """Only once a step was possible: a refused first command leaves nothing to agree with."""
        self.is_accepted = True
        if self._changed:
            self._changes.append({"step": step, **self._changed})
        if is_main:
            flags = self._flags | ({"changes": self._changes} if self._changes else {})
            with whole_file(self._path) as partial:  # Half of it would forbid to resume.
                partial.write_text(json.dumps(flags, indent=1))


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    """As they come back from a file."""
    return dict(json.loads(json.dumps(values, default=str)))
