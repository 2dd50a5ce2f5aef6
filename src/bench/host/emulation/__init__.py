"""Storages that this host does not have, emulated for the length of a start: limits on reads, another read-ahead, a file system in memory."""
