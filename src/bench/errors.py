"""Every error that is caused by the user's input or by the environment, as a tree.

BenchError
├── SettingError        a setting is outside what is allowed: nothing was started
├── CheckpointError     a checkpoint is missing, unfinished or not the one that is needed
├── EvidenceError       what a start left behind cannot be read, or is not what it should be
├── OwnershipError      bench would have to remove or overwrite what it did not make
├── StartError          vLLM did not become ready or did not answer
│   ├── StartTimeout    … in the time that it was given
│   ├── AnswerError     … with what was requested
│   └── RefusedError    … but refused
├── LockError           another process holds what is needed here
├── TrackingError       MLflow cannot be reached, or does not hold what was requested
│   └── StoreError          … permanently: tracking.uri names no usable store
└── LogError            a log that was to be replayed cannot be read

Each message states what was found, what was expected and what to do next, and names the setting. A bug of ours is an
`assert` or a plain exception, and keeps its traceback.
"""


class BenchError(Exception):
    """The root: a message for a person. The commands print it without a traceback and exit with a code that is not 0."""


class SettingError(BenchError):
    """A setting is outside what is allowed. Raised for the whole sweep before its first start."""


class CheckpointError(BenchError):
    """A checkpoint is missing, unfinished, or was made for something else."""


class EvidenceError(BenchError):
    """A file or stream of vLLM's processes cannot be read, or holds what they do not write."""


class OwnershipError(BenchError):
    """Something lies where bench would have to remove or overwrite it, and bench did not make it."""


class StartError(BenchError):
    """vLLM did not become ready, or did not answer. The message is the reason, in one line."""


class StartTimeout(StartError):
    """vLLM was still running at the time limit: the last error in its log, if any, is not the reason."""


class AnswerError(StartError):
    """vLLM's answer is not what was requested. Errors in its log about the connection that bench then closed are not the reason."""


class RefusedError(StartError):
    """vLLM answered a request with another status than 200. `not_served`: because the model does not do what was requested."""

    def __init__(self, message: str, *, not_served: bool) -> None:
        super().__init__(message)
        self.not_served = not_served


class LockError(BenchError):
    """Another process holds the lock, or it cannot be created. The message names the file, and the holder if known."""


class TrackingError(BenchError):
    """MLflow cannot be reached, or does not hold what was requested."""


class StoreError(TrackingError):
    """The store at tracking.uri is permanently unusable: no store, one of another MLflow, read-only, no access."""


class LogError(BenchError):
    """A log that was to be replayed cannot be read or holds no information about a start of vLLM."""
