"""Adapters: the outside world behind the ports. Third-party libraries live here, one adapter each."""

import sys

_MOST_FRAMES = 10_000

_before = sys.getrecursionlimit()
import py_ecc  # noqa: E402, F401

# eth-account and web3 load py_ecc, which lets Python recurse 100,000 deep: far past the end of the C stack. After that
# a few kilobytes of "[[[[…" from a stranger end the process with a segmentation fault in json instead of an error.
sys.setrecursionlimit(min(_before, _MOST_FRAMES))
