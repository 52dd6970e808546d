"""What `accelerate launch` asks for by its configuration: used, contradicted aloud, or refused."""

import os
from collections.abc import Callable

PRECISIONS = ("no", "bf16")
# Ways to train that the loops of these scripts do not know.
_FOREIGN = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism_config",
}


def mixed_precision(flag: str | None, print_line: Callable[[str], None]) -> str:
    """The flag, or accelerate's own configuration without one; a contradiction is told.

    ValueError for what no script can do.
    """
    for variable, name in _FOREIGN.items():
        if os.environ.get(variable, "false").lower() in ("true", "1", "yes"):
            raise ValueError(
                f"accelerate's configuration asks for {name}, which these scripts do not use: "
                "launch them without it, on as many processes as there are GPUs"
            )
    steps = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if steps not in ("", "1", "auto"):
        print_line(
            f"accelerate's gradient_accumulation_steps {steps} does not count: say --accumulate"
        )
    if (backend := os.environ.get("ACCELERATE_DYNAMO_BACKEND", "NO").upper()) != "NO":
        print_line(
            f"accelerate's dynamo_backend {backend} does not count: these networks run uncompiled"
        )
    configured = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower() or "no"
    if flag is None and configured not in PRECISIONS:
        raise ValueError(
            f"accelerate's configuration asks for mixed_precision {configured}; these scripts use "
            f"{' or '.join(PRECISIONS)}: change it, or say --mixed-precision"
        )
    if flag is not None and configured not in ("no", flag):
        print_line(
            f"--mixed-precision {flag} counts, not {configured} of accelerate's configuration"
        )
    return configured if flag is None else flag
