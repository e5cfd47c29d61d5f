"""What holds for every test: set before anything imports torch, and passed on to the processes that tests start."""

from __future__ import annotations

import os

# Some virtual machines advertise AMX and do not run it: a product in bfloat16 on the CPU then kills the process.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")
