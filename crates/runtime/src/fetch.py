"""Downloads one file: fetch.py URL DESTINATION. It is there whole or not at all."""

import os
import sys
import urllib.request


def fetch(url, destination):
    part = destination + ".part"
    request = urllib.request.Request(url, headers={"User-Agent": "slipway"})
    with urllib.request.urlopen(request, timeout=60) as answer, open(part, "wb") as file:
        length = int(answer.headers.get("Content-Length") or 0)
        done, told = 0, 0
        while chunk := answer.read(1 << 20):
            file.write(chunk)
            done += len(chunk)
            if done - told >= 64 << 20:
                told = done
                of = f" of {length >> 20} MiB" if length else ""
                print(f"{done >> 20} MiB{of}", flush=True)
    if length and done != length:
        os.remove(part)
        raise OSError(f"it broke off after {done} of {length} bytes")
    os.replace(part, destination)


try:
    fetch(*sys.argv[1:3])
except (OSError, ValueError) as error:
    # The mark by which the caller knows the line that says what went wrong.
    sys.exit(f"× {error}")
