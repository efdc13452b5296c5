"""The example's FastAPI app: a shop whose slow work happens in jobs."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

from example_project import pages, people, receiver, starting
from example_project.places import HERE
from example_project.shop import jobs

__all__ = ["app", "jobs"]

app = FastAPI(title="The example shop")
jobs.init_app(app, permission=people.permission, scope=people.scope, owner=people.owner)
app.include_router(pages.router)
app.include_router(starting.router)
app.include_router(receiver.router)
app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
for kind in (StarletteHTTPException, RequestValidationError):
    app.add_exception_handler(kind, pages.show_problem)
