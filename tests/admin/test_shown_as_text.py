"""What tasks, their arguments, errors and log lines say is shown as text, never as markup."""

from markupsafe import escape

from tests.admin.conftest import Login
from tests.admin.filled import SCRIPT, fill
from tests.admin.serving import Site
from tests.admin.walking import ways


async def test_no_markup_gets_through(site: Site, login: Login) -> None:
    ids = await fill(site.jobs)
    visitor = await login("admin")
    paths = {way.path for way in ways(site.app) if way.method == "GET" and "." not in way.path}
    shown = set()
    for path in sorted(paths):
        for found in {path.replace("019aa000-0000-7000-8000-000000000000", str(id)) for id in ids}:
            answer = await visitor.get(found)
            if not answer.headers.get("content-type", "").startswith("text/html"):
                continue
            text = answer.text
            assert "<img src=x" not in text, found
            assert "<script>document" not in text, found
            assert "<b>" not in text, found
            if str(escape(SCRIPT)) in text:
                shown.add(path)
    assert {"/jobs", "/jobs/019aa000-0000-7000-8000-000000000000"} <= shown


async def test_what_a_request_says_is_text_too(login: Login) -> None:
    visitor = await login("admin")
    for path in ("/jobs", "/overview", "/audit", "/tasks", "/queues", "/workers", "/login"):
        names = ("task", "queue", "status", "cursor", "next", "q", "tag", "worker", "error")
        answer = await visitor.get(path, params=dict.fromkeys(names, f'">{SCRIPT}'))
        assert "<img src=x" not in answer.text, path
        assert "<script>document" not in answer.text, path
    answer = await visitor.get(f"/jobs/{SCRIPT}")
    assert answer.status_code == 404
    assert "<img src=x" not in answer.text
    await visitor.post("/logout", data={"csrf": visitor.token})
    answer = await visitor.log_in(SCRIPT, "wrong")
    assert (answer.status_code, "<script>document" in answer.text) == (401, False)
