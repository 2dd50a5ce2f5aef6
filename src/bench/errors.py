"""Everything that can go wrong by a user's hand or the world's, drawn as a tree.

BenchError
├── SettingError        a setting is outside what is allowed: nothing was started
├── CheckpointError     a checkpoint is missing, unfinished or not the one that is needed
├── EvidenceError       what a start left behind cannot be read, or is not what it should be
├── OwnershipError      bench would have to remove or overwrite what it did not make
├── StartError          vLLM did not become ready or did not answer
│   └── StartTimeout    … in the time that it was given
├── LockError           another process holds what is needed here
├── TrackingError       MLflow cannot be reached, or does not hold what was asked for
│   └── StoreError          … and waiting will not mend it: tracking.uri leads to nothing that can be used
└── LogError            a log that was to be replayed cannot be read

Each message says what was seen, what was expected and what to do next, and names the setting. A bug of ours is an
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
    """vLLM was still at it when its time was over: the log's last error, if any, is not the reason."""


class AnswerError(StartError):
    """vLLM answered with something else than was asked for. What its log says of the connection that bench closed then is not the reason."""


class LockError(BenchError):
    """Another process holds what is needed here, or there is no lock to be had. Names the file, and who holds it."""


class TrackingError(BenchError):
    """MLflow cannot be reached, or does not hold what was asked for."""


class StoreError(TrackingError):
    """What tracking.uri leads to cannot be used, now or later: no store, one of another MLflow, read-only, no access."""


class LogError(BenchError):
    """A log that was to be replayed cannot be read or tells nothing about a start of vLLM."""
