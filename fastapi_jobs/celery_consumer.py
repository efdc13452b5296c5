"""Celery's consumer, which does not fall with its broker."""

from collections.abc import Iterator
from typing import Any

from celery.worker.consumer import Consumer as CelerysConsumer
from kombu.transport.virtual import Channel


class Consumer(CelerysConsumer):  # type: ignore[misc]  # it comes without types
    """It answers nothing over a connection that is lost.

    kombu puts back what was not acknowledged, and Celery acknowledges what ends later, over a
    connection that is taken apart by then: an `AttributeError` ends the worker (Celery and kombu
    5.7.0, Redis). Nobody needs these answers: a job that runs is claimed in the database, and a
    message that comes again finds nothing to claim.
    """

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Close what is left of the connection."""
        for channel in _channels(self.connection):
            channel.do_restore = False
            channel.basic_ack = channel.basic_reject = _say_nothing
        super().on_connection_error_after_connected(exc)


def _channels(connection: Any) -> Iterator[Any]:
    """Those of the transports that imitate AMQP; the others close without a word."""
    known = [connection._default_channel, *(getattr(connection.transport, "channels", None) or ())]
    return (channel for channel in known if isinstance(channel, Channel))


def _say_nothing(*_: Any, **__: Any) -> None:
    """To a broker that no longer knows the message."""
