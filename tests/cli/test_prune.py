"""`fastapi-jobs prune`: by retention or by age, counted first."""

from datetime import timedelta

import pytest

from fastapi_jobs.clock import utc_now
from fastapi_jobs.status import JobStatus
from fastapi_jobs.store import pruning
from fastapi_jobs.store.moves import RequestCancel
from fastapi_jobs.store.pruning import count_old
from fastapi_jobs.store.store import Store
from tests.cli.command import Site
from tests.cli.test_commands import good, parsed, refused, statuses
from tests.store.driving import claim, failure_of, insert, new_job, open_store, register

OLD = utc_now() - timedelta(days=20)


def fill(store: Store) -> None:
    """Old: 3 cancelled and 2 failed; young: 1 cancelled; 1 waits since long."""
    old = [new_job(at=OLD) for _ in range(6)]
    young = new_job(at=utc_now())
    for job in old:
        job.id = type(job.id)(int=job.id.int - (20 * 86_400_000 << 80))
    insert(store, *old, young)
    for job in old[:3]:
        store.write_sync(RequestCancel(job.id, OLD))
    store.write_sync(RequestCancel(young.id, utc_now()))
    for claimed in claim(store, register(store), 2, at=OLD):
        store.write_sync(failure_of(claimed, at=OLD))


def test_by_retention_and_by_age(site: Site) -> None:
    with open_store(site.url) as store:
        fill(store)
    dry = parsed(site, "prune", "--dry-run")
    assert dry["deleted"] == {"cancelled": 3, "failed": 0, "succeeded": 0}
    assert dry["dry_run"] is True
    assert len(statuses(site)) == 7
    said = good(site, "prune", "--status", "cancelled")
    assert said.startswith("cancelled  3 deleted, finished before 20")
    assert len(statuses(site)) == 4
    assert parsed(site, "prune", "--older-than", "10d")["deleted"]["failed"] == 2
    assert sorted(statuses(site)) == ["cancelled", "queued"]
    assert sum(parsed(site, "prune")["deleted"].values()) == 0


def test_what_is_kept_for_ever(sqlite_site: Site) -> None:
    (sqlite_site.folder / "settings.toml").write_text(
        f'[default.fastapi_jobs]\ndatabase_url = "{sqlite_site.url}"\n'
        "[default.fastapi_jobs.retention]\nfailed = 0\n"
    )
    assert "failed     kept for ever (retention); --older-than" in good(sqlite_site, "prune")
    assert "failed" not in parsed(sqlite_site, "prune")["deleted"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--status", "running"], "'running': only finished jobs are pruned: succeeded, failed"),
        (["--status", "faild"], "Did you mean 'failed'?"),
        (["--older-than", "long"], "'long': give a time such as"),
    ],
    ids=str,
)
def test_refusals(sqlite_site: Site, words: list[str], sentence: str) -> None:
    assert sentence in refused(sqlite_site, "prune", *words)


def test_counting_goes_step_by_step(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "STEP", 2)
    with open_store(database_url) as store:
        fill(store)
        edge = utc_now() - timedelta(days=10)
        assert store.read_sync(count_old, JobStatus.CANCELLED, edge) == 3
        assert store.read_sync(count_old, JobStatus.FAILED, edge) == 2
        assert store.read_sync(count_old, JobStatus.CANCELLED, OLD) == 0
