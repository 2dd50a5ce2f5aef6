"""A file is there whole, or as it was."""

import pytest

from bench.system.whole_files import write_whole, written_whole


def test_what_is_not_finished_leaves_the_earlier_file_and_nothing_beside_it(tmp_path):
    """Also where writing fails on a full disk."""
    place = tmp_path / "a" / "startup.json"
    write_whole(place, "before")

    with pytest.raises(OSError, match="full"), written_whole(place) as file:
        file.write("half")
        raise OSError("full")

    assert [path.name for path in place.parent.iterdir()] == ["startup.json"]
    assert place.read_text() == "before"


def test_a_private_file_never_was_anybody_elses(tmp_path):
    """It is made with its mode, and keeps it when it takes its place."""
    with written_whole(tmp_path / "it", is_private=True) as file:
        file.write("secret")
        modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}

    assert modes == {(tmp_path / "it").stat().st_mode & 0o777} == {0o600}
