"""Hearing of other processes' commits: by Redis where the settings name one, else by the database.

A hint wakes, it decides nothing: whoever is woken looks at the database (law 11).
"""

from fastapi_jobs.dispatcher import Dispatcher
from fastapi_jobs.relay import Relay
from fastapi_jobs.store import Store
from fastapi_jobs.store.redis_hints import Listener, News
from fastapi_jobs.store.watcher import Watcher

Ear = Watcher | Listener


def hear_others(store: Store, dispatcher: Dispatcher, relay: Relay | None) -> Ear:
    """Wake the dispatcher and the relay of this process for what others commit, until closed."""
    redis = store.redis
    if redis is None:
        return Watcher(
            store.database,
            lambda: dispatcher.wake(claim=False, cancels=True),
            lambda: store.commits,
        )

    def heard(news: News) -> None:
        dispatcher.wake(claim=False, cancels=news.cancels)
        # One publisher is enough: where the sender is one, the others stay asleep.
        if relay is not None and news.queued and not news.relayed:
            relay.look()

    redis.relays = relay is not None
    return redis.listen(heard)
