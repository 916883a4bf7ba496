"""The site in a real browser, opened from disk."""

import base64

import pytest
from made_records import NASTY

PLOT = ".js-plotly-plot .main-svg"
PAGES = ("index", "costs", "elements", "curves", "parity", "downloads", "runs/alloys-exact")
# As a browser sets them in a window of 1300 x 1000 and on a phone.
DESKTOP, PHONE = 1300, 390


@pytest.fixture
def see(browser, site):
    """Open a page, wait until something is there, and return what a script says."""
    from selenium.webdriver.support.ui import WebDriverWait

    class See:
        def page(self, name, until="main h1", fragment=""):
            browser.get_log("browser")  # of earlier pages
            browser.get("about:blank")  # so that another fragment loads the page anew
            browser.get((site / f"{name}.html").as_uri() + fragment)
            self.wait(f"document.querySelector({until!r})")

        def wait(self, script):
            # Long, as machines that run tests may be busy; it takes far less.
            WebDriverWait(browser, 60).until(lambda one: one.execute_script(f"return {script}"))

        def says(self, script, *arguments):
            return browser.execute_script(f"return {script}", *arguments)

        def does(self, script, *arguments):
            browser.execute_script(script, *arguments)

        def choose(self, select, value):
            change = "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
            change += "s.dispatchEvent(new Event(s.type === 'search' ? 'input' : 'change'));"
            browser.execute_script(change, select, value)

    return See()


def shown_runs(see, table=0):
    """Names in the nth table that is shown, from above."""
    script = """[...[...document.querySelectorAll('.board:not([hidden])')][arguments[0]]
        .querySelectorAll('.runs tbody tr:not([hidden]) th')].map(cell => cell.textContent)"""
    return see.says(script, table)


def complaints(browser):
    return [entry["message"] for entry in browser.get_log("browser")]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_no_page_complains_or_is_wider_than_the_window(browser, see, name, width):
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        plots = name in ("costs", "curves", "parity", "runs/alloys-exact")
        see.page(name, PLOT if plots else "main h1")
        assert see.says("document.documentElement.scrollWidth") <= width
        assert complaints(browser) == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pages_ask_nobody_but_the_disk(see):
    see.page("costs", PLOT)
    loaded = see.says("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert all(address.startswith(("file:", "data:")) for address in loaded)
    # Plotly would upload plots, if it were let.
    titles = see.says("[...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title)")
    assert titles
    assert not [title for title in titles if "hare" in title or "loud" in title]


def test_table_sorts_by_numbers_both_ways_with_what_is_missing_last(see):
    see.page("index")
    headers = "[...document.querySelectorAll('.runs')[0].querySelectorAll('thead th')]"
    title = f"{headers}.find(h => h.textContent.startsWith(arguments[0]))"
    assert shown_runs(see) == ["exact", "fast (alloys)", "fast (again)", "slow"]
    assert see.says(f"{title}.getAttribute('aria-sort')", "F RMSE (meV") == "ascending"
    see.does(f"{title}.querySelector('button').click()", "µs/atom")
    assert shown_runs(see) == ["fast (alloys)", "fast (again)", "slow", "exact"]
    assert see.says(f"{title}.getAttribute('aria-sort')", "µs/atom") == "ascending"
    see.does(f"{title}.querySelector('button').click()", "µs/atom")
    assert shown_runs(see) == ["exact", "slow", "fast (again)", "fast (alloys)"]
    assert see.says(f"{headers}.filter(h => h.ariaSort !== 'none').length") == 1
    # The floor is no run and stays below.
    assert "composition fit" in see.says("document.querySelector('.runs tfoot').textContent")


def test_header_is_reached_and_used_by_keyboard(browser, see):
    from selenium.webdriver.common.keys import Keys

    see.page("index")
    see.does("document.querySelector('.runs thead button').focus()")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert see.says("document.querySelector('.runs thead th').ariaSort") == "ascending"
    browser.switch_to.active_element.send_keys(Keys.SPACE)
    assert see.says("document.querySelector('.runs thead th').ariaSort") == "descending"


def test_filters_narrow_the_runs_and_say_how_many_are_left(see):
    see.page("index")
    shown = "document.getElementById('shown').textContent"
    assert see.says("document.getElementById('filter-split').value") == "test"
    assert see.says(shown) == "5 rows in 2 tables"
    see.choose("filter-text", "fast again")
    assert shown_runs(see) == ["fast (again)"]
    assert see.says(shown) == "1 row in 1 table"
    see.choose("filter-text", "")
    see.choose("filter-data", "oxides")
    assert shown_runs(see) == [NASTY]
    see.choose("filter-data", "")
    see.choose("filter-split", "")
    see.choose("filter-status", "failed")
    assert shown_runs(see) == ["broken"]
    see.choose("filter-kind", "train")
    assert see.says(shown) == "1 row in 1 table"
    see.choose("filter-text", "nobody")
    assert see.says(shown) == "0 rows in 0 tables"


def test_columns_are_few_until_all_are_asked_for(see):
    see.page("index")
    shown = "[...document.querySelectorAll('.runs')[0].querySelectorAll('thead th')]"
    shown += ".filter(h => h.offsetWidth).length"
    few = see.says(shown)
    see.does("document.getElementById('all-columns').click()")
    assert see.says(shown) > few


def test_cost_plots_hold_every_run_and_a_front_that_leads_to_pages(browser, see):
    see.page("costs", PLOT)
    see.choose("data", "alloys")
    panels = "[...document.querySelectorAll('#panels > .plot:not([hidden])')]"
    points = f"{panels}.map(p => p.data.slice(1).reduce((n, t) => n + t.x.length, 0))"
    assert see.says(points) == [4, 4, 4]
    front = "[...document.querySelectorAll('#fronts table')[0].querySelectorAll('th a')]"
    assert see.says(f"{front}.map(a => a.textContent)") == ["fast (alloys)", "exact"]
    see.does("document.querySelector('#legend button').click()")  # SUS2 comes behind SchNet
    assert see.says(points) == [3, 3, 3]
    see.does(f"{front}[1].click()")
    see.wait("document.querySelector('h1').textContent === 'exact on alloys'")


def test_elements_have_errors_in_their_places(see):
    see.page("elements", "td.known", "#alloys-slow")
    value = "document.querySelector(`[data-element=${arguments[0]}] .value`).textContent"
    assert [see.says(value, symbol) for symbol in ("Al", "Cu", "Fe")] == ["90", "180", ""]
    see.choose("measure", "force RMSE (% of floor)")
    see.wait("document.querySelector('[data-element=Al] .value').textContent === '22.5'")
    assert "slow on alloys, test: 2 elements" in see.says(
        "document.getElementById('periodic-caption').textContent"
    )


def test_curves_are_those_of_the_runs_that_are_ticked(see):
    see.page("curves", PLOT)
    lines = "document.getElementById('plot').data?.length"
    see.wait(f"{lines} === 2")
    see.does("document.querySelector('#runs input').click()")
    see.wait(f"{lines} === 1")
    see.choose("against", "seconds")
    see.wait("document.getElementById('plot').layout.xaxis.title.text === 'training time (s)'")


def test_plots_of_a_run_are_drawn_when_they_come_into_view(see):
    see.page("runs/alloys-exact", PLOT)
    see.does("document.getElementById('parities').lastChild.scrollIntoView()")
    see.wait("document.querySelector('#parities .main-svg')")
    label = see.says("document.querySelector('#parities .js-plotly-plot').ariaLabel")
    assert "predicted against reference: RMSE" in label


@pytest.mark.parametrize("name", ["index", "costs", "runs/alloys-exact"])
def test_paper_has_the_tables_and_plots_but_no_forms(browser, see, name):
    see.page(name, "main h1" if name == "index" else PLOT)
    settings = {"printBackground": True, "preferCSSPageSize": True}
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", settings)["data"])
    assert printed.startswith(b"%PDF")
    assert len(printed) > 10_000  # an empty page has a tenth of that
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        visible = "[...document.querySelectorAll(arguments[0])].filter(e => e.offsetHeight).length"
        assert see.says(visible, "form, nav") == 0
        assert see.says(visible, "table, .main-svg") > 0
        # What was folded is open while it is printed, and only then.
        assert see.says("document.querySelectorAll('details[open]').length") == 0
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_dark_and_still_as_the_reader_likes_it(browser, see):
    features = [
        {"name": "prefers-color-scheme", "value": "dark"},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        see.page("index")
        style = "getComputedStyle(document.{})"
        assert see.says(style.format("body") + ".backgroundColor") == "rgb(21, 24, 28)"
        assert see.says(style.format("documentElement") + ".scrollBehavior") == "auto"
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
