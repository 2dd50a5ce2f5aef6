"""report.html, as a real Chromium shows it: on a phone, on a desk, in the dark; and that whatever a start printed stays text."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest

from bench.analysis.comparison import Comparison, compare
from bench.analysis.records import RunRecord
from bench.report import write
from bench.report.write import write_report
from bench.start.warning import ResultWarning, WarningKind
from bench.vllm.memory import MemorySample, write_memory
from browser import Browser, chromium, started
from made_sweeps import made_failure, made_start, made_sweep, made_waterfall

WIDTHS = (390, 1400)
HOSTILE = "</script><script>console.error('ran')</script><img src=http://192.0.2.1/x onerror=alert(1)> `a|b` ![p](http://192.0.2.1/y)"
PHASES = ("01_api_server_imports", "04_engine_core_imports", "06_worker_imports", "09_load_weights", "15_capture")


def start(label: str, block: int, ready_s: float) -> RunRecord:
    """With a waterfall, on a GPU, cold and primed."""
    tags = {"bench.page_cache": "cold", "bench.compile_cache": "primed", "host.device": "cuda"}
    metrics = made_waterfall(dict.fromkeys(PHASES, ready_s / len(PHASES)) | {"17_first_token": 0.25})
    return made_start(label, metrics, repeat=block, tags=tags, params={"tensor_parallel_size": "2"})


def sweep(points: int, blocks: int, longest: str = "") -> Comparison:
    """Labels as a sweep of two settings makes them; two starts that do not count, in words that do not belong into a page."""
    setting = f"load_format.extra.concurrency{longest}"
    labels = [f"auto{longest}", *(f"runai_streamer {setting}={2**index}" for index in range(points - 1))]
    starts = [
        start(label, block, 90 - index + (block * 7 + index * 3) % 5)
        for block in range(blocks)
        for index, label in enumerate(labels)
    ]
    warned = replace(starts[0], warnings=(ResultWarning(WarningKind.OTHER, HOSTILE),))
    invalid = replace(start(labels[-1], blocks, 30.0), invalid_reason=HOSTILE)
    failed = made_failure(labels[-1], HOSTILE, repeat=blocks + 1)
    made = made_sweep(warned, *starts[1:], invalid, failed)
    return replace(compare(made, baseline=labels[0]), usd_per_gpu_hour=4.0)


def fetch(run_id: str, name: str, folder: Path) -> Path | None:
    path = folder / name
    if name == "memory.csv":
        write_memory(
            [
                MemorySample(time_s / 2, time_s / 10, 1.0, 0.2, gpu_used_gib=(time_s / 3,), gpu_own_gib=(None,))
                for time_s in range(180)
            ],
            path,
        )
    elif name == "vllm_excerpts.log":
        path.write_text(f"Loading weights took 3.2 seconds {HOSTILE}\n")
    else:
        path.write_text(f"{name} of {run_id}\n")
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Reports of so many points, each a folder; those of two have names without end."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "draw_figures", lambda *_: [])
        for points, blocks, longest in ((1, 1, ""), (2, 2, "x" * 200), (3, 5, ""), (11, 3, ""), (30, 3, "")):
            folder = tmp_path_factory.mktemp(f"points_{points}")
            write_report(sweep(points, blocks, longest), folder, fetch)
            found[points] = folder / "report.html"
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on the PATH: install one, or name it in BENCH_TEST_CHROMIUM")
    with started(program) as found:
        yield found


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("points", [1, 2, 3, 11, 30])
def test_a_page_has_no_error_no_request_and_nothing_beyond_its_edge(points, width, pages, browser):
    """On a phone and on a desk; wide tables scroll by themselves."""
    browser.open(pages[points], width)
    beyond = browser.evaluate(
        "[...document.querySelectorAll('body *')].filter(each => !each.closest('.scroll table'))"
        f".filter(each => each.getBoundingClientRect().right > {width} + 1).map(each => each.outerHTML.slice(0, 80))"
    )

    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert beyond == []


def test_a_click_on_a_heading_sorts_a_table(pages, browser):
    """By number, up and then down; a screen reader is told; totals stay where they are, and what is missing comes last."""
    browser.open(pages[11], 1400)
    table = "document.querySelector('#metrics table')"
    column = f"[...{table}.tBodies[0].rows].map(row => parseFloat(row.cells[1].textContent))"
    seen = []
    for _ in range(2):
        browser.evaluate(f"{table}.tHead.rows[0].cells[1].querySelector('button').click()")
        seen.append((browser.evaluate(column), browser.evaluate(f"{table}.tHead.rows[0].cells[1].ariaSort")))

    assert seen[0] == (sorted(seen[0][0]), "ascending")
    assert seen[1] == (sorted(seen[0][0], reverse=True), "descending")
    assert len(set(seen[0][0])) > 5


def test_every_table_sorts_by_every_column(pages, browser):
    """Words and numbers: each click leaves all rows there."""
    browser.open(pages[3], 1400)
    sizes = "[...document.querySelectorAll('table.sortable')].map(each => each.tBodies[0].rows.length)"
    before = browser.evaluate(sizes)
    browser.evaluate("document.querySelectorAll('table.sortable th button').forEach(each => each.click())")

    assert len(before) >= 5
    assert browser.evaluate(sizes) == before
    assert browser.problems == []


def test_what_starts_printed_is_text(pages, browser):
    """In reasons, warnings and excerpts: no script of it runs, no picture of it is asked for, and all of it can be read."""
    browser.open(pages[3], 1400)
    text = browser.evaluate("document.body.textContent")

    assert text.count("console.error('ran')") >= 4
    assert browser.evaluate("[document.images.length, document.scripts.length]") == [0, 1]
    assert browser.problems == []


def test_every_figure_has_a_row_a_point_and_no_two_look_alike(pages, browser):
    """However many there are: no colour stands for a point."""
    browser.open(pages[30], 1400)
    rows = browser.evaluate(
        "['.forest', '.strip', '.stack'].map(name => document.querySelector(name).querySelectorAll('.row:not(.axis) .label').length)"
    )

    assert rows == [29, 30, 30]
    assert browser.evaluate("document.querySelectorAll('.strip .start').length") == 30 * 3 + 1
    assert browser.evaluate("document.querySelectorAll('.strip .start.invalid').length") == 1


def test_values_are_shown_on_hover_and_stand_in_words(pages, browser):
    """A tooltip needs a mouse; the words beside each row need none."""
    browser.open(pages[3], 1400)
    dots = browser.evaluate("[...document.querySelectorAll('.strip .start title')].map(each => each.textContent)")
    values = browser.evaluate("[...document.querySelectorAll('.forest .value')].map(each => each.textContent)")

    assert all(re.match(r".+ #\d: ready after \d+\.\d\d s, block \d", each) for each in dots)
    assert (
        sum(bool(re.match(r"\d\.\d\dx \[\d\.\d\d, \d\.\d\d\] (faster|slower|not resolved)", each)) for each in values)
        >= 4
    )


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_on_its_background(dark, pages, browser):
    """Contrast of 4.5 for text and of 3 for dots and lines, as WCAG asks, in either scheme."""
    browser.open(pages[3], 1400, dark=dark)
    found = browser.evaluate(
        """(() => {
          const luminance = text => {
            const parts = text.match(/[\\d.]+/g).slice(0, 3).map(each => each / 255);
            const [r, g, b] = parts.map(each => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
          const back = luminance(getComputedStyle(document.body).backgroundColor);
          const of = (name, kind) => [name, ratio(luminance(getComputedStyle(document.querySelector(name))[kind]), back)];
          return [of('p', 'color'), of('.meta', 'color'), of('nav a', 'color'), of('figcaption', 'color'), of('.word', 'color'),
                  of('.dot', 'stroke'), of('.one', 'stroke'), of('.mean', 'stroke')];
        })()"""
    )

    assert [(name, ratio) for name, ratio in found if ratio < (3 if name in {".dot", ".one", ".mean"} else 4.5)] == []


def test_a_screen_reader_has_names_for_all_of_it(pages, browser):
    """Headings in their order, tables with headings of columns and rows, and no picture without words."""
    browser.open(pages[3], 1400)
    levels = browser.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(each => +each.tagName[1])")
    unnamed = browser.evaluate(
        "[...document.querySelectorAll('svg')].filter(each => !each.closest('[aria-hidden=true], [aria-label]')).length"
    )
    tables = browser.evaluate(
        "[...document.querySelectorAll('table')].filter(each => !each.tHead || each.querySelector('tbody tr :first-child:not([scope=row])')?.cellIndex === 0).length"
    )

    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert (unnamed, tables) == (0, 0)
    assert browser.evaluate("document.documentElement.lang") == "en"


def test_printing_opens_what_is_folded(pages, browser):
    """Paper has nothing to click on, and nothing to scroll."""
    browser.open(pages[11], 794)  # A4
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")

    browser.call("Emulation.setEmulatedMedia", media="print")

    assert browser.evaluate("document.documentElement.scrollWidth") == 794
    assert browser.evaluate("document.querySelectorAll('details').length") > 10
    assert browser.evaluate("document.querySelectorAll('details:not([open])').length") == 0


def test_every_link_leads_to_a_file_or_a_section(pages, browser):
    """To each start's log above all."""
    browser.open(pages[3], 1400)
    links = browser.evaluate("[...document.links].map(each => each.getAttribute('href'))")
    folder = pages[3].parent

    assert [each for each in links if each.startswith("./") and not (folder / each).is_file()] == []
    assert [
        each for each in links if each.startswith("#") and not browser.evaluate(f"!!document.querySelector('{each}')")
    ] == []
    assert {f"./{path.name}" for path in folder.glob("*.log")} <= set(links)


# As MLflow's viewer of artifacts shows it: in a sandbox that allows scripts alone, at a blob's address.
VIEWER = """<!doctype html><iframe sandbox="allow-scripts" style="width: 100%; height: 800px"></iframe><script>
fetch("report.html").then(found => found.text()).then(text => {
  document.querySelector("iframe").src = URL.createObjectURL(new Blob([text], { type: "text/html" }));
});
</script>"""


@pytest.fixture
def address(pages: dict[int, Path]) -> Iterator[str]:
    """Of a server that shows the page of three points in such a viewer."""
    folder = pages[3].parent
    (folder / "viewer.html").write_text(VIEWER)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/viewer.html"
        server.shutdown()
    (folder / "viewer.html").unlink()


def test_in_mlflow_no_click_loses_the_page_and_links_lead_to_mlflows_own(address, pages, browser):
    """There a relative link leads to a blank frame, and one down the page is refused: it scrolls instead. To a log: its run's."""
    browser.open(address, 1400)
    click = "(() => {{ const link = document.querySelector({!r}); link.click(); return link.href; }})()"
    with browser.inside("blob:"):
        browser.evaluate(
            "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', done))"
        )
        browser.evaluate(click.format("nav a[href='#scope']"))
        scrolled = browser.evaluate("scrollY")
        log = browser.evaluate(click.format("#records td a[data-mlflow$='/artifacts/vllm.log']"))
        report = browser.evaluate(click.format("#files a"))
        said = browser.evaluate("document.querySelector('#copied').textContent")
        kept = browser.evaluate("[location.protocol, document.querySelectorAll('h2').length > 5]")
        elsewhere = browser.evaluate(
            "[...document.links].map(each => each.href).filter(each => !/^(blob:.*#|http:.*#.experiments)/.test(each))"
        )

    assert scrolled > 100
    assert re.fullmatch(rf"{re.escape(address)}#/experiments/1/runs/run of [^/]+/artifacts/vllm\.log", unquote(log))
    assert unquote(report) == f"{address}#/experiments/1/runs/run of the sweep/artifacts/report/report.md"
    assert said.endswith(report)
    assert (kept, elsewhere) == (["blob:", True], [])
    assert [each for each in browser.problems if "favicon" not in each] == []


@pytest.mark.parametrize("points", [1, 3, 11, 30])
def test_a_page_is_small_and_needs_no_network(points, pages):
    """Below 2 MB, in one file, and it allows itself nothing from elsewhere."""
    text = pages[points].read_text()

    assert len(text.encode()) < 1_000_000
    assert "default-src 'none'" in text
    assert re.findall(r"(?:src|href)=\"(?!\./|#|data:)[^\"]*", text) == []


def test_the_page_stays_small_whatever_starts_print(tmp_path, monkeypatch):
    """Excerpts, reasons and warnings without end are cut; the logs beside it are whole."""
    monkeypatch.setattr(write, "draw_figures", lambda *_: [])
    long = replace(
        made_start("a", {"ready_s": 1.0}),
        warnings=tuple(ResultWarning(WarningKind.OTHER, "w" * 100_000) for _ in range(9)),
    )

    def endless(run_id: str, name: str, folder: Path) -> Path | None:
        (folder / name).write_text("Loading weights took 3.2 seconds\n" * 100_000)
        return folder / name if name.endswith(".log") else None

    write_report(compare(made_sweep(long, made_failure("a", "r" * 5_000_000, repeat=1))), tmp_path, endless)

    assert (tmp_path / "report.html").stat().st_size < 2_000_000


def test_the_answer_is_the_same_in_the_page_and_in_markdown(pages, browser):
    """And the first thing in both."""
    browser.open(pages[3], 1400)
    page = browser.evaluate("document.querySelector('main > section p').textContent")
    markdown = (pages[3].parent / "report.md").read_text().splitlines()[2].replace("`", "")

    assert page == markdown
