"""A man in the middle of PostgreSQL's log-in, which tells a process id of its own as poolers do."""

import contextlib
import socket
import struct
import threading
from types import TracebackType

from sqlalchemy import make_url

OWN_PID = 99


class LoginProxy:
    """Passes every byte between client and server, but for the process id told at log-in."""

    def __init__(self, server_url: str) -> None:
        server = make_url(server_url)
        self._server = (server.host or "127.0.0.1", server.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets = [self._listener]
        port = self._listener.getsockname()[1]
        self.url = server.set(port=port).render_as_string(hide_password=False)

    def __enter__(self) -> "LoginProxy":
        self._run(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in list(self._threads):
            thread.join(10)

    def _run(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                self._run(self._pump, client, server)
                self._run(self._pump_log_in, server, client)

    def _pump_log_in(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error):
            kind = b""
            while kind != b"Z":  # ReadyForQuery ends the log-in
                kind = server.recv(1)
                if kind == b"N":  # no TLS: one byte without a length
                    client.sendall(kind)
                    continue
                (size,) = struct.unpack("!I", self._exactly(server, 4))
                body = self._exactly(server, size - 4)
                if kind == b"K":
                    body = struct.pack("!I", OWN_PID) + body[4:]
                client.sendall(kind + struct.pack("!I", size) + body)
            self._pump(server, client)

    @staticmethod
    def _exactly(source: socket.socket, size: int) -> bytes:
        return source.recv(size, socket.MSG_WAITALL)

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
