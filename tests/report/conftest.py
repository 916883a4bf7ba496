"""Runs, their site, and a browser where there is one."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from sus2bench.benchmark.records import find_records
from sus2bench.report import site as site_module

sys.path.insert(0, str(Path(__file__).parent))

from made_records import NASTY, record, write  # noqa: E402


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A folder with six runs: two data sets, one failure, one name twice, one that is code."""
    folder = tmp_path_factory.mktemp("results")
    write(folder / "alloys" / "fast", record("fast", 40.0, time=5.0, trainable=300), beside=True)
    write(
        folder / "alloys" / "exact", record("exact", 9.0, time=200.0, trainable=9000), beside=True
    )
    slow = record("slow", 90.0, time=100.0, trainable=20000, model="m.SchNet")
    write(folder / "alloys" / "slow", slow)
    write(folder / "alloys" / "broken", record("broken", traceback="ValueError: no such file"))
    write(folder / "alloys" / "again" / "fast", record("fast", 41.0, time=6.0, trainable=301))
    write(folder / "oxides" / "nasty", record(NASTY, 20.0, data="oxides"))
    return folder


@pytest.fixture(scope="session")
def found(results):
    return find_records([results])


@pytest.fixture(scope="session")
def site(found, tmp_path_factory):
    """The site of these runs; without plotly it lacks a script, which only a browser misses."""
    out = tmp_path_factory.mktemp("out") / "site"
    with pytest.MonkeyPatch.context() as patch:
        if find_spec("plotly") is None:
            patch.setattr(site_module, "_plotly", lambda: "")
        site_module.write_site(found, out)
    return out


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A headless Chromium that keeps what pages say on the console."""
    pytest.importorskip("plotly", reason="plotly (extra 'report') brings the scripts of the plots")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip(
            "there is no chromium with its chromedriver (packages chromium, chromium-driver)"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("profile")
    for argument in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "disable-dev-shm-usage"),
        *("no-first-run", "disable-background-networking", "disable-component-update"),
        *("disable-sync", f"user-data-dir={profile}", "window-size=1300,1000"),
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield started
    started.quit()
