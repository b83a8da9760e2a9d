"""A model server that runs the Python it is sent, and answers with the last value or with what went wrong."""

import http.server
import os


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            said = str(eval(text, {"os": os}))
        except Exception as error:
            said = f"refused: {type(error).__name__}: {error}"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said.encode())

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
