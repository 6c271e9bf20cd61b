"""``cmpc bulk --engine ray`` on a cluster of two nodes, which are processes of this machine."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bulk.material import EXPRESSIONS, answers, bulk, write_lines

ray = pytest.importorskip("ray", reason="the extra ray is not installed")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with a core for workers each; the first one is where commands are typed."""
    from ray.cluster_utils import Cluster

    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        memory = {"object_store_memory": 80 * 1024**2}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
        cluster.workers = [cluster.add_node(num_cpus=1, **memory)]
        cluster.wait_for_nodes()
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
def test_ray_gives_what_one_process_gives(cluster: Any, table: Path, tiny_model_folder: Path, tmp_path: Path) -> None:
    options = ("--model", tiny_model_folder, "--rows-per-part", 4)
    assert bulk(table, *options, "--out", tmp_path / "one") == 0
    on_ray = ("--engine", "ray", "--workers", 2, "--address", cluster.address)
    assert bulk(table, *options, "--out", tmp_path / "two", *on_ray) == 0
    assert answers(tmp_path / "two") == answers(tmp_path / "one")
    names = [{file.name for file in (tmp_path / out).iterdir()} for out in ("one", "two")]
    assert names[0] == names[1]


@pytest.mark.slow
def test_a_node_that_goes_away_costs_no_row(
    cluster: Any, photos: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """10,000 rows, of which one in a hundred is bad."""
    rows: list[dict[str, str] | str] = [
        {"image": f"{number % 6}.jpg", "expression": EXPRESSIONS[number % 5]} for number in range(10_000)
    ]
    for number in range(0, 10_000, 100):
        rows[number] = ("{no json", {"image": "missing.jpg", "expression": "dog"})[number // 100 % 2]
    table = write_lines(tmp_path / "table.jsonl", rows)
    out = tmp_path / "out"
    removed = threading.Event()

    def remove_a_node() -> None:
        while not removed.is_set() and len(list(out.glob("part-*"))) < 4:
            time.sleep(0.02)
        cluster.remove_node(cluster.workers.pop(), allow_graceful=False)
        removed.set()

    remover = threading.Thread(target=remove_a_node)
    remover.start()
    try:
        options = ("--images", photos, "--model", tiny_model_folder, "--out", out, "--rows-per-part", 250)
        status = bulk(table, *options, "--engine", "ray", "--workers", 2, "--address", cluster.address)
    finally:
        removed.set()
        remover.join()
    assert status == 0
    found = answers(out)
    assert len(found) == 10_000
    assert [number for number, row in enumerate(found) if row["error"] is not None] == list(range(0, 10_000, 100))
    head = tmp_path / "head.jsonl"
    head.write_text("".join(table.read_text().splitlines(keepends=True)[:500]))
    one = (*options[:-3], tmp_path / "one", *options[-2:])
    assert bulk(head, *one) == 0
    assert answers(tmp_path / "one") == found[:500]
    assert json.loads((out / "_bulk.json").read_text())["finished"] == {"parts": 40, "rows": 10_000, "errors": 100}


@pytest.mark.slow
def test_what_no_worker_can_mend_ends_the_job_with_a_sentence(
    cluster: Any, table: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on_ray = ("--engine", "ray", "--workers", 1, "--address", cluster.address)
    arguments = (table, "--model", tiny_model_folder, "--out", tmp_path / "out", *on_ray)
    assert bulk(*arguments, "--device", "abacus") == 1
    assert "there is no device 'abacus'" in capsys.readouterr().err
    assert bulk(*arguments, "--resume") == 0
    assert len(answers(tmp_path / "out")) == 38
    assert (
        bulk(table, *arguments[1:4], tmp_path / "new", *on_ray[:2], "--workers", 99, "--address", cluster.address) == 1
    )
    assert "--workers 99 need 99 cores" in capsys.readouterr().err


def test_a_dead_address_is_told(
    table: Path, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ("--model", tiny_model_folder, "--out", tmp_path / "out", "--engine", "ray")
    assert bulk(table, *options, "--address", address) == 1
    assert f"no Ray cluster answers at {address}" in capsys.readouterr().err
    assert bulk(table, *options, "--address", "somewhere") == 1
    assert "is no address of a Ray cluster" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_ray_is_told(
    table: Path,
    tiny_model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert bulk(table, "--model", tiny_model_folder, "--out", tmp_path / "out", "--engine", "ray") == 1
    assert "pip install 'cmpc[ray]'" in capsys.readouterr().err
