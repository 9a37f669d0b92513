#!/usr/bin/python3
"""Makes the files of this folder, or of the one given, with Graphite's own code.

The same bytes come out every time: all happens at the time NOW. The text beside
a file is what whisper.fetch finds in each of its archives at that time.
"""

import os
import sys

import whisper

NOW = 1600000000
MINUTE = NOW - NOW % 60

# An hour of minutes, four hours of five minutes, a day of hours.
ARCHIVES = [(60, 60), (300, 48), (3600, 24)]

# Of every five minutes some have as many points as the xFilesFactor wants, and some
# have not; values of both signs, so that each aggregation has its own result.
SOME = [(MINUTE - 60 * i, (-1) ** (i // 3) * (i * i % 47) / 4.0) for i in range(59) if i % 15 not in (1, 3, 5, 6, 7, 8, 11)]


def aggregated(method):
    """Minutes, from which the archives behind the first one follow."""
    return ARCHIVES, 0.3, method, [(NOW, SOME)]


FILES = {method: aggregated(method) for method in
         ('average', 'sum', 'last', 'max', 'min', 'avg_zero', 'absmax', 'absmin')}

# Written at several times and to every archive, with gaps in each.
FILES['gaps'] = ARCHIVES, 0.3, 'average', [
    (NOW - 3300, [(MINUTE - 7200 - 300 * i, 1.5 * i) for i in range(20) if i % 5]),
    (NOW - 3000, [(MINUTE - 3000 - 60 * i, 0.1 * i) for i in range(10)]),
    (NOW, [(MINUTE - 3600 * i, 1e-7 - i) for i in (5, 6, 9, 20)]),
    (NOW, [(MINUTE - 60 * i, 1e17 / (i + 1)) for i in range(20) if i % 4]),
]

# One archive, whose points have gone around it and begin in its middle.
FILES['wrapped'] = [(10, 12)], 0.5, 'last', [
    (NOW - 50 + 10 * i, [(NOW - 50 + 10 * i, float(i))]) for i in range(-15, 6)
]

# As it is made, without a point.
FILES['empty'] = [(1, 5), (5, 5)], 0.0, 'max', []


def make(folder, name):
    path = os.path.join(folder, name + '.wsp')
    archives, factor, method, batches = FILES[name]
    if os.path.exists(path):
        os.unlink(path)
    whisper.create(path, archives, factor, method)
    for now, points in batches:
        whisper.update_many(path, sorted(points), now=now)
    with open(os.path.join(folder, name + '.txt'), 'w') as text:
        for step, count in archives:
            print('#', step, file=text)
            (first, _, _), values = whisper.fetch(path, NOW - step * count, NOW, now=NOW, archiveToSelect=step)
            for i, value in enumerate(values):
                if value is not None:
                    print(first + i * step, repr(value), file=text)


for file in FILES:
    make(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)), file)
