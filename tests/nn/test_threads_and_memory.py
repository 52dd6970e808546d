"""How the CPU is used."""

import os
import platform
import subprocess
import sys
import threading

import pytest
import torch

from genmodels.nn.allocator import keep_freed_memory
from genmodels.nn.threads import ELEMENTS_WORTH_A_SECOND_THREAD, threads_for


def test_small_tensors_run_on_one_thread_and_the_setting_comes_back():
    before = torch.get_num_threads()
    with threads_for(ELEMENTS_WORTH_A_SECOND_THREAD - 1):
        assert torch.get_num_threads() == 1
    with threads_for(ELEMENTS_WORTH_A_SECOND_THREAD):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


def test_freed_memory_is_kept_where_the_c_library_allows_it():
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")


def test_two_who_compute_at_once_leave_the_setting_as_it_was():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    second_is_within, first_is_out = threading.Event(), threading.Event()

    def second():
        with threads_for(1):
            second_is_within.set()
            first_is_out.wait(10)

    other = threading.Thread(target=second)
    with threads_for(1):
        other.start()
        assert second_is_within.wait(10)
    first_is_out.set()
    other.join()
    counted = []
    fresh = threading.Thread(target=lambda: counted.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    found = [*counted, torch.get_num_threads()]
    torch.set_num_threads(before)
    assert found == [2, 2]


def test_within_another_it_gives_back_what_that_one_had():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threads_for(1):
        with threads_for(1):
            pass
        within = torch.get_num_threads()
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert (within, after) == (1, 2)


POLICY = "import os; print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"


@pytest.mark.parametrize(
    ("imports", "own", "expected"),
    [
        ("import sys, genmodels", None, "PASSIVE False"),
        ("import sys, genmodels", "ACTIVE", "ACTIVE False"),
        ("import sys, torch, genmodels", None, "None True"),
    ],
)
def test_threads_wait_passively_where_we_come_before_torch(imports, own, expected):
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": own} if own else {}
    out = subprocess.run(
        [sys.executable, "-c", f"{imports}; {POLICY}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == expected
