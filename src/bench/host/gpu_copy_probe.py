"""How fast do bytes get from host memory into a GPU? A script for the measured environment's interpreter, executed by storage_limit.py.

Prints one JSON object: GiB a second from pinned and from pageable memory; nothing in it where there is no GPU, or no torch that sees it.
"""

import json
import time

SIZE = 256 * 1024**2
TIMES = 8


def copied() -> dict[str, float]:
    """GiB a second, the best of TIMES: the first ones map the memory."""
    import torch

    if not torch.cuda.is_available():
        return {}
    target = torch.empty(SIZE, dtype=torch.uint8, device="cuda")
    pageable = torch.ones(SIZE, dtype=torch.uint8)
    best_s: dict[str, float] = {}
    for name, source in (("pageable_gib_per_s", pageable), ("pinned_gib_per_s", pageable.pin_memory())):
        for _ in range(TIMES):
            torch.cuda.synchronize()
            began_s = time.perf_counter()
            target.copy_(source, non_blocking=True)
            torch.cuda.synchronize()
            best_s[name] = min(best_s.get(name, float("inf")), time.perf_counter() - began_s)
    return {name: SIZE / 1024**3 / seconds for name, seconds in best_s.items()}


def main() -> None:
    """Whatever is broken there, nothing is known."""
    try:
        found = copied()
    except Exception:  # noqa: BLE001
        found = {}
    print(json.dumps(found))  # noqa: T201  # the answer


if __name__ == "__main__":
    main()
