"""Whose socket answers at a port of 127.0.0.1."""

import os
import socket

import pytest

from bench.vllm.listener import is_elsewhere


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104  # as a user's own host argument may have it
def test_a_port_is_ours_if_one_of_our_processes_listens_on_it(address):
    """And somebody else's if none does."""
    with socket.create_server((address, 0)) as listening:
        port = listening.getsockname()[1]

        assert not is_elsewhere(port, [os.getpid()])
        assert is_elsewhere(port, [os.getppid()])


def test_another_address_does_not_matter():
    """Who listens there is not who was asked."""
    with socket.create_server(("127.0.0.2", 0)) as listening:
        assert not is_elsewhere(listening.getsockname()[1], [os.getppid()])


def test_a_port_where_nobody_is_seen_is_not_called_somebody_elses():
    """Some hosts show no sockets; the key decides then."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

    assert not is_elsewhere(port, [])
