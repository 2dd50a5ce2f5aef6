"""Many starts: planned, prepared, run block by block, resumed; and what is made of them."""
