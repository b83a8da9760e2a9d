"""A model that answers at once: HTTP/1.1 with kept connections, a line of its log for each request, and an orderly end."""

import asyncio
import os
import signal

import slipway_output

BODY = b'{"ok": true}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Connection(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.buffer = b""

    def data_received(self, data):
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.transport.write(ANSWER)
            print(f"a request of {length} bytes is answered")


async def main():
    loop = asyncio.get_running_loop()
    stop = loop.create_future()
    loop.add_signal_handler(signal.SIGTERM, lambda: stop.done() or stop.set_result(None))
    server = await loop.create_server(Connection, "127.0.0.1", int(os.environ["PORT"]), backlog=1024)
    await stop
    server.close()
    # Whoever was told to stop gets no more requests; those that are here have their answers.
    await asyncio.sleep(0.2)


slipway_output.install()
asyncio.run(main())
