"""What a relay needs of a message broker. It only carries ids; it may lose and repeat them."""

from collections.abc import Iterable, Sequence

from fastapi_jobs.store.publishing import Message


class BrokerUnavailable(Exception):
    """The broker did not take or answer something."""

    def __init__(self, broker: str, reason: str) -> None:
        super().__init__(f"The broker {broker} does not answer: {reason}")
        self.reason = reason


class Broker:
    """A way to tell workers of due jobs."""

    name: str = ""
    """Its URL, without the password."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Hand over all messages; raises BrokerUnavailable when some may be missing."""
        raise NotImplementedError

    async def held(self, queues: Iterable[str]) -> dict[str, int]:
        """How many messages wait in each queue; raises BrokerUnavailable."""
        raise NotImplementedError

    async def ping(self) -> None:
        """Raises BrokerUnavailable unless the broker answers."""
        raise NotImplementedError

    async def close(self) -> None:
        """Disconnect."""
