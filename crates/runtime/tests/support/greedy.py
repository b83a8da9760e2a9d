"""Builds an empty package, after it has run what is in `wants.py`."""

import os
import zipfile

NAME = "greedy-1"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    import wants  # noqa: F401

    wheel, info = f"{NAME}-py3-none-any.whl", f"{NAME}.dist-info"
    with zipfile.ZipFile(os.path.join(wheel_directory, wheel), "w") as file:
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: greedy\nVersion: 1\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: greedy\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return wheel
