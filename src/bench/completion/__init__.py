"""What a shell offers behind `bench` at the tab key: commands, settings by their levels, their values."""
