"""HTML pages as jinja2 templates: every value is escaped, and a value that is missing is an error.

A package keeps its templates and its CSS in its folder `templates`; it may extend `page.html` and use `parts.html`
of this room.
"""

from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from ropewalk.events.foreign import one_line, several_lines


@cache
def pages_of(package: str) -> Environment:
    """The templates of a package. Text that somebody else wrote goes through `one_line` or `several_lines`."""
    pages = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(__package__)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"one_line": one_line, "several_lines": several_lines}
    return pages
