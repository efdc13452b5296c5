"""Who changed what: one entry for a change, none for a refusal, pages and filters."""

import re

import pytest

from fastapi_jobs.admin.pages.audit import LIMIT
from fastapi_jobs.clock import utc_now
from fastapi_jobs.models import AuditRecord
from fastapi_jobs.store.audit import Audit, list_audit
from tests.admin.conftest import Login
from tests.admin.serving import Site, Visitor
from tests.api.conftest import until


async def entries(site: Site) -> list[tuple[str, str, str | None]]:
    page = await site.jobs.runtime.store.read(list_audit)
    return [(each.who, each.action, each.target) for each in reversed(page.items)]


async def note(site: Site, who: str, target: str | None = None, details: str | None = None) -> None:
    entry = AuditRecord(at=utc_now(), who=who, action="pause", target=target, details=details)
    await site.jobs.runtime.store.write(Audit(entry))


async def is_noted(site: Site, action: str) -> bool:
    return action in {each for _, each, _ in await entries(site)}


async def test_who_may_see_it(site: Site, login: Login) -> None:
    for role, status in (("viewer", 403), ("operator", 200), ("admin", 200)):
        visitor = await login(role)
        assert (await visitor.get("/audit")).status_code == status
        assert ('href="/jobs-admin/audit"' in (await visitor.get("/overview")).text) == (
            status == 200
        )


async def test_logins_tries_and_logouts_are_noted(site: Site, login: Login) -> None:
    visitor = await login()
    await visitor.log_in("anna", "wrong")
    await visitor.log_in("no\x00body", "wrong")
    await visitor.log_in("anna")
    await visitor.change("/logout")
    await visitor.change("/logout")
    await until(lambda: is_noted(site, "logout"))
    assert await entries(site) == [
        ("anna", "failed_login", None),
        ("nobody", "failed_login", None),
        ("anna", "login", None),
        ("anna", "logout", None),
    ]


async def test_a_login_that_is_throttled_is_no_try(still: None, site: Site, login: Login) -> None:
    visitor = await login()
    answers = [(await visitor.log_in("anna", "wrong")).status_code for _ in range(12)]
    assert answers[-1] == 429
    await note(site, "otto")  # whatever was sent before is written before
    assert len(await entries(site)) == answers.count(401) + 1


def targets(page: str) -> list[str]:
    return re.findall(r'data-label="On what"><a [^>]*title="([^"]*)"', page)


async def test_pages_are_cut_and_go_on(site: Site, login: Login) -> None:
    for number in range(LIMIT + 5):
        await note(site, "otto", f"q{number}")
    visitor = await login("operator")
    first = (await visitor.get("/audit", params={"who": "otto", "target": ""})).text
    older = re.search(r'rel="next" href="([^"]*)"', first)
    assert older is not None
    path = older[1].replace("&amp;", "&").removeprefix(site.prefix)
    second = (await visitor.get(path)).text
    wanted = [f"q{number}" for number in reversed(range(LIMIT + 5))]
    assert targets(first) + targets(second) == wanted
    assert 'rel="next"' not in second
    assert "Newest</a>" in second


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ({"who": "otto"}, {"mail", "reports"}),
        ({"target": " mail "}, {"mail"}),
        ({"who": "otto", "target": "reports"}, {"reports"}),
        ({"who": "otto", "target": "web"}, set()),
    ],
)
async def test_filters(site: Site, login: Login, query: dict[str, str], shown: set[str]) -> None:
    await note(site, "otto", "mail", '{"reason":"<b>x</b>","max_running":0,"priority":null}')
    await note(site, "otto", "reports")
    await note(site, "vera", "web")
    page = (await (await login("admin")).get("/audit", params=query)).text
    assert {each for each in targets(page) if each != "–"} == shown
    assert ("No change like this" in page) == (not shown)
    if "mail" in shown:
        assert "reason: <strong>&lt;b&gt;x&lt;/b&gt;</strong>" in page
        assert "max running: <strong>0</strong>" in page
        assert "priority: <strong>by the settings</strong>" in page


async def test_a_cursor_that_makes_no_sense_is_ignored_with_a_notice(
    site: Site, login: Login
) -> None:
    await note(site, "otto", "mail")
    visitor: Visitor = await login("operator")
    page = await visitor.get("/audit", params={"cursor": "../../etc"})
    assert page.status_code == 200
    assert "The address named no page that we know" in page.text
    assert targets(page.text) == ["mail"]
