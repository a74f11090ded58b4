"""The device that a command names, looked for once and before any work."""

import re
import warnings

from tokbench.errors import UsageError

__all__ = ["check_device"]

_DEVICE = re.compile(r"cpu|cuda(?::(?P<index>\d+))?")


def check_device(device: str, *, is_here: bool = True) -> None:
    """Raise :class:`UsageError` for what is no device, or for one that is not there.

    ``is_here`` says whether the work is done on this machine; else the name alone is looked at.
    """
    named = _DEVICE.fullmatch(device)
    if named is None:
        msg = f"--device: {device!r} is no device: expected cpu, cuda or cuda:N"
        raise UsageError(msg)
    if device == "cpu" or not is_here:
        return
    num_devices = _num_cuda_devices()
    if num_devices == 0:
        msg = f"--device {device}: no CUDA device here; leave the option out to use the processor"
        raise UsageError(msg)
    if int(named["index"] or 0) >= num_devices:
        names = ", ".join(f"cuda:{index}" for index in range(num_devices))
        msg = f"--device {device}: no such CUDA device here, only {names}"
        raise UsageError(msg)


def _num_cuda_devices() -> int:
    """Return the number of CUDA devices that PyTorch can use."""
    import torch

    with warnings.catch_warnings():  # of an old driver, for one: it counts as no device
        warnings.simplefilter("ignore")
        return torch.cuda.device_count() if torch.cuda.is_available() else 0
