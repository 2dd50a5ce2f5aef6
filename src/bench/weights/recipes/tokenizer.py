"""A byte-level tokenizer, in the files that transformers reads."""

from typing import Any

SPECIAL = {"<|begin|>": 256, "<|end|>": 257, "<|pad|>": 258}
SPECIAL_IDS = {"bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 258}  # as config.json has them


def tokenizer(vocab_size: int) -> dict[str, Any]:
    """tokenizer.json of a byte-level BPE without merges: a token for each byte, and a name for every other id that can be drawn."""
    vocab = {symbol: byte for byte, symbol in enumerate(byte_symbols())} | SPECIAL
    vocab |= {f"<|{number}|>": number for number in range(len(vocab), vocab_size)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": content, **special} for content, number in SPECIAL.items()],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }


def byte_symbols() -> list[str]:
    """The printable stand-in of each byte in byte-level BPE.

    Source: bytes_to_unicode in GPT-2's encoder; transformers keeps the same table.
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    spare = iter(range(256, 512))
    return [chr(byte if byte in printable else next(spare)) for byte in range(256)]


def tokenizer_config(max_positions: int) -> dict[str, Any]:
    """tokenizer_config.json."""
    begin, end, pad = SPECIAL
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": begin,
        "eos_token": end,
        "pad_token": pad,
        "model_max_length": max_positions,
        "clean_up_tokenization_spaces": False,
    }
