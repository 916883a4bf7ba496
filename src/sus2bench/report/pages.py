"""Templates filled in: every page of the site is made here, and text from records is escaped."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from sus2bench import __version__
from sus2bench.figures.style import COLOURS

PAGES = {
    "index": "Leaderboard",
    "costs": "Error and cost",
    "elements": "Elements",
    "curves": "Learning curves",
    "parity": "Parity",
    "downloads": "Tables and figures",
}
"""Pages of the site by the name of their file, in the order of the menu."""


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("sus2bench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(page: str, title: str, context: dict[str, Any], *, folder: str = "") -> str:
    """One page.

    Args:
        page: name of its template.
        title: of the site.
        context: what the template asks for.
        folder: of the page, from the top of the site, with a slash at the end.
    """
    template = _environment().get_template(f"{page}.html.jinja")
    return template.render(
        context,
        page=page,
        pages=PAGES,
        site_title=title,
        root="../" * folder.count("/"),
        version=__version__,
        colours=",".join(COLOURS),
    )
