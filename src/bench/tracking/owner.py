"""Whose a sweep is: who made it, or brought it in, on which host and in which folder."""

import getpass
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.masking import masked
from bench.start.tags import OWNER_FOLDER, OWNER_HOST, OWNER_USER

UNKNOWN = "unknown"  # MLflow's own word for a user


@dataclass(frozen=True)
class Owner:
    """None: not known, as of sweeps by an earlier bench."""

    user: str | None
    host: str | None
    folder: str | None

    @property
    def tags(self) -> dict[str, str]:
        """As the sweep's run carries them."""
        return OWNER_USER.of(self.user) | OWNER_HOST.of(self.host) | OWNER_FOLDER.of(self.folder)

    @property
    def conditions(self) -> list[str]:
        """Of searches for what is of this user, and of this folder."""
        of_user = [OWNER_USER.equals(self.user)] if self.user else []
        places = [OWNER_HOST.equals(self.host), OWNER_FOLDER.equals(self.folder)] if self.host and self.folder else []
        return [*of_user, " AND ".join(places)] if places else of_user

    def is_of(self, other: "Owner") -> bool:
        """Whether both are one user, or one folder of one host."""
        same_user = self.user is not None and self.user == other.user
        same_folder = None not in {self.host, self.folder} and (self.host, self.folder) == (other.host, other.folder)
        return same_user or same_folder

    def __str__(self) -> str:
        places = {"by": self.user, "on": self.host, "in": self.folder}
        return " ".join(f"{word} {value}" for word, value in places.items() if value) or "by an unknown user"


def this_owner() -> Owner:
    """The user, host and folder of the running process. A secret in them is masked, as it is in the tags that they are compared with."""
    return Owner(*(value and masked(value) for value in (user_name(), socket.gethostname(), str(Path.cwd()))))


def owner_of(tags: Mapping[str, str]) -> Owner:
    """By the tags of a sweep's run."""
    user = OWNER_USER.in_(tags)
    return Owner(None if user == UNKNOWN else user, OWNER_HOST.in_(tags), OWNER_FOLDER.in_(tags))


def user_name() -> str | None:
    """As MLflow names it. None: this process's number has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return None
