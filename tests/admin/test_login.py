"""Who gets in, for how long, and where to."""

import asyncio
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from httpx2 import Response

from fastapi_jobs.admin import passwords
from fastapi_jobs.admin.login import COOKIE, NOBODY, WRONG
from fastapi_jobs.admin.throttle import FREE_TRIES, LONGEST_WAIT, Throttle
from fastapi_jobs.clock import shift_clock
from tests.admin.conftest import Login
from tests.admin.serving import NAMES, PASSWORD, USERS, make_jobs, started

START = "/jobs-admin"


def cookie_of(answer: Response) -> set[str]:
    """The parts of the session cookie that an answer sets, in lower case."""
    [cookie] = [each for each in answer.headers.get_list("set-cookie") if each.startswith(COOKIE)]
    return {part.strip().lower() for part in cookie.split(";")}


@pytest.mark.parametrize("role", NAMES)
async def test_the_login_leads_to_the_overview(login: Login, role: str) -> None:
    visitor = await login(role)
    page = await visitor.get("/overview")
    assert page.status_code == 200
    assert f"<small>{role}</small>" in page.text
    first = await visitor.get("/")
    assert (first.status_code, first.headers["location"]) == (303, f"{START}/overview")


async def test_the_session_cookie_is_for_this_server_alone(login: Login) -> None:
    visitor = await login()
    answer = await visitor.log_in("anna")
    parts = cookie_of(answer)
    assert {"httponly", "samesite=lax", "path=/", "max-age=43200"} <= parts
    assert "secure" not in parts, "development is plain HTTP"


@pytest.mark.parametrize("environment", ["production", "staging"])
async def test_the_session_cookie_needs_tls_where_others_are(
    environment: str, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "settings.toml").write_text(f"[{environment}.fastapi_jobs]\napi_open = true\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTAPI_JOBS_ENV", environment)
    async with started(make_jobs(sqlite_url)) as site:
        site.base = "https://test"
        async with site.visitor() as visitor:
            assert "secure" in cookie_of(await visitor.log_in("anna"))
            assert (await visitor.get("/jobs")).status_code == 200


@pytest.mark.parametrize("name", ["vera", "nobody", "", "a" * 5000, "<b>"])
async def test_a_wrong_login_says_the_same_and_costs_the_same(
    name: str, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[str] = []
    verify = passwords._verify

    def noted(password: str, hashed: str) -> bool:
        worked.append(hashed)
        return verify(password, hashed)

    monkeypatch.setattr(passwords, "_verify", noted)
    visitor = await login()
    answer = await visitor.log_in(name, "wrong")
    assert answer.status_code == 401
    assert answer.text.count(WRONG) == 1
    assert name not in answer.text or len(name) < 5
    assert [each in {user["password_hash"] for user in USERS.values()} for each in worked] == [True]
    assert (await visitor.get("/overview")).status_code == 303


async def test_a_wrong_login_is_logged_without_the_password(
    login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    visitor = await login()
    with caplog.at_level(logging.INFO, "fastapi_jobs.admin"):
        await visitor.log_in("vera", "almost right")
        await visitor.log_in("vera")
    assert [record.getMessage() for record in caplog.records] == [
        "a login as 'vera' from 127.0.0.1 failed",
        "'vera' logged in from 127.0.0.1",
    ]


async def test_without_users_nobody_gets_in(sqlite_url: str) -> None:
    jobs = make_jobs(sqlite_url, admin={"users": {}})
    async with started(jobs) as site, site.visitor() as visitor:
        page = await visitor.get("/login")
        assert "fastapi-jobs admin-password NAME" in page.text
        assert NOBODY.split("`")[0] in page.text
        answer = await visitor.log_in("anna")
        assert (answer.status_code, WRONG in answer.text) == (401, True)


async def test_guessing_is_slowed_down(still: None, login: Login) -> None:
    visitor = await login()
    for _ in range(FREE_TRIES):
        assert (await visitor.log_in("vera", "wrong")).status_code == 401
    for name in ("vera", "otto"):  # by the name, and by where it comes from
        answer = await visitor.log_in(name)
        assert answer.status_code == 429
        assert "Too many tries. Try again in 1 s." in answer.text


def test_each_failure_doubles_the_wait() -> None:
    now = [1000.0]
    throttle = Throttle(lambda: now[0])
    waits = []
    for _ in range(FREE_TRIES + 12):
        throttle.failed("a")
        waits.append(throttle.wait("a"))
    assert waits[: FREE_TRIES + 3] == [0.0] * (FREE_TRIES - 1) + [1.0, 2.0, 4.0, 8.0]
    assert max(waits) == LONGEST_WAIT
    assert throttle.wait("b") == 0
    now[0] += LONGEST_WAIT
    assert throttle.wait("a") == 0
    throttle.failed("a")
    assert throttle.wait("a") == LONGEST_WAIT
    throttle.succeeded("a")
    assert throttle.wait("a") == 0


async def test_many_guesses_at_once_are_many(still: None, login: Login) -> None:
    visitor = await login()
    await visitor.load_token("/login")
    fields = {"username": "vera", "password": "wrong", "csrf": visitor.token}
    answers = await asyncio.gather(*(visitor.post("/login", data=fields) for _ in range(12)))
    tried = [each.status_code for each in answers].count(401)
    assert tried == FREE_TRIES


async def test_an_old_session_leads_to_the_login_and_then_on(login: Login) -> None:
    visitor = await login("viewer")
    assert (await visitor.get("/jobs")).status_code == 200
    try:
        shift_clock(timedelta(seconds=43_201))
        answer = await visitor.get("/jobs?status=failed&task=a.b")
        to = f"{START}/login?next=%2Fjobs%3Fstatus%3Dfailed%26task%3Da.b"
        assert (answer.status_code, answer.headers["location"]) == (303, to)
        live = await visitor.get("/jobs", headers={"X-Jobs-Live": "1"})
        assert (live.status_code, live.text) == (401, "Log in again.")
        back = await visitor.log_in("vera", next="/jobs?status=failed&task=a.b")
        assert back.headers["location"] == f"{START}/jobs?status=failed&task=a.b"
        assert (await visitor.get("/jobs")).status_code == 200
    finally:
        shift_clock(timedelta())


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.test/", "//evil.test", "/\\evil.test", "\\\\evil.test", "/\t/evil.test", "evil"],
)
async def test_the_login_leads_nowhere_else(login: Login, wanted: str) -> None:
    visitor = await login()
    answer = await visitor.log_in("vera", next=wanted)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{START}/")


async def test_a_new_password_ends_the_session(sqlite_url: str) -> None:
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    changed = USERS | {"vera": {"password_hash": cheap.hash("another one"), "role": "viewer"}}
    async with started(make_jobs(sqlite_url)) as site, site.visitor("viewer") as visitor:
        cookie = visitor.cookies[COOKIE]
    # Other processes know the session as well; after the change none does.
    for users, status in ((USERS, 200), (changed, 303)):
        jobs = make_jobs(sqlite_url, admin={"users": users})
        async with started(jobs) as site, site.visitor() as visitor:
            visitor.cookies.set(COOKIE, cookie)
            assert (await visitor.get("/jobs")).status_code == status


async def test_a_session_that_was_made_up_is_none(login: Login) -> None:
    visitor = await login("viewer")
    kept = visitor.cookies[COOKIE]
    visitor.cookies.clear()
    visitor.cookies.set(COOKIE, kept[:-2] + ("AA" if kept[-2:] != "AA" else "BB"))
    assert (await visitor.get("/jobs")).status_code == 303


async def test_logging_out_is_a_change(login: Login) -> None:
    visitor = await login("viewer")
    assert (await visitor.get("/logout")).status_code == 405
    assert (await visitor.post("/logout")).status_code == 403
    assert (await visitor.get("/jobs")).status_code == 200
    answer = await visitor.change("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{START}/login")
    assert (await visitor.get("/jobs")).status_code == 303


async def test_logging_in_needs_the_token_of_the_page(login: Login) -> None:
    visitor = await login()
    fields = {"username": "vera", "password": PASSWORD}
    assert (await visitor.post("/login", data=fields)).status_code == 403
    await visitor.load_token("/login")
    fields["csrf"] = visitor.token
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert (await visitor.post("/login", data=fields, headers=foreign)).status_code == 403
    assert (await visitor.post("/login", data=fields)).status_code == 303
