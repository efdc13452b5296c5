"""`fastapi-jobs`: a file for each topic, loaded only when its command runs.

Exit codes: 0 all is well; 1 something asked about is not: a job failed, a check found an error;
2 the command could not do its work: an unknown id, task or option, settings with problems; 3 not
now: the database is away, a queue is full; try again.
"""

from fastapi_jobs.cli.commands import make_app

PROGRAM = "fastapi-jobs"


def main() -> None:
    """Run the command line."""
    make_app()(prog_name=PROGRAM)
