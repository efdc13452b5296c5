"""Our pages, in the order of the menu."""

from fastapi_jobs.admin.pages.audit import AuditPage
from fastapi_jobs.admin.pages.job import JobPage
from fastapi_jobs.admin.pages.job_files import JobFiles
from fastapi_jobs.admin.pages.job_forms import JobForms
from fastapi_jobs.admin.pages.jobs import JobsPage
from fastapi_jobs.admin.pages.overview import OverviewPage
from fastapi_jobs.admin.pages.queues import QueuesPage
from fastapi_jobs.admin.pages.tasks import TasksPage
from fastapi_jobs.admin.pages.workers import WorkersPage
from fastapi_jobs.admin.visit import Page

PAGES: tuple[type[Page], ...] = (
    OverviewPage,
    JobsPage,
    JobPage,
    JobFiles,
    JobForms,
    QueuesPage,
    WorkersPage,
    TasksPage,
    AuditPage,
)
