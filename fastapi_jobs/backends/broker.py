"""What a relay needs of a message broker. It only carries ids; it may lose and repeat them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from fastapi_jobs.store.publishing import Message


class BrokerUnavailable(Exception):
    """The broker did not take or answer something."""

    def __init__(self, broker: str, reason: str) -> None:
        super().__init__(f"The broker {broker} does not answer: {reason.rstrip('.')}.")
        self.broker, self.reason = broker, reason


class Broker(ABC):
    """A way to tell workers of due jobs."""

    name: str = ""
    """Its URL, without the password."""

    @abstractmethod
    async def publish(self, messages: Sequence[Message]) -> None:
        """Hand over all messages; raises BrokerUnavailable when some may be missing."""

    @abstractmethod
    async def held(self, queues: Iterable[str]) -> dict[str, int]:
        """How many messages wait in each queue; raises BrokerUnavailable."""

    @abstractmethod
    async def ping(self) -> None:
        """Raises BrokerUnavailable unless the broker answers."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""
