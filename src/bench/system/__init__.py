"""What every package uses of the operating system: signals, locks, folders, streams."""
