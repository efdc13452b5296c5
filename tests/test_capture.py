"""Capturing the log lines of tasks takes nothing away from the host's own logging."""

import subprocess
import sys

import pytest

SCRIPT = """
import logging
from fastapi_jobs.capture import capture_logs
{before}
capture_logs()
{after}
logging.getLogger("host").warning("first")
logging.getLogger("host").info("second")
"""

BASIC = "logging.basicConfig(level=logging.INFO)"


@pytest.mark.parametrize(
    ("before", "after", "printed"),
    [
        ("", "", "first\n"),
        (BASIC, "", "WARNING:host:first\nINFO:host:second\n"),
        ("", BASIC, "WARNING:host:first\nINFO:host:second\n"),
        ("logging.getLogger('host').addHandler(logging.StreamHandler())", "", "first\n"),
        ("logging.lastResort = None", "", 'No handlers could be found for logger "host"\n'),
    ],
)
def test_the_host_hears_what_it_would_hear_without_us(
    before: str, after: str, printed: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT.format(before=before, after=after)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, printed)


RECORDS = """
import logging
from uuid import uuid4
from fastapi_jobs.capture import capture_logs
from fastapi_jobs.context import JobContext, enter

class Call:
    must_stop = False

class Sink:
    def log(self, level, logger, message, fields):
        print(level, logger, message)

capture_logs()
capture_logs()
logging.basicConfig(level=logging.INFO, handlers=[logging.NullHandler()])
logging.getLogger("task").warning("outside")
job = {"task": "", "queue": "", "attempt": 1, "metadata": {}, "sink": Sink(), "call": Call()}
enter(JobContext.attached(uuid4(), **job))
logging.getLogger("task").warning("once %d", 7)
logging.getLogger("task").debug("below the level")
logging.getLogger("fastapi_jobs.store").warning("ours")
logging.raiseExceptions = False
logging.getLogger("task").warning("wrong %d", "call")
finished = {"name": "task", "msg": "handed on", "levelno": 30, "levelname": "WARNING"}
logging.getLogger("task").handle(logging.makeLogRecord(finished))
"""


def test_what_a_job_logs_is_kept_once() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", RECORDS], capture_output=True, text=True, timeout=60
    )
    assert (done.stderr, done.stdout) == ("", "WARNING task once 7\n")
