"""The switch and the limits of queues: who may, what they do, and what is noted."""

import pytest

from fastapi_jobs.models import AuditRecord, QueueRecord
from fastapi_jobs.store import queries
from fastapi_jobs.store.audit import list_audit
from tests.admin.board import fine, waits
from tests.admin.conftest import Login
from tests.admin.serving import NAMES, Site
from tests.api.conftest import until

CHANGES = {
    "pause": {"reason": "Too much mail"},
    "resume": {},
    "limits": {"max_running": "3", "priority": "-7"},
    "reset": {},
}
MAY = {"operator": {"pause", "resume"}, "admin": set(CHANGES)}


async def row_of(site: Site, name: str) -> QueueRecord:
    rows = await site.jobs.runtime.store.read(queries.get_queues)
    return next((each for each in rows if each.name == name), QueueRecord(name=name))


async def noted(site: Site, target: str | None = None) -> list[AuditRecord]:
    return list((await site.jobs.runtime.store.read(list_audit, target=target)).items)


@pytest.mark.parametrize("role", NAMES)
@pytest.mark.parametrize("change", CHANGES)
async def test_each_role_may_what_it_may(site: Site, login: Login, role: str, change: str) -> None:
    visitor = await login(role)
    answer = await visitor.change(f"/queues/{change}", queue="default", **CHANGES[change])
    entries = await noted(site, "default")
    if change not in MAY.get(role, ()):
        assert (answer.status_code, entries) == (403, [])
        assert await row_of(site, "default") == QueueRecord(name="default")
        return
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs-admin/queues")
    [entry] = entries
    action = "limits" if change == "reset" else change
    assert (entry.who, entry.action, entry.address) == (NAMES[role], action, "127.0.0.1")


@pytest.mark.parametrize("role", NAMES)
async def test_buttons_are_there_for_whom_they_serve(login: Login, role: str) -> None:
    page = (await (await login(role)).get("/queues")).text
    may = MAY.get(role, set())
    assert ("Pause…" in page) == ("pause" in may)
    assert ("Limits…" in page) == ("limits" in may)


async def test_pause_and_resume(site: Site, login: Login) -> None:
    otto = await login("operator")
    await otto.change("/queues/pause", queue="default", reason=" <i>Too</i> much mail ")
    row = await row_of(site, "default")
    assert (row.paused, row.paused_by, row.pause_reason) == (True, "otto", "<i>Too</i> much mail")
    page = (await otto.get("/queues")).text
    assert "Paused by <strong>otto</strong>" in page
    assert "&lt;i&gt;Too&lt;/i&gt; much mail" in page
    job = await fine.enqueue()
    await otto.change("/queues/resume", queue="default")
    assert (await job.wait(timeout=20)).status == "succeeded"
    entries = await noted(site, "default")
    assert [each.action for each in entries] == ["resume", "pause"]
    assert [each.details for each in entries] == [None, '{"reason":"<i>Too</i> much mail"}']


async def test_a_limit_holds_until_it_is_taken_back(site: Site, login: Login) -> None:
    anna = await login("admin")
    await anna.change("/queues/limits", queue="reports", max_running="1", priority="5")
    jobs = await site.jobs.enqueue_many([waits.s(), waits.s(), waits.s()])
    page = (await anna.get("/queues")).text
    assert 'max="1"' in page
    assert "wins over the settings" in page

    async def one_runs() -> bool:
        found = sorted([(await each.refresh()).status for each in jobs])
        return found == ["queued", "queued", "running"]

    await until(one_runs)
    await anna.change("/queues/reset", queue="reports")
    row = await row_of(site, "reports")
    assert (row.max_running, row.priority) == (None, None)
    assert "wins over the settings</p>" not in (await anna.get("/queues")).text


async def test_one_of_the_limits_may_stay_with_the_settings(site: Site, login: Login) -> None:
    await (await login("admin")).change("/queues/limits", queue="mail", max_running="0")
    row = await row_of(site, "mail")
    assert (row.max_running, row.priority) == (0, None)


@pytest.mark.parametrize(
    ("change", "fields", "said"),
    [
        ("limits", {"max_running": "-1"}, "give a whole number from 0 to 1,000,000"),
        ("limits", {"max_running": "many"}, "max_running=&#39;many&#39;: give a whole number"),
        ("limits", {"priority": "101"}, "give a whole number from -100 to 100"),
        ("pause", {"reason": "x" * 1001}, "a reason has at most 1,000 characters"),
        ("pause", {"queue": "defautl"}, "There is no queue &#39;defautl&#39;. Did you mean"),
        ("reset", {"queue": ""}, "There is no queue"),
    ],
)
async def test_what_breaks_a_rule_is_told_and_changes_nothing(
    site: Site, login: Login, change: str, fields: dict[str, str], said: str
) -> None:
    anna = await login("admin")
    answer = await anna.change(f"/queues/{change}", **{"queue": "default", **fields})
    assert answer.status_code == 303
    assert said in (await anna.get("/queues")).text
    assert await row_of(site, "default") == QueueRecord(name="default")
    assert {each.action for each in await noted(site)} <= {"login"}


async def test_the_settings_are_shown_beside_what_a_person_changed(
    site: Site, login: Login
) -> None:
    anna = await login("admin")
    await anna.change("/queues/limits", queue="default", max_running="4", priority="9")
    page = (await anna.get("/queues")).text
    assert "of 4 <small>(settings: no limit)</small>" in page
    assert "9 <small>(settings: 0)</small>" in page
