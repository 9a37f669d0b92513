#!/usr/bin/python3
"""An input for lines "metric value timestamp", as Carbon takes them, with the key
in the header X-Api-Key."""
import math

import fluxgate


class Input:
    def __init__(self, config: fluxgate.NoConfig):
        pass

    def decode(self, request: fluxgate.Request, context: fluxgate.Context) -> fluxgate.Submission:
        key = request.header.get("X-Api-Key", [""])[0]
        if not key:
            raise fluxgate.Invalid("no key: send it in the header X-Api-Key")
        submission = fluxgate.Submission(key=key)
        lines = request.body.decode(errors="surrogateescape").split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                if line.strip():
                    submission.batch.append(datapoint(line))
            except ValueError as err:
                submission.invalid = f"line {number}: {err}"
                break
        return submission


def datapoint(line: str) -> fluxgate.Datapoint:
    metric, value, timestamp = line.split()
    found = fluxgate.Datapoint(metric, int(timestamp), float(value))
    if not math.isfinite(found.value) or abs(found.timestamp) >= 1 << 63:
        raise ValueError(f"{value} at {timestamp} is no point")
    return found


if __name__ == "__main__":
    fluxgate.serve_input(Input, version="1.0")
