"""Lines that differ in digits only have one shape: what was found out about one of them holds for the others."""

DIGITS = bytes.maketrans(b"123456789", b"000000000")
HEX = bytes.maketrans(b"abcdef123456789", b"000000000000000")  # what an id is made of
SHAPES = 20_000  # so many are remembered
SHAPE_BYTES = 1_000  # of lines up to this length


def shape_of(text: str) -> bytes:
    """Of a line's text."""
    return text.encode(errors="replace").translate(DIGITS)
