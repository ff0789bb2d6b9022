#!/usr/bin/env python3
"""Pauses of the machine itself: a thread that only sleeps notes by how much it wakes too late.

A virtual machine that has used up its share of a processor is stopped by its host, all threads at once, and a latency
that was measured meanwhile says nothing about a server. Prints the share of the time in pauses, in percent, the longest
one, and the delay in ms that one in a hundred calls, arriving at any time, has from them alone.

Usage: pauses.py SECONDS
"""

import sys
import time

NAP = 0.0005
# What a wake-up takes at most on a machine that is not stopped, in seconds.
LATE_MIN = 0.001


def measure(seconds):
    """Lengths of the pauses in seconds."""
    pauses = []
    end = time.monotonic() + seconds
    while (begin := time.monotonic()) < end:
        time.sleep(NAP)
        late = time.monotonic() - begin - NAP
        if late > LATE_MIN:
            pauses.append(late)
    return pauses


def delay(pauses, seconds, share):
    """The least delay that at most this share of calls exceeds: of a pause, its rest after the call has come."""
    low, high = 0.0, max(pauses, default=0.0)
    for _ in range(40):
        middle = (low + high) / 2
        if sum(pause - middle for pause in pauses if pause > middle) / seconds > share:
            low = middle
        else:
            high = middle
    return high


def main():
    seconds = float(sys.argv[1])
    pauses = measure(seconds)
    longest = max(pauses, default=0.0)
    print(f"{100 * sum(pauses) / seconds:.2f} {1000 * longest:.3f} {1000 * delay(pauses, seconds, 0.01):.3f}")


if __name__ == "__main__":
    main()
