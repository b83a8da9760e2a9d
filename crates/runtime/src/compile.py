"""Compiles what an environment has installed, because replicas can't: for them it is read-only.

The folders to compile are the arguments. The standard library is compiled with them where whoever installed Python did not.
"""

import compileall
import importlib.util
import os
import sys

# Others wait for the processor; for this nobody does.
os.nice(19)
library = os.path.dirname(os.__file__)
compiled = os.path.exists(importlib.util.cache_from_source(os.__file__))
extra = [] if compiled or not os.access(library, os.W_OK) else [library]
for folder in sys.argv[1:] + extra:
    # A package may have files that this Python does not understand, and never imports.
    compileall.compile_dir(folder, quiet=2)
