"""What a result depends on beside the code: machine, versions, commit. Collected once per process."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_core import __version__
from bench_core.errors import BenchError
from bench_core.plugins import PluginInfo
from bench_core.seeds import canonical, short_id

PACKAGES = ("torch", "numpy", "scipy", "polars", "pluggy", "pydantic", "torch-fidelity", "torchvision", "safetensors")


def cuda_is_possible() -> bool:
    """Return whether it is worth the seconds of importing torch to ask for a GPU."""
    return sys.platform != "linux" or any(Path("/dev").glob("nvidia[0-9]*"))


def choose_device(device: str) -> str:
    """Return ``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        BenchError: for ``cuda`` where there is none.
    """
    if device == "cpu" or (device == "auto" and not cuda_is_possible()):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise BenchError("--device cuda: PyTorch finds no CUDA device here; use --device cpu, and see `bench doctor`")
    return "cpu"


def torch_facts(device: str) -> dict[str, Any]:
    """Return what the process that computes says of torch, its device and its threads."""
    import torch

    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    if device.startswith("cuda"):
        facts |= {"device": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    return facts


def collect(facts: dict[str, Any], plugins: list[PluginInfo]) -> tuple[str, dict[str, Any]]:
    """Return the environment and its id, the same for the same environment."""
    env = {
        **facts,
        "bench": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "packages": {name: _version(name) for name in PACKAGES},
        "plugins": {info.name: info.version for info in plugins},
        **_git(),
    }
    return short_id(canonical(env)), env


def hardware(env: Mapping[str, Any]) -> str:
    """Return what timings depend on: device, processor, threads, and what PyTorch makes of them."""
    device = env.get("device", "cpu")
    parts = [env.get("cpu", "unknown processor") if device == "cpu" else device]
    if device == "cpu":
        parts += [str(env[name]) for name in ("cpu_capability",) if name in env]
        parts += [f"{env['threads']} thread{'s' if env['threads'] != 1 else ''}"] if "threads" in env else []
    return ", ".join(map(str, [*parts, f"PyTorch {env.get('torch', '?')}"]))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git() -> dict[str, Any]:
    """Return commit and dirtiness of the checkout that the harness runs from; nothing where it is installed."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {"commit": None, "dirty": None}
    commit = _output(root, "rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(_output(root, "status", "--porcelain", "--untracked-files=no"))}


def _output(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
