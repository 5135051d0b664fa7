"""HTML pages as jinja2 templates: every value is escaped and written out, and one that is missing is an error.

A package keeps its templates and its CSS in its folder `templates`; it may extend `page.html` and use `parts.html`
of this room.
"""

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ropewalk.events.foreign import one_line, several_lines


@cache
def pages_of(package: str) -> Environment:
    """The templates of a package. Every text in them may be somebody else's; `one_line` also cuts it."""
    pages = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__package__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_written_out,
    )
    pages.filters["one_line"] = one_line
    return pages


def _written_out(value: object) -> object:
    """A value as a page shows it. `Markup` is what a macro or a block has made of such values."""
    return several_lines(value) if isinstance(value, str) and not isinstance(value, Markup) else value
