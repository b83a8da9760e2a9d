"""A model server of its own: listens where it is told, says what it sees."""

import http.server
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time

print("server starts", flush=True)
print(json.dumps({"levelname": "WARNING", "message": "a structured line", "request_id": "r-1"}), file=sys.stderr, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            print("slow begins", flush=True)
            time.sleep(1)
        if self.path == "/crash":
            print("ValueError: the weights are gone", file=sys.stderr, flush=True)
            os._exit(3)
        sick = pathlib.Path("sick").exists() and self.path == "/ready"
        facts = {"environ": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid(), "fds": len(os.listdir("/proc/self/fd"))}
        body = json.dumps(facts).encode()
        self.send_response(500 if sick else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Whoever asks whether we are healthy may hang up; that is no line between those that tests read."""


server = Server((os.environ.get("LISTEN", "127.0.0.1"), int(os.environ["PORT"])), Handler)
server.daemon_threads = False
# What is being answered is finished; nothing new is taken.
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
print("server ends", flush=True)
