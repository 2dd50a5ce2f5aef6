"""What a container's processes are children of: a process that is none of bench's. It runs what fake_container/docker hands over.

python daemon.py SOCKET
"""

import json
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

AT_MOST = 1 << 20


def main(path):
    """Until it is killed."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("ready", flush=True)  # noqa: T201  # a test waits for it
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client,), daemon=True).start()


def serve(client):
    """One container, to its end."""
    data, descriptors, _, _ = socket.recv_fds(client, AT_MOST, 2)
    command, variables = json.loads(data)
    output, errors = descriptors
    process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
    threading.Thread(target=pass_on, args=(client, process), daemon=True).start()
    code = process.wait()
    with suppress(OSError):
        client.sendall(str(abs(code)).encode())


def pass_on(client, process):
    """SIGTERM."""
    while client.recv(99):
        process.send_signal(signal.SIGTERM)


main(sys.argv[1])
