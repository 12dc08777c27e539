"""A Mosquitto of our own for a test: on loopback, with a password file, and what it was told."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import ports
from needs import program

USER, PASSWORD = "board", "correct horse"
_START_S = 120
_HEARD_S = 120


class Broker:
    """A broker on `port` that can be killed and started again; it forgets all when killed.

    `messages` has (topic, text) of all that was published, in order; `retained` what is kept.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self.port = ports.free()
        self._broker = program("mosquitto", "mosquitto")
        self._listener = program("mosquitto_sub", "mosquitto-clients")
        passwords = folder / "passwords"
        subprocess.run(
            [program("mosquitto_passwd", "mosquitto"), "-b", "-c", passwords, USER, PASSWORD],
            check=True,
            capture_output=True,
        )
        self._log = folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\npassword_file {passwords}\nallow_anonymous false\n"
            "persistence false\nuser root\nmax_queued_messages 0\nlog_type all\n"
        )
        self.messages: list[tuple[str, str]] = []
        self._server = self._client = self._thread = None

    def start(self):
        """Start, and listen to all that is published."""
        with open(self._log, "w") as log:
            self._server = subprocess.Popen(
                [self._broker, "-c", self._config], stdout=log, stderr=log
            )
        end = time.monotonic() + _START_S
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no broker: {self._log.read_text()}")
            time.sleep(0.02)
        login = ["-h", "127.0.0.1", "-p", str(self.port), "-u", USER, "-P", PASSWORD, "-q", "1"]
        self._client = subprocess.Popen(
            [self._listener, *login, "-t", "#", "-F", "%t\x1f%p"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen, args=(self._client.stdout,))
        self._thread.start()
        while "Sending SUBACK" not in self._log.read_text():
            if time.monotonic() > end:
                raise RuntimeError(f"nobody could listen: {self._log.read_text()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def _listen(self, stream):
        for line in stream:
            topic, _, text = line.rstrip("\n").partition("\x1f")
            self.messages.append((topic, text))

    def kill(self):
        """Be gone without a word."""
        if self._server:
            self._server.kill()
            self._server.wait()
            self._client.kill()
            self._client.wait()
            self._thread.join()
            self._server = None

    def until_last(self, topic: str, text: str):
        """Wait until this is the last that was published, as the will of a board is in the end."""
        end = time.monotonic() + _HEARD_S
        while self.messages[-1:] != [(topic, text)]:
            assert time.monotonic() < end, self.messages[-5:]
            time.sleep(0.02)


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """Run a broker with its files in `folder`; skips the test where there is no Mosquitto."""
    server = Broker(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
