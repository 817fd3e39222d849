"""Small linear algebra does not wait for threads."""

from __future__ import annotations

from threadpoolctl import threadpool_info

from msplora_search.results.one_thread import one_thread


def blas_threads() -> list[int]:
    """Of each BLAS that is loaded."""
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


def test_every_blas_has_one_thread_and_afterwards_what_it_had() -> None:
    before = blas_threads()
    assert len(before) >= 2  # numpy's and scipy's
    with one_thread():
        assert blas_threads() == [1] * len(before)
    assert blas_threads() == before


def test_it_is_a_decorator_too() -> None:
    assert set(one_thread()(blas_threads)()) == {1}
