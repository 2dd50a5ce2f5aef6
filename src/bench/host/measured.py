"""Where vLLM will run: the device, the measured environment, and what vLLM must be told because of them."""

from dataclasses import dataclass
from functools import cache

from bench.config import Settings
from bench.host.environment import Device, compiler, find_device, interpreter, measured_versions
from bench.host.needs import Needs, needs_of


@dataclass(frozen=True)
class Host:
    """What one start runs on. `versions` are those of the measured environment: vllm is always among them."""

    device: Device
    python: str
    versions: dict[str, str]
    needs: Needs


def look_at_host(settings: Settings) -> Host:
    """Find the device and the measured vLLM; each is asked once in a process.

    Raises:
        SettingError: the interpreter has no vLLM, or this device cannot hold the ranks.
    """
    device = _device()
    python = interpreter(settings.vllm.python)
    return Host(device, python, _versions(python), needs_of(settings, device, compiler()))


_device = cache(find_device)
_versions = cache(measured_versions)
