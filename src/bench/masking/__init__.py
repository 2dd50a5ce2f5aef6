"""Masks secrets: what is registered as one, or looks like one, is `***` in every text that is printed, written or sent.

By value: whatever stands behind a secret's name in the environment, on the command line or in the settings is registered once in this
process, in every usual spelling. By form: URLs with a password, `Authorization` headers, `name=value` behind a secret's name, private keys,
tokens of known shapes. The values that vLLM gets are unchanged; only output is masked.
"""

from bench.masking.collect import collect_environment, collect_settings, collect_value, collect_words
from bench.masking.files import mask_file, private, seal
from bench.masking.names import MASK, is_secret_name
from bench.masking.texts import mask_bytes, masked, masked_json, masked_tree, masked_value

__all__ = [
    "MASK",
    "collect_environment",
    "collect_settings",
    "collect_value",
    "collect_words",
    "is_secret_name",
    "mask_bytes",
    "mask_file",
    "masked",
    "masked_json",
    "masked_tree",
    "masked_value",
    "private",
    "seal",
]
