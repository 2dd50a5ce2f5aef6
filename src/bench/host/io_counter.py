"""What a process or a thread has read from storage so far, by the kernel's own count.

`read_bytes` counts what came from the device: page faults of a mapping, buffered reads that missed the page cache, and
O_DIRECT; what the cache served is not in it.

Source: proc(5). The file may be read by the same user, or by root.
"""

import re

READ_BYTES = re.compile(rb"^read_bytes: (\d+)$", re.MULTILINE)


def storage_bytes(text: bytes) -> int | None:
    """The counter in the text of /proc/PID/io; None: this kernel does not count."""
    found = READ_BYTES.search(text)
    return int(found[1]) if found else None
