"""Keep pydicom's remarks to itself.

pydicom warns of odd values and quotes them, in warnings and in its log: a patient's name would show
on a terminal or in a log file. What matters of it is found and reported by this package itself.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = (
    "pydicom",
    "pydicom.pixels.decoders.base",
    "pydicom.pixels.encoders.base",
    "openjpeg.decode",
    "openjpeg.encode",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, and the loggers of pydicom and its decoders, for a while; also a decorator."""
    before = [(logger, logger.disabled) for logger in map(logging.getLogger, _LOGGERS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger, _ in before:
            logger.disabled = True
        try:
            yield
        finally:
            for logger, disabled in before:
                logger.disabled = disabled
