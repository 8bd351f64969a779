"""Checking with workers that nobody here wrote: a dask cluster's executor."""

from __future__ import annotations

import os
import warnings

import pytest

from frskit.errors import FileMissing
from frskit.ese import check_database

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what dask's own imports warn of is not our business
    distributed = pytest.importorskip(
        "distributed", reason="dask[distributed] is not installed (dependency group oracles)"
    )

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def client():
    """A cluster of one worker process, on loopback; the dashboard's port is whichever is free."""
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as made,
    ):
        yield made


@pytest.fixture
def damaged(forge, tmp_path):
    """A database of several parts with damage in the first and the last one."""
    data = forge.database(600)
    data[4 * 4096 + 100] ^= 1
    data[600 * 4096 + 100] ^= 3
    path = tmp_path / "mail.edb"
    path.write_bytes(data)
    return path


def test_a_cluster_reports_what_one_thread_reports(client, damaged, monkeypatch):
    """Parts travel to worker processes as descriptions; the report is the same in every field."""
    monkeypatch.setattr("frskit.ese.database._PART_BYTES", 128 * 4096)
    alone = check_database(damaged)
    assert alone.pages_seen == 602
    report = check_database(damaged, executor=client.get_executor())
    assert report == alone
    assert [(each.page, each.status) for each in report.damaged] == [
        (3, "correctable"),
        (599, "bad"),
    ]


def test_the_work_is_done_elsewhere(client, damaged):
    """The workers are other processes; progress is called here, up to the last byte."""
    executor = client.get_executor()
    assert executor.submit(os.getpid).result() != os.getpid()
    progress = []
    report = check_database(
        str(damaged),
        executor=executor,
        progress=lambda done, total: progress.append((os.getpid(), done, total)),
    )
    assert report.pages_bad == 1
    assert progress[-1] == (os.getpid(), 602 * 4096, 602 * 4096)


def test_an_error_in_a_worker_is_frskits_own(client, damaged, monkeypatch):
    """A file that is gone when a worker opens it raises the same typed error as at home."""
    executor = client.get_executor()
    real = executor.submit

    def submit(function, *args):
        damaged.unlink(missing_ok=True)
        return real(function, *args)

    monkeypatch.setattr(executor, "submit", submit)
    with pytest.raises(FileMissing) as caught:
        check_database(damaged, executor=executor)
    assert caught.value.context["path"] == str(damaged)
