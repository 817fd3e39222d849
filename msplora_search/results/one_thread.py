"""Small linear algebra, on one thread."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import scipy.linalg  # noqa: F401  it brings a BLAS of its own beside numpy's, which is to be found too
from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Let BLAS work on one thread, in a block or as a decorator.

    A Cholesky factor of a hundred rows takes 0.2 ms. Numpy's and scipy's BLAS each keep threads that spin while
    they wait for work, so on two processors 2,000 factors and solutions by turns took 24 s instead of 0.6.
    """
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@functools.cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
