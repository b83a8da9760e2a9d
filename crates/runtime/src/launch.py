"""Starts the Truss server so that it listens on this machine only.

The server binds every interface by itself. Here every address that means "all" becomes the loopback one, in uvicorn's
settings and below it in the socket itself, before the server's own code runs.
"""

import os
import runpy
import socket
import sys

ANYWHERE = {"", "0.0.0.0", "::", "*"}
plain_bind = socket.socket.bind


def bind(self, address):
    if self.family == socket.AF_INET and address[0] in ANYWHERE:
        address = ("127.0.0.1",) + tuple(address[1:])
    elif self.family == socket.AF_INET6 and address[0] in ANYWHERE:
        address = ("::1",) + tuple(address[1:])
    return plain_bind(self, address)


socket.socket.bind = bind
# The launcher's own folder is no place to import from.
sys.path[0] = os.getcwd()

import uvicorn  # noqa: E402

plain_init = uvicorn.Config.__init__


def init(self, *args, **kwargs):
    plain_init(self, *args, **kwargs)
    if self.host in ANYWHERE:
        self.host = "127.0.0.1"


uvicorn.Config.__init__ = init

try:
    from _truss_shared import dynamic_config_resolver

    dynamic_config_resolver.DYNAMIC_CONFIG_MOUNT_DIR = os.environ["SLIPWAY_DYNAMIC_CONFIG"]
except (ImportError, KeyError):
    pass

runpy.run_path("main.py", run_name="__main__")
