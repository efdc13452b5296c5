"""`fastapi-jobs bench`: figures and advice, and no trace in the host's database."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from fastapi_jobs.cli.advice import advise
from fastapi_jobs.cli.measuring import Latency, Measured, latency, usable_cores
from fastapi_jobs.conf import load
from fastapi_jobs.store import scratch
from fastapi_jobs.store.database import Database
from fastapi_jobs.store.scratch import NoScratch, scratch_url
from tests.cli.command import Site
from tests.cli.test_commands import good, parsed, refused, stored


def schemas(url: str) -> list[str]:
    """The schemas of a PostgreSQL database that are ours."""
    engine = create_engine(Database(url).url)
    try:
        with engine.connect() as connection:
            found = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'fastapi_jobs%'"
            return list(connection.execute(text(found)).scalars())
    finally:
        engine.dispose()


def test_figures_and_advice_and_no_trace(site: Site) -> None:
    job = stored(site)
    files = sorted(site.folder.iterdir())
    found = parsed(site, "bench", "--seconds", "0.5")
    measured = found["measured"]
    assert measured["jobs_per_second"] > 0
    assert 0 < measured["commit_full"]["p50"] <= measured["commit_full"]["p99"]
    assert measured["start"]["p50"] > 0
    assert [each["key"] for each in found["advice"]] == [
        "durability",
        "asyncio.max_running",
        "process.max_workers",
    ]
    assert sorted(site.folder.iterdir()) == files
    assert [each["id"] for each in parsed(site, "list")["items"]] == [job]
    if site.url.startswith("postgresql"):
        assert schemas(site.url) == []


def test_words(sqlite_site: Site) -> None:
    said = good(sqlite_site, "bench", "--seconds", "0.3")
    assert " a second, enqueued, run and recorded\n" in said
    assert '\nWhat to set:\n- durability = "full" (as it is): a commit ' in said
    assert "--seconds" in refused(sqlite_site, "bench", "--seconds", "0")


def test_an_account_that_may_not_make_schemas(tmp_path: Path, postgres_url: str) -> None:
    engine = create_engine(Database(postgres_url).url)
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE poor_one LOGIN"))
    url = Database(postgres_url).url.set(username="poor_one", password=None)
    try:
        site = Site(tmp_path, url.render_as_string(hide_password=False))
        said = refused(site, "bench", "--seconds", "0.1")
        assert said.startswith("No schema of its own can be had in postgresql+psycopg://poor_one")
        assert "permission denied" in said
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP ROLE poor_one"))
        engine.dispose()


def test_the_schema_goes_even_when_measuring_fails(postgres_url: str) -> None:
    seen = []
    with suppress(ZeroDivisionError), scratch_url(postgres_url) as url:
        seen = schemas(postgres_url)
        assert f"search_path%3D{seen[0]}" in url
        raise ZeroDivisionError
    assert len(seen) == 1
    assert schemas(postgres_url) == []


def test_an_option_that_is_not_passed_on_is_noticed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "SEARCH_PATH", "-cgeqo=on")
    with pytest.raises(NoScratch, match="search_path is not passed on"), scratch_url(postgres_url):
        pass
    assert schemas(postgres_url) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    site = Site(tmp_path, f"sqlite:///{tmp_path}/file/jobs.db")
    assert str(tmp_path / "file") in refused(site, "bench", "--seconds", "0.1")


def measured(full: float = 1.0, rate: float = 5000.0, cores: float = 4) -> Measured:
    """Figures of a machine."""
    return Measured(Latency(full, full), Latency(0.1, 0.2), Latency(1, 2), rate, cores)


def test_advice() -> None:
    url = "sqlite:////tmp/unused.db"
    settings = load(database_url=url, durability="normal", process={"max_workers": 8})
    durability, running, workers = advise(settings, measured(full=12.0, cores=2.5))
    assert (durability.now, durability.value) == ('"normal"', '"full"')
    assert durability.is_change
    assert 'a commit takes 12.0 ms with "full" and 0.1 ms with "normal"' in durability.why
    assert (running.now, running.value) == ("100", "1000")
    assert "if a job takes no longer than 20 ms" in running.why
    assert (workers.now, workers.value) == ("8", "2")
    assert "may use 2.5 cores" in workers.why
    small = load(database_url=url, process={"max_workers": 1})
    durability, running, workers = advise(small, measured(rate=90.0))
    assert [each.is_change for each in (durability, running, workers)] == [False, False, False]


def test_quantiles() -> None:
    found = latency([0.001] * 99 + [0.1])
    assert found.p50 == 1.0
    assert found.p99 == pytest.approx(1.99)


@pytest.mark.parametrize(
    ("content", "limit"), [("50000 100000", 0.5), ("max 100000", None), ("junk", None)]
)
def test_the_quota_of_a_container(tmp_path: Path, content: str, limit: float | None) -> None:
    quota = tmp_path / "cpu.max"
    here = usable_cores(quota)
    quota.write_text(content)
    assert usable_cores(quota) == (here if limit is None else limit)
    assert json.dumps(here)
