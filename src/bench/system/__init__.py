"""What every package uses of the operating system: signals, processes, locks, folders, streams."""
