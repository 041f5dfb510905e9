"""Pages are made from templates that stand on one base (`base.html.j2`): one look, one file, no network."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files as package_files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from thinslice import __version__


def render_page(name: str, /, *, of: str = "thinslice.report", **values: Any) -> str:
    """A page as HTML; text is escaped but for what is marked as HTML already.

    Args:
        name: file name of the template.
        of: the package that it lies in; the base is found from anywhere.
        **values: what it shows.
    """
    return _environment(of).get_template(name).render(version=__version__, **values)


def script(name: str, /, *, of: str = "thinslice.report") -> Markup:
    """A script of a package, to stand within a page."""
    return Markup(package_files(of).joinpath(name).read_text("utf-8"))


def script_hash(text: str) -> str:
    """By which a page's content security policy knows its script: SHA-256, base64."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _environment(of: str) -> Environment:
    loaders = [PackageLoader(package, ".") for package in dict.fromkeys((of, "thinslice.report"))]
    return Environment(
        loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
