"""Jobs from the command line: tasks, enqueue, list, show, explain, cancel, retry, pause, resume."""

import json
from pathlib import Path
from typing import Any

import pytest

from fastapi_jobs import JobFilter, Task
from fastapi_jobs.store.queries import list_jobs
from tests.cli.command import LIMIT, ROOT, Site
from tests.cli.work import add, fail, send, wait_for

APP = ("--app-dir", str(ROOT))
ADD, SEND, FAIL = add.name, send.name, fail.name


def good(site: Site, *words: str) -> str:
    """What a command printed that went well."""
    done = site.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    return done.stdout


def parsed(site: Site, *words: str) -> Any:
    """The JSON of a command that went well."""
    return json.loads(good(site, *words, "--json"))


def refused(site: Site, *words: str, code: int = 2) -> str:
    """What a command said on stderr."""
    done = site.run(*words)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def stored(site: Site, task: Task[..., Any, Any] = add, **arguments: Any) -> str:
    """The id of a new job, stored by this process: quicker than a command."""
    with site.jobs() as jobs:
        given = arguments or {"a": 1, "b": 1}
        return str(task.using(app=jobs).enqueue_sync(**given).id)


def statuses(site: Site) -> list[str]:
    """What stands in the store, oldest first."""
    with site.jobs() as jobs:
        page = jobs.runtime.store.read_sync(list_jobs, JobFilter(), newest=False)
        return [each.status for each in page.items]


def test_tasks(sqlite_site: Site) -> None:
    lines = good(sqlite_site, "tasks", *APP).splitlines()
    assert lines[0].split()[:3] == ["task", "queue", "backend"]
    assert f"{SEND} mail asyncio 0 - - - -" in [" ".join(line.split()) for line in lines]
    [send] = parsed(sqlite_site, "tasks", "*.send", *APP)
    assert (send["queue"], send["description"]) == ("mail", "Something for another queue.")
    assert send["parameters"]["properties"]["to"]["type"] == "string"
    said = refused(sqlite_site, "tasks", "tests.cli.work.sned", *APP)
    assert f"Did you mean '{SEND}'?" in said


def test_a_job_from_enqueue_to_its_end(site: Site) -> None:
    with site.worker():
        said = good(site, "enqueue", ADD, "a=1", "b=41", "--wait", *APP)
        assert said.splitlines()[-1] == "succeeded: 42"
        job = parsed(site, "enqueue", ADD, "--kwargs", '{"a": 1, "b": 2}', "b=5", "--wait", *APP)
        assert (job["status"], job["result"], job["is_new"]) == ("succeeded", 6, True)
        failed = site.run("enqueue", FAIL, "text=oh no", "--wait", *APP)
        assert failed.returncode == 1
        assert failed.stderr.splitlines()[-1].startswith("failed: ValueError: oh no")
    [newest, _, oldest] = parsed(site, "list", "--limit", "3")["items"]
    assert [newest["status"], oldest["status"]] == ["failed", "succeeded"]
    shown = good(site, "show", newest["id"])
    assert f"id         {newest['id']}" in shown
    assert "error      ValueError: oh no" in shown
    assert "last log lines of attempt 1\n" in shown
    assert " INFO it began text=oh no tries=[1]\n" in shown
    assert " WARNING it fails soon" in shown
    assert "Traceback (most recent call last):" in shown
    whole = parsed(site, "show", newest["id"], "--lines", "1")
    assert whole["job"]["arguments"] == {"text": "oh no"}
    assert [each["outcome"] for each in whole["attempts"]] == ["failed"]
    assert [each["message"] for each in whole["logs"]] == ["it fails soon"]


def test_a_text_stays_a_text_and_json_is_read(sqlite_site: Site) -> None:
    job = parsed(sqlite_site, "enqueue", SEND, "to=5", *APP)["id"]
    assert parsed(sqlite_site, "show", job)["job"]["arguments"] == {"to": "5"}


def test_the_options_of_enqueue(sqlite_site: Site) -> None:
    job = parsed(
        sqlite_site,
        *("enqueue", ADD, "a=1", "b=2", "--queue", "slow", "--priority", "7", "--tag", "x"),
        *("--run-after", "2h", "--owner", "ann", *APP),
    )
    assert (job["queue"], job["priority"], job["tags"]) == ("slow", 7, ["x"])
    assert (job["owner"], job["status"]) == ("ann", "scheduled")
    keyed = ("enqueue", ADD, "a=1", "b=2", "--unique-key", "k", *APP)
    first = good(sqlite_site, *keyed).split()[0]
    assert good(sqlite_site, *keyed).startswith(
        f"{first} holds the same unique key; it is queued. Nothing was stored."
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tests.cli.work.ad", "a=1"], f"Did you mean '{ADD}'?"),
        ([ADD, "a=1", "c=2"], "there is no parameter 'c'; parameter 'b' is missing"),
        ([ADD, "a"], "'a' is not key=value. Arguments are named: a=…, b=…."),
        ([ADD, "--kwargs", "[1]"], 'give an object such as {"name": "Ann"}, not [1]'),
        ([ADD, "--kwargs", "{"], "this is not JSON"),
        ([ADD, "a=1", "b=2", "--priority", "900"], "The nearest is 100."),
        ([ADD, "a=1", "b=2", "--run-after", "soon"], "'soon': give \"30s\""),
        ([ADD, "a=1", "b=2", "--queu", "x"], "--queue"),
    ],
    ids=str,
)
def test_what_cannot_be_enqueued(sqlite_site: Site, words: list[str], sentence: str) -> None:
    assert sentence in refused(sqlite_site, "enqueue", *words, *APP)
    assert statuses(sqlite_site) == []


def test_waiting_says_what_holds_it_up(sqlite_site: Site) -> None:
    done = sqlite_site.run("enqueue", ADD, "a=1", "b=1", "--wait", "--timeout", "0.1", *APP)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[0] == "still queued: No worker lives. Start the app, or: fastapi-jobs worker"
    assert said[1].endswith(" has not finished after 0.1 s. It goes on without you.")


def test_list_filters_and_turns_pages(site: Site) -> None:
    ids = [stored(site) for _ in range(3)]
    mail = stored(site, send.using(tags=["news"]), to="x")
    assert [each["id"] for each in parsed(site, "list", "--queue", "mail")["items"]] == [mail]
    assert [each["id"] for each in parsed(site, "list", "--tag", "news")["items"]] == [mail]
    assert parsed(site, "list", "--status", "failed", "--status", "running")["items"] == []
    assert parsed(site, "list", "--created-after", "1h")["items"] != []
    assert parsed(site, "list", "--created-before", "2020-01-01T00:00:00Z")["items"] == []
    first = parsed(site, "list", "--oldest", "--limit", "2")
    rest = parsed(site, "list", "--oldest", "--cursor", first["next_cursor"])
    assert [each["id"] for each in (*first["items"], *rest["items"])] == [*ids, mail]
    assert rest["next_cursor"] is None
    table = site.run("list", "--limit", "1")
    assert table.stdout.splitlines()[1].split()[0] == mail
    assert "More: the same with --cursor " in table.stderr
    empty = site.run("list", "--task", "nothing")
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "No job matches.\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--status", "queud"], "Did you mean 'queued'?"),
        (["--created-after", "yesterday"], "or how long ago"),
        (["--created-after", "2030-01-01"], 'has no offset: write "2030-01-01Z"'),
        (["--cursor", "x"], "The cursor 'x' is not one of ours."),
        (["--limit", "0"], "--limit"),
    ],
    ids=str,
)
def test_lists_that_cannot_be_made(sqlite_site: Site, words: list[str], sentence: str) -> None:
    assert sentence in refused(sqlite_site, "list", *words)


def test_ids_may_be_short_where_they_are_clear(site: Site) -> None:
    first, second = stored(site), stored(site)
    begin = next(n for n in range(36) if first[:n] != second[:n])
    begin = max(begin, 7)
    assert parsed(site, "show", first[:begin])["job"]["id"] == first
    assert parsed(site, "show", second.replace("-", "").upper())["job"]["id"] == second
    said = refused(site, "show", first[:6])
    assert said.startswith(f"'{first[:6]}' begins several ids: {first}, {second}. Give more")
    assert "'seven' is no job id: give its 32 hexadecimal digits" in refused(site, "show", "seven")
    slip = first[:-1] + ("0" if first[-1] != "0" else "1")
    said = refused(site, "cancel", second, slip)
    assert said.startswith(f"There is no job {slip}. Did you mean '{first}'?")
    assert statuses(site) == ["queued", "queued"]  # nothing was done


def test_cancel_and_retry(site: Site) -> None:
    job, other = stored(site), stored(site)
    assert good(site, "cancel", job, "--reason", "not needed") == f"{job}  cancelled\n"
    assert good(site, "cancel", job) == f"{job}  cancelled\n"
    assert "not needed" in good(site, "list", "--status", "cancelled")
    refusal = site.run("retry", job, other, "--json")
    assert refusal.returncode == 1
    done, wrong = json.loads(refusal.stdout)
    assert done == {"id": job, "ok": True, "status": "queued", "error": None}
    assert (wrong["ok"], wrong["status"]) == (False, "queued")
    assert "it is queued. Legal now: cancel, edit." in wrong["error"]


def test_a_running_job_is_asked_to_stop(site: Site) -> None:
    with site.worker():
        job = stored(site, wait_for, folder=str(site.room))
        site.wait_started()
        assert f"Job {job} (tests.cli.work.wait_for, queue default) is running." in good(
            site, "explain", job, *APP
        )
        assert good(site, "cancel", job) == f"{job}  asked to stop\n"


def test_explain(site: Site) -> None:
    job = stored(site, send, to="x")
    good(site, "pause", "mail", "--reason", "mail is down", "--by", "ann", *APP)
    said = good(site, "explain", job, *APP).splitlines()
    assert said[0] == f"Job {job} ({SEND}, queue mail) is queued."
    assert said[1].startswith("- Queue 'mail' is paused by ann since 20")
    assert said[2] == "- No worker lives. Start the app, or: fastapi-jobs worker"
    found = parsed(site, "explain", job, *APP)
    assert [each["code"] for each in found["reasons"]] == ["paused", "no_worker"]
    assert found["reasons"][0]["values"]["reason"] == "mail is down"


def test_pause_and_resume(site: Site) -> None:
    paused = parsed(site, "pause", "mail", "--by", "ann", *APP)
    assert paused == {"queue": "mail", "paused": True, "by": "ann", "reason": None}
    with site.worker():
        stored(site, send, to="x")
        assert good(site, "resume", "mail", *APP) == "Queue 'mail' runs.\n"
        said = good(site, "enqueue", SEND, "to=y", "--wait", "--timeout", str(LIMIT), *APP)
        assert said.splitlines()[-1] == 'succeeded: "y"'
        assert statuses(site) == ["succeeded", "succeeded"]
    said = refused(site, "pause", "mial", *APP)
    assert said.startswith("There is no queue 'mial': no task goes there, ")
    assert "Did you mean 'mail'?" in said


def test_a_broken_task_module_does_not_stop_those_who_only_look(sqlite_site: Site) -> None:
    job = stored(sqlite_site)
    (sqlite_site.folder / "broken.py").write_text("print('noise')\n1 / 0\n")
    sqlite_site.write(database_url=sqlite_site.url, task_modules=["broken"])
    done = sqlite_site.run("explain", job, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["status"] == "queued"
    assert "division by zero" in done.stderr
    assert "division by zero" in refused(sqlite_site, "enqueue", ADD, "a=1", "b=1")


def test_settings_may_be_elsewhere(tmp_path: Path, sqlite_site: Site) -> None:
    stored(sqlite_site)
    elsewhere = Site(tmp_path / "room", sqlite_site.url)
    (elsewhere.folder / "settings.toml").unlink()
    path = str(sqlite_site.folder / "settings.toml")
    assert len(parsed(elsewhere, "list", "--settings", path)["items"]) == 1
