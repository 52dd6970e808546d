"""Work in processes of its own: what comes back, how it ends, and what it may take."""

import os
import signal
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from genmodels import zoo
from genmodels.ui.services import workers
from genmodels.ui.services.memory import Budget

ROOM = 200  # Megabytes.


def counted(count):
    for number in range(count):
        yield number, os.getpid()


def refused():
    yield 1
    raise ValueError("psi must be small")


def broken():
    yield 1
    raise KeyError("ours")


def endless(path):
    while True:
        Path(path).write_text(str(os.getpid()))
        yield os.getpid()
        time.sleep(0.05)


def greedy(megabytes):
    yield len(np.ones(megabytes << 20, dtype=np.uint8))


def of_torch(megabytes):
    import torch

    yield len(torch.ones(megabytes << 20, dtype=torch.uint8))


def patient():
    yield "begun"
    while not workers.finishing.wait(0.05):
        yield "at it"
    yield "finished"


def surroundings():
    import torch

    yield str(zoo.FOLDER), os.environ["GRADIO_TEMP_DIR"], torch.get_num_threads(), os.nice(0)


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_what_a_task_yields_comes_from_another_process_that_is_gone_then():
    made = [one for one in workers.run(counted, 3, megabytes=ROOM) if one is not None]
    assert [number for number, _ in made] == [0, 1, 2]
    (pid,) = {pid for _, pid in made}
    assert pid != os.getpid()
    assert not is_there(pid)
    assert workers.BUDGET.free == workers.BUDGET.megabytes


def test_a_task_has_the_settings_of_the_page_one_thread_and_gives_way(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "zoo")
    *_, made = workers.run(surroundings, megabytes=ROOM, niceness=3)
    assert made == (str(tmp_path / "zoo"), str(tmp_path), 1, os.nice(0) + 3)


def test_what_a_task_refuses_is_refused_in_its_words():
    with pytest.raises(ValueError, match="psi must be small"):
        list(workers.run(refused, megabytes=ROOM))


def test_a_task_that_fails_costs_one_request():
    with pytest.raises(ValueError, match="broke off"):
        list(workers.run(broken, megabytes=ROOM))
    assert workers.result(counted, 1, megabytes=ROOM)[0] == 0


def test_a_killed_process_costs_one_request(tmp_path):
    work = workers.run(endless, str(tmp_path / "pid"), megabytes=ROOM)
    pid = next(one for one in work if one is not None)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ValueError, match="broke off"):
        list(work)
    assert workers.result(counted, 1, megabytes=ROOM)[0] == 0


def test_closing_ends_the_work(tmp_path):
    with closing(workers.run(endless, str(tmp_path / "pid"), megabytes=ROOM)) as work:
        pid = next(one for one in work if one is not None)
        assert is_there(pid)
    assert not is_there(pid)
    assert workers.BUDGET.free == workers.BUDGET.megabytes


def test_a_task_is_asked_to_finish():
    finish = threading.Event()
    made = []
    for one in workers.run(patient, megabytes=ROOM, finish=finish):
        finish.set()
        made.append(one)
    assert made[-1] == "finished"


@pytest.mark.parametrize("task", [greedy, of_torch])
def test_a_task_takes_its_share_of_memory_and_no_more(task):
    assert workers.result(task, ROOM // 2, megabytes=ROOM) == ROOM // 2 << 20
    with pytest.raises(ValueError, match="more memory"):
        list(workers.run(task, 2 * ROOM, megabytes=ROOM))


def test_nothing_is_begun_that_no_budget_holds():
    with pytest.raises(ValueError, match="smaller picture"):
        next(workers.run(counted, 1, megabytes=workers.BUDGET.megabytes + 1))


def test_who_asks_for_memory_first_has_it_first():
    budget = Budget(100)
    with budget.share(60) as first:
        assert list(first.wait()) == []
        with budget.share(50) as second, budget.share(10) as third:
            for share in (second, third):  # There is room for the third, but it came later.
                with pytest.raises(ValueError, match="try again"):
                    list(share.wait(0.01))
        assert budget.free == 40
    assert budget.free == 100


def test_memory_that_comes_back_is_granted():
    budget = Budget(100)
    with budget.share(100) as first:
        list(first.wait())
        second = budget.share(30)
        waiting = second.__enter__()
    assert list(waiting.wait()) == []
    assert budget.free == 70
    second.__exit__(None, None, None)
