"""Which FastAPIJobs is tested, and the ways into its app."""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import create_engine
from sqlmodel import Session

from fastapi_jobs import BackgroundJobs, FastAPIJobs, JobStatus
from fastapi_jobs.errors import InvalidOption
from fastapi_jobs.testing import Drained, JobsTest, SeveralApps, TooLate
from tests.testing.tasks import SENT, add_up, fails, send_welcome, where
from tests.transactions.hosting import async_session


def make_app(jobs: FastAPIJobs, session_url: str = "") -> FastAPI:
    """A shop that enqueues in every way."""
    app = FastAPI()
    jobs.init_app(app, permission=lambda request, action, job: True)

    @app.post("/signup")
    async def signup(email: str) -> dict[str, str]:
        job = await send_welcome.enqueue(email)
        return {"status": job.status}

    @app.post("/signup-def")
    def signup_def(email: str) -> None:
        send_welcome.enqueue_sync(email)

    @app.post("/signup-after")
    async def signup_after(email: str, background: BackgroundJobs) -> None:
        background.add_task(send_welcome, email)
        background.add_task(add_up, [1])

    @app.post("/where")
    async def here() -> dict[str, int]:
        from threading import get_ident

        await where.enqueue()
        return {"thread": get_ident()}

    @app.post("/order")
    async def order(email: str, fail: bool = False) -> list[str]:
        async with async_session(session_url) as session:
            await send_welcome.using(session=session).enqueue(email)
            before = list(SENT)
            if not fail:
                await session.commit()
        return before

    return app


def test_the_configured_database_is_not_touched(jobs_test: JobsTest, jobs: FastAPIJobs) -> None:
    with TestClient(make_app(jobs)) as client:
        assert client.post("/signup", params={"email": "a"}).json() == {"status": "queued"}
        client.post("/signup-def", params={"email": "b"})
        client.post("/signup-after", params={"email": "c"})
        emails = [each.arguments["email"] for each in jobs_test.enqueued(send_welcome)]
        assert emails == ["a", "b", "c"]
        jobs_test.assert_enqueued(add_up, [1])
        assert SENT == []
        assert jobs_test.drain_sync() == Drained(succeeded=4)
        listed = client.get("/jobs").json()
        assert {each["status"] for each in listed["items"]} == {"succeeded"}
    jobs_test.assert_enqueued(send_welcome, "c")  # after the app's end, too


def test_jobs_run_on_the_loop_of_the_app(jobs_test: JobsTest, jobs: FastAPIJobs) -> None:
    with TestClient(make_app(jobs)) as client:
        thread = client.post("/where").json()["thread"]
        assert jobs_test.drain_sync() == Drained(succeeded=1)
        [job] = jobs_test.enqueued(where)
        assert job.job.result_sync() == thread
        assert jobs_test.perform_sync(where).result == thread


async def test_on_the_tests_own_loop(jobs_test: JobsTest, jobs: FastAPIJobs) -> None:
    app = make_app(jobs)
    transport = ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        thread = (await client.post("/where")).json()["thread"]
        await client.post("/signup", params={"email": "a"})
        jobs_test.assert_enqueued(send_welcome, "a")
        assert await jobs_test.drain() == Drained(succeeded=2)
        [job] = jobs_test.enqueued(where)
        assert await job.job.result() == thread


async def test_without_a_lifespan(jobs_test: JobsTest, jobs: FastAPIJobs) -> None:
    transport = ASGITransport(app=make_app(jobs))
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        await client.post("/signup", params={"email": "a"})
    jobs_test.assert_enqueued(send_welcome, "a")


def test_an_app_of_before(jobs: FastAPIJobs, tmp_path: Path) -> None:
    """A module's app: it was there before the test, and gets its own settings back after it."""
    client = TestClient(make_app(jobs))
    configured = jobs.settings.database_url
    with JobsTest(tmp_path) as jobs_test:
        assert jobs.settings.database_url.startswith(f"sqlite:///{tmp_path}")
        client.post("/signup", params={"email": "a"})
        jobs_test.assert_enqueued(send_welcome, "a")
    assert jobs.settings.database_url == configured
    (tmp_path / "second").mkdir()
    with JobsTest(tmp_path / "second") as jobs_test:
        jobs_test.assert_not_enqueued(send_welcome)


async def test_no_app_at_all(jobs_test: JobsTest) -> None:
    await send_welcome.enqueue("a")
    jobs_test.assert_enqueued(send_welcome)


def test_the_app_that_comes_takes_the_place_of_none(jobs_test: JobsTest) -> None:
    later = FastAPIJobs(name="later")
    send_welcome.enqueue_sync("a")
    [job] = jobs_test.enqueued(send_welcome)
    assert later.get_sync(job.job.id) == job.job


@pytest.mark.parametrize("apps", [1, 2])
def test_apps_that_earlier_tests_shut_down(tmp_path: Path, apps: int) -> None:
    """One may be a module's app, that the next test uses again; of several nobody knows which."""
    earlier = [FastAPIJobs(database_url=f"sqlite:///{tmp_path / 'real.db'}") for _ in range(apps)]
    for jobs in earlier:
        with TestClient(make_app(jobs)):
            pass
    (tmp_path / "test").mkdir()
    with JobsTest(tmp_path / "test") as jobs_test:
        send_welcome.enqueue_sync("a")
        jobs_test.assert_enqueued(send_welcome, "a")
        in_earlier = [len(asyncio.run(each.list())[0]) for each in earlier]
        assert in_earlier == ([1] if apps == 1 else [0, 0])


def test_started_before_the_fixture(tmp_path: Path) -> None:
    jobs = FastAPIJobs(database_url=f"sqlite:///{tmp_path / 'real.db'}", dispatch=False)
    app = make_app(jobs)
    sentence = (
        rf"The FastAPIJobs 'real.db' was started on sqlite:///{tmp_path}/real.db before jobs_test "
        r"could take it over. Let the fixture that starts the app ask for jobs_test: "
        r"def client\(jobs_test\): with TestClient\(app\) as client: yield client\."
    )
    with TestClient(app), pytest.raises(TooLate, match=sentence), JobsTest(tmp_path):
        pass
    other = FastAPIJobs(name="other")
    with TestClient(app), JobsTest(tmp_path) as jobs_test:
        send_welcome.using(app=other).enqueue_sync("a")
        jobs_test.assert_enqueued(send_welcome, "a")
        with pytest.raises(TooLate):
            jobs_test.use(jobs)


def test_two_apps(jobs_test: JobsTest) -> None:
    shop, crm = FastAPIJobs(name="shop"), FastAPIJobs(name="crm")
    sentence = r"Several FastAPIJobs exist here \(crm, shop\).*Say it: jobs_test.use\(jobs\)"
    with pytest.raises(SeveralApps, match=sentence):
        jobs_test.enqueued()
    send_welcome.using(app=shop).enqueue_sync("a")
    jobs_test.assert_enqueued(send_welcome, "a")  # the only one that was touched
    add_up.using(app=crm).enqueue_sync([1])
    with pytest.raises(SeveralApps):
        jobs_test.assert_enqueued(add_up)
    jobs_test.assert_enqueued(add_up.using(app=crm), [1])
    with pytest.raises(AssertionError, match=r"other tasks: .*add_up \(1\)"):
        jobs_test.assert_enqueued(send_welcome.using(app=crm))
    jobs_test.use(crm)
    jobs_test.assert_enqueued(add_up, [1])
    jobs_test.assert_not_enqueued(send_welcome)
    add_up.enqueue_sync([2])
    jobs_test.assert_enqueued(add_up.using(app=crm), [2])
    with pytest.raises(InvalidOption, match=r"give a FastAPIJobs\."):
        jobs_test.use(FastAPI())


# The modes.


def test_immediate(jobs_test: JobsTest, jobs: FastAPIJobs) -> None:
    jobs_test.mode = "immediate"
    with TestClient(make_app(jobs)) as client:
        assert client.post("/signup", params={"email": "a"}).json() == {"status": "succeeded"}
        client.post("/signup-def", params={"email": "b"})
        client.post("/signup-after", params={"email": "c"})
        thread = client.post("/where").json()["thread"]
    assert SENT == ["a", "b", "c"]
    assert jobs_test.enqueued(where)[0].job.result_sync() == thread
    jobs_test.assert_enqueued(send_welcome, "b")


async def test_immediate_whatever_the_backend(jobs_test: JobsTest) -> None:
    jobs_test.mode = "immediate"
    job = await send_welcome.using(backend="process").enqueue("a")
    failed = await fails.enqueue("no stock")
    later = await send_welcome.using(run_after=60).enqueue("later")
    found = [job.status, failed.status, later.status]
    assert found == [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.SCHEDULED]
    jobs_test.mode = "manual"
    assert (await send_welcome.using(backend="immediate").enqueue("b")).status is JobStatus.QUEUED
    assert SENT == ["a"]


def test_the_mode_holds_for_apps_that_come_later(jobs_test: JobsTest) -> None:
    recording = FastAPIJobs(name="recording", backend="immediate")
    assert send_welcome.using(app=recording).enqueue_sync("a").status is JobStatus.QUEUED
    jobs_test.mode = "immediate"
    running = FastAPIJobs(name="running")
    assert send_welcome.using(app=running).enqueue_sync("b").status is JobStatus.SUCCEEDED


def test_a_mode_that_does_not_exist(jobs_test: JobsTest) -> None:
    with pytest.raises(InvalidOption, match=r"give \"manual\" .*mean 'immediate'"):
        jobs_test.mode = "imediate"  # type: ignore[assignment]


class TestSessions:
    """The host's own transaction needs the host's own database."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'shop.db'}"

    @pytest.fixture
    def jobs_test_settings(self, url: str) -> Mapping[str, Any]:
        return {"database_url": url}

    def test_manual(self, jobs_test: JobsTest, jobs: FastAPIJobs, url: str) -> None:
        with TestClient(make_app(jobs, url)) as client:
            client.post("/order", params={"email": "a", "fail": True})
            jobs_test.assert_not_enqueued(send_welcome)
            client.post("/order", params={"email": "a"})
            jobs_test.assert_enqueued(send_welcome, "a")

    def test_immediate_is_after_the_commit(
        self, jobs_test: JobsTest, jobs: FastAPIJobs, url: str
    ) -> None:
        jobs_test.mode = "immediate"
        with TestClient(make_app(jobs, url)) as client:
            assert client.post("/order", params={"email": "a"}).json() == []
            assert SENT == ["a"]

    def test_a_session_says_nothing_of_a_stored_job(self, jobs_test: JobsTest, url: str) -> None:
        with closing(create_engine(url).connect()) as connection, Session(connection) as session:
            with pytest.raises(InvalidOption, match="commit before you look"):
                jobs_test.assert_enqueued(send_welcome.using(session=session))
            with pytest.raises(InvalidOption, match="perform stores its job by itself"):
                jobs_test.perform_sync(send_welcome.using(session=session), "a")
