"""Starts the Truss server so that it listens on this machine only.

The server binds every interface by itself. Here every address that means "all" becomes the loopback one, in uvicorn's
settings and below it in the socket itself, before the server's own code runs.

It also tells whoever watches over this replica when the model begins to load, has loaded, and when the port takes
connections, so that nobody has to ask when. And what is printed where the disk is full is lost, and fails nobody.
"""

import os
import runpy
import socket
import sys
import time

import slipway_output

slipway_output.install()

BELL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bell")


def tell(step):
    """Writes one line for a step. Where nobody listens, or there is no bell, nothing happens."""
    try:
        bell = os.open(BELL, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.write(bell, f"{step} {time.time_ns() // 1_000_000}\n".encode())
    except OSError:
        pass
    finally:
        os.close(bell)


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

plain_startup = uvicorn.Server.startup


async def startup(self, *args, **kwargs):
    await plain_startup(self, *args, **kwargs)
    if self.started:
        tell("listens")


uvicorn.Server.startup = startup

try:
    import model_wrapper
    from model_wrapper import ModelWrapper
except ImportError:
    # The server's own code says what is missing, in its log.
    ModelWrapper = None

if ModelWrapper is not None:
    # How often, in seconds, a model with `setup_environment` looks which environment it serves.
    model_wrapper.POLL_FOR_ENVIRONMENT_UPDATES_TIMEOUT_SECS = 1
    plain_load = ModelWrapper.load

    def load(self, *args, **kwargs):
        tell("loads")
        plain_load(self, *args, **kwargs)
        if self.ready:
            tell("loaded")

    ModelWrapper.load = load

try:
    from _truss_shared import dynamic_config_resolver

    dynamic_config_resolver.DYNAMIC_CONFIG_MOUNT_DIR = os.environ["SLIPWAY_DYNAMIC_CONFIG"]
except (ImportError, KeyError):
    pass

runpy.run_path("main.py", run_name="__main__")
