"""What is published: pyproject.toml, and the page that is made of README.md."""

import re
import tomllib
from pathlib import Path

import bench

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HOOKS = PROJECT["tool"]["hatch"]["metadata"]["hooks"]
PYTHON = "Programming Language :: Python :: 3."


def test_the_published_page_has_absolute_links_alone():
    """There are no files beside it; README.md itself has relative ones, so that they work in every checkout."""
    text = (ROOT / "README.md").read_text()
    for each in HOOKS["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    targets = re.findall(r"\]\(([^)]+)\)", text)

    assert [target for target in targets if not target.startswith("https://")] == []
    assert any("raw.githubusercontent.com" in target and target.endswith(".png") for target in targets)


def test_the_package_says_what_it_is_and_where_it_runs():
    """Its name on PyPI is not that of the package that is imported, which another project has there."""
    project = PROJECT["project"]
    minors = sorted(int(each.removeprefix(PYTHON)) for each in project["classifiers"] if each.startswith(PYTHON))

    assert project["name"] == "vllm-coldstart-bench"
    assert minors == list(range(int(project["requires-python"].removeprefix(">=3.")), minors[-1] + 1))
    assert project["scripts"] == {"bench": "bench.console:main"}
    assert (Path(bench.__file__).parent / "py.typed").is_file()
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"conf": "bench/conf"}
