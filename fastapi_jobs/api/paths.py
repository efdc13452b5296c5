"""The path of one job: an id is whatever no other route is named; and where it leads."""

from starlette.convertors import StringConvertor, register_url_convertor

STATIC = ("bulk", "health", "queues", "stats", "tasks", "workers")


class JobIdConvertor(StringConvertor):
    """One part of a path that is none of our names, so that DELETE /jobs/health is a 405.

    What is no UUID still comes in, and is refused with a 422 that names the field.
    """

    regex = rf"(?!(?:{'|'.join(STATIC)})(?:/|$))[^/]+"


register_url_convertor("fastapi_jobs_id", JobIdConvertor())

ID = "/{id:fastapi_jobs_id}"

LINKS = {
    name: {"operationId": f"jobs_{name}", "parameters": {"id": "$response.body#/id"}}
    for name in (
        *("get", "edit", "delete", "attempts", "explain", "logs", "result"),
        *("cancel", "retry"),
    )
}
"""Where a client may go on from an answer that is a job, for OpenAPI."""
