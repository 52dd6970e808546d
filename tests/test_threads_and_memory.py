"""How the CPU is used."""

import platform

import torch

from genmodels.allocator import keep_freed_memory
from genmodels.threads import ELEMENTS_WORTH_A_SECOND_THREAD, threads_for


def test_small_tensors_run_on_one_thread_and_the_setting_comes_back():
    before = torch.get_num_threads()
    with threads_for(ELEMENTS_WORTH_A_SECOND_THREAD - 1):
        assert torch.get_num_threads() == 1
    with threads_for(ELEMENTS_WORTH_A_SECOND_THREAD):
        assert torch.get_num_threads() == before
    assert torch.get_num_threads() == before


def test_freed_memory_is_kept_where_the_c_library_allows_it():
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
