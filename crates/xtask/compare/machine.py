"""What a measurement ran on."""
import os
import platform
import subprocess
import sys
from pathlib import Path


def describe():
    """Processor, memory, system and Python of this machine, as far as it tells."""
    info = {}
    for line in text_of("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        info.setdefault(key.strip(), value.strip())
    flags = info.get("flags", "").split()
    memory = [line.split()[1] for line in text_of("/proc/meminfo").splitlines() if line.startswith("MemTotal")]
    release = dict(line.split("=", 1) for line in text_of("/etc/os-release").splitlines() if "=" in line)
    return {
        "processor": info.get("model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "vectors": [flag for flag in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags],
        "memory_bytes": int(memory[0]) * 1024 if memory else None,
        "system": release.get("PRETTY_NAME", platform.platform()).strip('"'),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def text_of(path):
    """A file's text, empty if it is not there."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def output_of(*command):
    """What a command prints, or None if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
