"""Whether two ways to load a model gave the same weights: what a verification start found, and the verdict on two. Pure.

A fingerprint holds a checksum of every parameter and persistent buffer of every rank, taken before weights are processed,
so that it does not depend on kernels; and greedy tokens with their log-probabilities, which do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, TypeAdapter

from bench.vllm.greedy import GreedyAnswer
from bench.vllm.probe_report import RankSums, TensorSum

Delivered = tuple[int, int]  # tensors, bytes
NAMED = 3  # parameters named in a message; all of them are in fingerprint.json


class VerdictKind(StrEnum):
    """What is known of two loads, from the strongest to the weakest; files and tags have the values."""

    BITWISE = "bitwise"
    OUTPUTS = "outputs"  # the same greedy tokens and log-probabilities
    SAME_FILES = "same_files"
    UNVERIFIED = "unverified"
    FAILED = "FAILED"
    DUMMY = "dummy"  # one of them has made-up weights


class TensorKey(NamedTuple):
    """A tensor of one rank."""

    rank: str  # TP0
    name: str  # model.layers.0.mlp.down_proj.weight


def _key(written: Any) -> Any:
    """Of JSON: a pair, or `TP0 model.norm.weight` as an earlier bench wrote it."""
    return TensorKey(*written.split(" ", 1)) if isinstance(written, str) and " " in written else written


TensorKeys = tuple[Annotated[TensorKey, BeforeValidator(_key)], ...]
Pair = tuple[TensorKey, TensorSum | None, TensorSum | None]  # the tensor, the baseline's sum, the candidate's


@dataclass(frozen=True)
class Fingerprint:
    """What a verification start found. `made_from` is what it holds for: checkpoint, load format, sizes, versions."""

    key: str
    made_from: dict[str, Any]
    outputs_from: str  # a digest of all else that tokens depend on
    ranks: dict[str, RankSums]
    answers: tuple[GreedyAnswer, ...]
    again: tuple[GreedyAnswer, ...]  # the same prompts a second time, or in a second start
    delivered: dict[str, Delivered]  # to each rank
    unstable: TensorKeys = ()  # differ between two equal loads, as padding does
    loads: int = 1
    unsummed: tuple[str, ...] = ()  # ranks of which no checksum is known
    content: str | None = None  # digest of every byte of the files; None: there are no files here, or they went away

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def from_json(tree: Any) -> Fingerprint:
    """What `as_json` wrote.

    Raises:
        ValueError: it was written by another release of bench, or by nobody.
    """
    return TypeAdapter(Fingerprint).validate_python(tree)


@dataclass(frozen=True)
class Verdict:
    """What is known of a point's weights against its baseline's, why, and every tensor that differs."""

    kind: VerdictKind
    why: str
    differing: tuple[TensorKey, ...] = ()


def merged(first: Fingerprint, second: Fingerprint) -> Fingerprint:
    """Two equal loads as one fingerprint: what differs between them is unstable, and enters no verdict."""
    keys = [key for key, one, other in _pairs(first, second) if one != other]
    return replace(
        first,
        unstable=tuple(sorted({*first.unstable, *keys})),
        again=second.answers,
        loads=first.loads + 1,
        unsummed=tuple(sorted({*first.unsummed, *second.unsummed})),
    )


def judge(baseline: Fingerprint, candidate: Fingerprint) -> Verdict:
    """The verdict on two verification starts that differ in their load format alone.

    Only the baseline decides what is padding: a candidate whose own loads differ where the baseline's do not is not excused.
    """
    unstable = set(baseline.unstable)
    pairs = [pair for pair in _pairs(baseline, candidate) if pair[0] not in unstable]
    comparable = [(key, one, other) for key, one, other in pairs if one and other and one.digest and other.digest]
    differing = [
        key
        for key, one, other in comparable
        if (one.dtype, one.shape) == (other.dtype, other.shape)
        and (one.digest != other.digest or key in candidate.unstable)
    ]
    diverges = first_divergence(baseline.answers, candidate.answers)
    if differing:
        return _failed(f"{_listed(differing)} differ from the baseline's", diverges, differing)
    unmatched = [key for key, one, other in pairs if not _same(one, other)]
    unsummed = sorted({*baseline.unsummed, *candidate.unsummed, *(baseline.ranks.keys() ^ candidate.ranks.keys())})
    if unsummed:
        return _judge_outputs(baseline, candidate, f"there are no checksums of {', '.join(unsummed)} in both", diverges)
    if comparable and not unmatched:
        why = f"{len(comparable)} tensors on {len(baseline.ranks)} rank(s) are bit for bit the baseline's"
        return Verdict(VerdictKind.BITWISE, _and_tokens(why + _left_out(sorted(unstable)), diverges))
    if lost := _lost(pairs, unmatched):
        return _failed(f"{_listed(lost)} are missing, all others are bit for bit the baseline's", diverges, lost)
    why = "there are no checksums"
    if unmatched:
        why = f"checksums cannot be compared: {_listed(unmatched)} are not in both, or have another type, shape or no checksum"
    return _judge_outputs(baseline, candidate, why, diverges)


def _failed(why: str, diverges: tuple[int, int] | None, differing: list[TensorKey]) -> Verdict:
    return Verdict(VerdictKind.FAILED, _and_tokens(why, diverges), (*differing,))


def _left_out(unstable: list[TensorKey]) -> str:
    if not unstable:
        return ""
    return f", {len(unstable)} left out that differ between two loads of the baseline: {_listed(unstable)}"


def _lost(pairs: list[Pair], unmatched: list[TensorKey]) -> list[TensorKey]:
    """Tensors that the candidate lacks, where it has nothing else in their stead: a load that renames or converts tensors has.

    A rank without any checksum has lost nothing: it is not known.
    """
    summed = {key.rank for key, one, other in pairs if one and other}
    lost = [key for key, one, other in pairs if one and not other and key.rank in summed]
    return lost if lost == unmatched else []


def _judge_outputs(
    baseline: Fingerprint, candidate: Fingerprint, why: str, diverges: tuple[int, int] | None
) -> Verdict:
    """Checksums cannot be compared, for the reason `why`, so the tokens are, where nothing else decides them."""
    if not baseline.answers or not candidate.answers or baseline.outputs_from != candidate.outputs_from:
        return Verdict(VerdictKind.UNVERIFIED, f"{why}, and neither can tokens: they were made with other settings")
    if diverges:
        return Verdict(VerdictKind.FAILED, _and_tokens(why, diverges))
    for whose, each in (("the baseline", baseline), ("this load format", candidate)):
        if each.again and first_divergence(each.answers, each.again):
            return Verdict(VerdictKind.UNVERIFIED, f"{why}; two equal requests to {whose} gave different greedy tokens")
    spread, far = spread_of(baseline.answers, baseline.again), spread_of(baseline.answers, candidate.answers)
    if spread is None or far is None:
        return Verdict(
            VerdictKind.UNVERIFIED, f"{why}; the greedy tokens are equal, but they come without log-probabilities"
        )
    if far > spread:
        return Verdict(
            VerdictKind.UNVERIFIED,
            f"{why}; the greedy tokens are equal, but their log-probabilities differ by {far:.3g}, the baseline's own by {spread:.3g}",
        )
    count = sum(len(answer.tokens) for answer in candidate.answers)
    return Verdict(VerdictKind.OUTPUTS, f"{why}; the same {count} greedy tokens, log-probabilities within {spread:.3g}")


def spread_of(one: Iterable[GreedyAnswer], other: Iterable[GreedyAnswer]) -> float | None:
    """The largest difference of two log-probabilities of the same token, in nats. None: some are missing, or tokens differ."""
    found = 0.0
    answers, others = list(one), list(other)
    if not answers or [each.tokens for each in answers] != [each.tokens for each in others]:
        return None
    for first, second in zip(answers, others, strict=True):
        if len(first.logprobs) != len(second.logprobs) or None in (*first.logprobs, *second.logprobs):
            return None
        for a, b in zip(first.logprobs, second.logprobs, strict=True):
            assert a is not None
            assert b is not None
            found = max(found, abs(a - b))
    return found


def first_divergence(one: Iterable[GreedyAnswer], other: Iterable[GreedyAnswer]) -> tuple[int, int] | None:
    """Prompt and token, from 1, of the first that differs. None: none, or there is nothing to compare."""
    for prompt, (first, second) in enumerate(zip(one, other, strict=False), 1):
        tokens = max(len(first.tokens), len(second.tokens))
        for place in range(tokens):
            if first.tokens[place : place + 1] != second.tokens[place : place + 1]:
                return prompt, place + 1
    return None


def _and_tokens(why: str, diverges: tuple[int, int] | None) -> str:
    if diverges is None:
        return why
    prompt, token = diverges
    return f"{why}; greedy tokens differ from token {token} of prompt {prompt} on"


def _pairs(one: Fingerprint, other: Fingerprint) -> Iterator[Pair]:
    """Every tensor of either, by rank and name."""
    for rank in sorted(one.ranks.keys() | other.ranks.keys()):
        first = one.ranks[rank].tensors if rank in one.ranks else {}
        second = other.ranks[rank].tensors if rank in other.ranks else {}
        for name in dict.fromkeys([*first, *second]):
            yield TensorKey(rank, name), first.get(name), second.get(name)


def _same(one: TensorSum | None, other: TensorSum | None) -> bool:
    return one is not None and one.digest is not None and one == other


def _listed(keys: list[TensorKey]) -> str:
    """The first few, each with its rank, and how many there are."""
    shown = ", ".join(f"{name} (rank {rank})" for rank, name in keys[:NAMED])
    return f"{shown} and {len(keys) - NAMED} more" if len(keys) > NAMED else shown
