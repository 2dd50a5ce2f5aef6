"""Random-weight checkpoints, made here: real work for every loader, and the same bytes on every host.

    tensor.py     one tensor: name, shape, type, and its values, drawn in pieces that depend on nothing but the seed and its name
    llama.py      config and tensors of a Llama          gpt_oss.py  of a gpt-oss
    tokenizer.py  a byte-level tokenizer for any of them
    write.py      a recipe -> a checkpoint

A family is one file with `config(recipe)` and `tensors(recipe)`, its line in write.FAMILIES, and its recipe's schema in
bench.config. Nothing here needs torch, a hub or a GPU.
"""
