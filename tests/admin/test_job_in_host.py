"""The pages of a job and of tasks in a host's own SQLAdmin."""

import re

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from sqladmin import Admin
from sqlalchemy import create_engine

from fastapi_jobs.status import JobStatus
from tests.admin.job_tasks import add
from tests.admin.jobs_of import make
from tests.admin.serving import make_jobs


async def test_the_pages_stand_in_the_hosts_layout(sqlite_url: str) -> None:
    jobs, app = make_jobs(sqlite_url), FastAPI()
    jobs.init_app(app, admin=False)
    engine = create_engine("sqlite://")
    jobs.register_admin(Admin(app, engine), permission=lambda request, action, job: True)
    transport = ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        job = await make(jobs, JobStatus.FAILED)
        later = await make(jobs, JobStatus.SCHEDULED)
        for path in (
            f"/jobs/{job.id}",
            f"/jobs/{job.id}/clone",
            f"/jobs/{later.id}/edit",
            "/tasks",
            f"/tasks/{add.name}",
        ):
            page = await client.get(f"/admin{path}")
            assert page.status_code == 200, path
            assert "navbar" in page.text
            ours = page.text.partition("jobs-page")[2]
            links = re.findall(r'(?:href|action)="(/[^"]*)"', ours)
            assert links, path
            assert all(each.startswith("/admin/") for each in links), links
        answer = await client.post(f"/admin/tasks/{add.name}", data={"arg.a": "1"})
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/admin/jobs/")
    engine.dispose()
