"""Plain Celery beside ours: the same no-op, the same broker, no record of ours.

`celery -A benchmarks.celery_plain worker`; BROKER and, where results are kept, RESULTS are URLs.
"""

import os

from celery import Celery

app = Celery("plain", broker=os.environ["BROKER"])
app.conf.update(
    result_backend=os.environ.get("RESULTS"),
    task_ignore_result="RESULTS" not in os.environ,
    result_extended=True,
    worker_log_color=False,
)


@app.task(name="plain.noop")  # type: ignore[untyped-decorator, unused-ignore]
def noop() -> None:
    """Nothing."""


def publish(jobs: int) -> dict[str, int]:
    """Send so many messages."""
    with app.connection_for_write() as connection:
        producer = app.amqp.Producer(connection, auto_declare=False)
        with producer.batch(200):
            for _ in range(jobs):
                noop.apply_async(producer=producer)
    return {"jobs": jobs}
