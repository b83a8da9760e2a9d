"""Where the disk is full, what is printed is lost. Without this `print` would fail, and the request with it."""

import errno
import io
import sys
import time

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# Seconds for which nothing is tried after a write that found no room: others need what little there is more than a log.
PAUSE = 1.0


class Output(io.FileIO):
    """A file descriptor, unbuffered."""

    lost_until = 0.0

    def write(self, data):
        if time.monotonic() < self.lost_until:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self.lost_until = time.monotonic() + PAUSE
            return memoryview(data).nbytes


def install():
    """Puts it in the place of stdout and stderr, which are otherwise as they were."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        plain = getattr(sys, name)
        if plain is None:
            continue
        output = Output(number, "w", closefd=False)
        output.name = f"<{name}>"
        text = io.TextIOWrapper(output, plain.encoding, plain.errors, line_buffering=True, write_through=True)
        text.mode = "w"
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)
