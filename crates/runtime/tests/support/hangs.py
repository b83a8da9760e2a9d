"""Builds no package: tells that it was asked to, then waits for an hour, and so does a process that it has started."""

import os
import socket
import time

from port import PORT

told = socket.create_connection(("127.0.0.1", PORT))
os.fork()
time.sleep(3600)
