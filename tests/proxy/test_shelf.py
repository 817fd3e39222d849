"""A training that stopped at a rung and went on is the training that never stopped."""

from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from msplora_search.proxy import shelf as module
from msplora_search.proxy.shelf import Shelf
from msplora_search.proxy.workbench import Workbench
from tests.proxy.test_training import ONE, OTHER, bench_of, curve, same

RATE = 2e-2


def stopped(bench: Workbench, shelf: Shelf) -> None:
    with closing(bench.measure(ONE, RATE, shelf=shelf)) as running:  # type: ignore[type-var]
        assert len(list(islice(running, 1))) == 1


@pytest.mark.parametrize("changes", [{}, {"dropout": True}], ids=["plain", "dropout"])
def test_what_goes_on_ends_as_what_never_stopped(tmp_path: Path, changes: dict[str, Any]) -> None:
    bench, shelf = bench_of(tmp_path, proxy=changes), Shelf(tmp_path / "shelf" / "one.safetensors")
    whole = curve(bench, ONE)
    stopped(bench, shelf)
    curve(bench, OTHER)  # others train in between
    on = bench.measure(ONE, RATE, shelf=shelf)
    assert same(list(on), whole)
    assert not shelf.path.exists()


def test_it_does_not_train_again_what_it_has_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench, shelf = bench_of(tmp_path), Shelf(tmp_path / "one.safetensors")
    stopped(bench, shelf)
    losses, loss = [], type(bench.task).loss

    def counted(*given: Any) -> Any:
        losses.append(loss(*given))
        return losses[-1]

    monkeypatch.setattr(type(bench.task), "loss", counted)
    assert len(list(bench.measure(ONE, RATE, shelf=shelf))) == 2
    assert len(losses) == bench.steps // 2


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x80\x02c__builtin__\neval\n."])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    bench, shelf = bench_of(tmp_path), Shelf(tmp_path / "one.safetensors")
    shelf.path.write_bytes(content)
    assert same(list(bench.measure(ONE, RATE, shelf=shelf)), curve(bench, ONE))


def test_the_state_of_another_pyramid_is_not_taken(tmp_path: Path) -> None:
    bench, shelf = bench_of(tmp_path), Shelf(tmp_path / "one.safetensors")
    stopped(bench, shelf)
    assert same(list(bench.measure(OTHER, RATE, shelf=shelf)), curve(bench, OTHER))


def test_where_nothing_can_be_kept_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of(tmp_path)
    (tmp_path / "file").write_text("no folder")
    blocked = Shelf(tmp_path / "file" / "one.safetensors")
    assert same(list(bench.measure(ONE, RATE, shelf=blocked)), curve(bench, ONE))
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    large = Shelf(tmp_path / "one.safetensors")
    stopped(bench, large)
    assert not large.path.exists()
