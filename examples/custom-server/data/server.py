"""Counts letters and words over HTTP, with the standard library alone."""

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path in ("/ready", "/live"):
            self.answer(200, {"status": "ok"})
        else:
            self.answer(404, {"error": f"nothing is at {self.path}"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/predict":
            return self.answer(404, {"error": f"nothing is at {self.path}"})
        try:
            text = str(json.loads(body)["text"])
        except (ValueError, KeyError, TypeError):
            return self.answer(400, {"error": 'send {"text": "..."}'})
        self.answer(200, {"letters": len(text), "words": len(text.split()), "pid": os.getpid()})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form, *args):
        if self.path not in ("/ready", "/live"):
            print(form % args, flush=True)


def main():
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8100"))), Handler)
    # A stop lets the requests in flight finish: their threads are joined when the server closes.
    server.daemon_threads = False
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on port {server.server_port}", flush=True)
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
