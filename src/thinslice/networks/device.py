"""The one place that chooses a device and an arithmetic."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from thinslice.errors import UsageError
from thinslice.networks.threads import seeded

# Left to itself, MKL sums in another order when the machine is busy: of 80 short trainings beside another
# program 13 ended with other last bits, of 40 with this none. It is read at MKL's first product.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


def choose_device(name: str = "auto") -> torch.device:
    """The device to compute on: "auto" takes CUDA or MPS where there is one, else the CPU.

    Raises:
        UsageError: USE-DEVICE where the device asked for is not there.
    """
    there = {"cpu": True, "cuda": cuda_is_there(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there.get(name, False):
        raise UsageError(
            "USE-DEVICE",
            f"device {name} is not available here; available: {', '.join(k for k, v in there.items() if v)}",
        )
    return torch.device(name)


def cuda_is_there() -> bool:
    """Whether CUDA can be used: never in a process that was forked after its parent had used it."""
    return torch.cuda.is_available() and not torch.cuda._is_in_bad_fork()


def arithmetic(device: torch.device) -> AbstractContextManager[None]:
    """bf16 autocast where a probe says that it is faster, else fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if _bfloat16_is_faster(device.type) else nullcontext()


def arithmetic_name(device: torch.device) -> str:
    """The number format of the networks' bodies: "bfloat16" or "float32"."""
    return str(arithmetic_type(device)).removeprefix("torch.")


def arithmetic_type(device: torch.device) -> torch.dtype:
    """The number format of the networks' bodies, as PyTorch's type."""
    return torch.bfloat16 if _bfloat16_is_faster(device.type) else torch.float32


def convolution_rate(device: torch.device, dtype: torch.dtype, *, seconds: float) -> float:
    """Floating-point operations a second of a 3 x 3 convolution of 64 channels, forward.

    Args:
        device: that convolves.
        dtype: of images and weights.
        seconds: to measure for.
    """
    layer = torch.nn.utils.skip_init(torch.nn.Conv2d, 64, 64, 3, padding=1, device=device, dtype=dtype)
    layer.to(memory_format=torch.channels_last)
    layer.requires_grad_(False).weight.fill_(0.01)
    images = torch.ones(8, 64, 96, 96, dtype=dtype, device=device).to(memory_format=torch.channels_last)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    with torch.inference_mode():
        layer(images)
        wait()
        began, runs = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < seconds:
            layer(images)
            wait()
            runs += 1
    return 2 * images.numel() * 64 * 9 * runs / spent


@cache
def _bfloat16_is_faster(device_type: str) -> bool:
    """Time the networks' own convolution forwards in both types (about 0.2 s, once a process).

    Neither type wins everywhere: with matrix units bf16 runs several times as fast, with plain
    AVX-512 it runs at 0.6 of fp32's rate.
    """
    if device_type != "cpu":
        return device_type == "cuda"
    times = [_convolution_seconds(half) for half in (False, True)]
    return times[1] < 0.7 * times[0]  # a tie goes to the exact one, and a busy moment must not decide


def _convolution_seconds(half: bool) -> float:
    with seeded(0):
        convolution, x = torch.nn.Conv2d(48, 48, 3, padding=1), torch.randn(8, 48, 16, 64)
    convolution.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = x.to(memory_format=torch.channels_last)
    best = float("inf")
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        if half:
            x = x.bfloat16()
        for _ in range(22):
            start = time.perf_counter()
            convolution(x)
            best = min(best, time.perf_counter() - start)
    return best
