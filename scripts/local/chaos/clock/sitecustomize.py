"""Loaded into the second workers of the clock scenarios (by PYTHONPATH): their clock is wrong by CHAOS_CLOCK_OFFSET seconds.

Only Python's own clock moves, which is the one that the workers read; libfaketime breaks CPython's time.sleep().
"""

import os
import time

_offset = float(os.environ["CHAOS_CLOCK_OFFSET"])
_seconds, _nanoseconds = time.time, time.time_ns

time.time = lambda: _seconds() + _offset
time.time_ns = lambda: _nanoseconds() + int(_offset * 1e9)
