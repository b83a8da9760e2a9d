"""Builds an empty package. As long as somebody listens it writes into the environment for ever instead, and so does a process that
it has started."""

import os
import socket
import zipfile

from where import ENVS, PORT

NAME = "endless-1"


def write_for_ever():
    os.fork()
    env = next(entry.path for entry in os.scandir(ENVS) if os.path.exists(f"{entry.path}/pyvenv.cfg"))
    number = 0
    while True:
        number = (number + 1) % 500
        folder = f"{env}/endless/{os.getpid()}/{number % 10}"
        try:
            os.makedirs(folder, exist_ok=True)
            with open(f"{folder}/{number}", "w") as file:
                file.write("endless")
        except OSError:
            # Somebody removes what it writes, meanwhile.
            pass


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    try:
        listener = socket.create_connection(("127.0.0.1", PORT))
    except OSError:
        listener = None
    if listener:
        write_for_ever()
    wheel, info = f"{NAME}-py3-none-any.whl", f"{NAME}.dist-info"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w") as file:
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: endless\nVersion: 1\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: endless\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return wheel
