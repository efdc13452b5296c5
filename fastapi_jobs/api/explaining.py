"""`GET {prefix}/{id}/explain`: why a job is not running, for those who may see it."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from pydantic import BaseModel, Field

from fastapi_jobs.api.access import AccessOf, Action, Found
from fastapi_jobs.explaining import Explanation, ReasonCode, Viewer, explain
from fastapi_jobs.models import JobRecord
from fastapi_jobs.status import JobStatus


class ReasonOut(BaseModel):
    """One reason as a sentence, with its values for programs."""

    code: ReasonCode
    text: str
    values: dict[str, Any] = Field(description="The values in the sentence; times are ISO 8601.")


class ExplanationOut(BaseModel):
    """Why a job is not running, where it runs, or how it ended."""

    id: UUID
    task: str
    queue: str
    status: JobStatus
    reasons: list[ReasonOut] = Field(description="The most important one first.")


def explanation_out(explanation: Explanation) -> ExplanationOut:
    """An explanation as the API and `--json` give it."""
    return ExplanationOut(
        id=explanation.id,
        task=explanation.task,
        queue=explanation.queue,
        status=explanation.status,
        reasons=[
            ReasonOut(code=each.code, text=each.text, values=dict(each.values))
            for each in explanation.reasons
        ],
    )


async def explain_job(
    request: Request,
    access: AccessOf,
    record: Annotated[JobRecord, Depends(Found(Action.READ))],
) -> ExplanationOut:
    """Why this job is not running. Jobs outside your scope are counted, never named."""
    scope = await access.scope_of(request)
    sees_all = scope.only is None and not scope.is_empty
    viewer = Viewer(scope.sees, sees_workers=sees_all)
    runtime = access.runtime
    return explanation_out(await explain(runtime.store, runtime.settings, record.id, viewer))
