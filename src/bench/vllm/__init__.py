"""The measured program, from exec to its last process."""
