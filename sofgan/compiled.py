"""Functions in machine code, kept between runs where a folder can be written."""

from collections.abc import Callable

import numba


def compiled(function: Callable) -> Callable:
    """The function, compiled at its first call, during which other threads may run.

    What was compiled is kept beside the module or in the user's cache; where neither can be written, it is compiled
    anew in each process.
    """
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError as error:  # It comes at once, of a package that is only imported too.
        if "cannot cache" not in str(error):
            raise
        return numba.njit(nogil=True)(function)
