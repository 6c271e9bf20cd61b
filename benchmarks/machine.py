"""On what machine, and with which libraries, a benchmark ran."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cmpc.processes import usable_cores

LIBRARIES = ("torch", "numpy", "opencv-python-headless", "onnxruntime", "openvino", "pydensecrf2")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Those that decide how fast fp32, bf16 and int8 are on a processor of this kind."""


def describe_machine() -> dict[str, str]:
    """What a reader needs to judge the figures."""
    info = _cpu_info()
    flags = set(info.get("flags", "").split())
    found = [name for name in INSTRUCTIONS if name in flags]
    libraries = ", ".join(f"{name} {number}" for name in LIBRARIES if (number := _version(name)))
    return {
        "processor": info.get("model name", platform.processor() or platform.machine()),
        "usable cores": str(usable_cores()),
        "instructions": ", ".join(found) if flags else "not known",
        "missing instructions": ", ".join(name for name in INSTRUCTIONS if flags and name not in flags),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "threads": os.environ.get("OMP_NUM_THREADS", "one for each core"),
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "libraries": libraries,
    }


def busy_warning() -> str | None:
    """A sentence when other programs are at work on this machine."""
    load, cores = os.getloadavg()[0], usable_cores()
    if load < 0.3 * cores:
        return None
    return (
        f"The machine is busy: its load was {load:.1f} on {cores} cores before the benchmark began. "
        "Seconds are too long; ratios suffer less."
    )


def _cpu_info() -> dict[str, str]:
    """The first processor of ``/proc/cpuinfo``; empty on other systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
