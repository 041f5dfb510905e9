"""Unknown arguments, answered by the function that was called and with what was probably meant."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def names_of(function: Callable[..., object]) -> tuple[str, ...]:
    """The arguments that a function takes by keyword alone."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def checks_keywords(*more: str) -> Callable[[Callable[_Arguments, _Answer]], Callable[_Arguments, _Answer]]:
    """Decorate a function to refuse keywords that it does not know, before it begins.

    Args:
        *more: keywords that it takes beside those of its signature, to hand them on.

    Raises:
        TypeError: when the function is called with one it does not know.
    """

    def decorate(function: Callable[_Arguments, _Answer]) -> Callable[_Arguments, _Answer]:
        parameters = inspect.signature(function).parameters.values()
        named = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL, p.POSITIONAL_ONLY)]
        known = dict.fromkeys([*named, *more])

        @wraps(function)
        def checked(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
            refuse_unknown(function.__name__, kwargs, known)
            return function(*args, **kwargs)

        return checked

    return decorate


def refuse_unknown(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise TypeError for the first keyword that is not known, with the one that it resembles most."""
    choices = list(known)
    for name in given:
        if name not in choices:
            close = difflib.get_close_matches(name, choices, n=1)
            hint = f". Did you mean {close[0]!r}?" if close else f"; it takes {', '.join(choices)}"
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")
