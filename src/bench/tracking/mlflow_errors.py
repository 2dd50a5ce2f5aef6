"""What MLflow raises -> one sentence, and whether it lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench.errors import BenchError, StoreError, TrackingError
from bench.masking import masked

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

LENGTH = 300
REFUSED_STATUS = (400, 401, 403, 404, 405)  # of an HTTP answer: a retry changes nothing


@contextmanager
def errors_translated(uri: str) -> Iterator[None]:
    """Translates whatever MLflow raises in the block into a TrackingError with a one-line message.

    A server may answer anything, and MLflow then raises anything: only an `assert` passes, which is a mistake of ours.
    """
    try:
        yield
    except (BenchError, AssertionError, NotImplementedError):
        raise
    except Exception as error:
        words = _shortened(masked(" ".join((str(error) or repr(error)).split())))
        kind = StoreError if _is_lasting(error) else TrackingError
        raise kind(f"tracking.uri={masked(uri)}: the request to MLflow failed: {words}") from error


def _is_lasting(error: Exception) -> bool:
    """Whether the error is permanent: the request, or the address itself, is refused."""
    from mlflow.exceptions import InvalidUrlException, MlflowException
    from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException

    if isinstance(error, (InvalidUrlException, UnsupportedModelRegistryStoreURIException, ImportError, ValueError)):
        return True
    if not isinstance(error, MlflowException):
        return False
    text = str(error)
    if "valid JSON" in text:  # a page, from something that is no MLflow server
        return True
    if _is_by_mlflow_itself(error):
        return True
    no_answer = "failed with exception" in text or error.error_code in {
        "TEMPORARILY_UNAVAILABLE",
        "REQUEST_LIMIT_EXCEEDED",
    }
    return not no_answer and int(error.get_http_status_code()) in REFUSED_STATUS  # type: ignore[no-untyped-call]  # MLflow has no types there


def _is_by_mlflow_itself(error: "MlflowException") -> bool:
    """Whether nobody was asked before it was raised: credentials are missing, or an address that this MLflow does not serve."""
    from mlflow.exceptions import RestException

    return not isinstance(error, RestException) and error.__context__ is None and error.error_code == "INTERNAL_ERROR"


def _shortened(text: str) -> str:
    """The text shortened in its middle: it begins with what was tried, and ends with what went wrong."""
    return text if len(text) <= LENGTH else f"{text[: LENGTH // 3]} … {text[-2 * LENGTH // 3 :]}"
