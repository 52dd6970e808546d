"""Threads of torch that wait for work let others compute: import this before torch.

By default a waiting thread spins, and so takes the core from the one that it waits for: on a busy
machine a training with two threads made no image in 37 s, and 30 a second so. OpenMP reads this
once, when torch comes; where torch came before, nothing is pretended.
"""

import os
import sys

if "torch" not in sys.modules:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
