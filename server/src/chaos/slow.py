"""Builds an empty package, slowly, in a process that can be told from others."""

import os
import subprocess
import sys
import zipfile

NAME = "slipway_slow-VERSION.0"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    marked = {**os.environ, "SLIPWAY_HELD_BUILD": "1"}
    subprocess.run([sys.executable, "-c", "import time; time.sleep(SECONDS)"], env=marked, check=True)
    wheel = NAME + "-py3-none-any.whl"
    info = NAME + ".dist-info/"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w") as file:
        file.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: slipway-slow\nVersion: VERSION.0\n")
        file.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: slipway\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(info + "RECORD", "")
    return wheel
