#!/usr/bin/python3
"""A sink that appends datapoints to a file, as lines "metric value timestamp"."""
import dataclasses
import os
import threading

import fluxgate


@dataclasses.dataclass
class Config:
    path: str = fluxgate.setting(help="file that lines are appended to")
    sync: bool = fluxgate.setting(True, help="whether a batch must be on disk to count as stored")


class Sink:
    def __init__(self, config: Config):
        self.config = config
        self.writing = threading.Lock()

    def write(self, batch: list[fluxgate.Datapoint], context: fluxgate.Context) -> None:
        lines = "".join(f"{metric} {value!r} {timestamp}\n" for metric, timestamp, value in batch)
        try:
            with self.writing, open(self.config.path, "ab", buffering=0) as file:
                self.append(file, lines.encode(errors="surrogateescape"))
        except OSError as err:
            raise fluxgate.Unavailable(err) from err

    def append(self, file, text: bytes) -> None:
        end = file.tell()
        try:
            if file.write(text) < len(text):
                raise OSError(f"{self.config.path}: the disk is full")
            if self.config.sync:
                os.fsync(file.fileno())
        except OSError:
            file.truncate(end)  # the host sends the batch again, and half a line would spoil its first
            raise

    def check(self, context: fluxgate.Context) -> None:
        folder = os.path.dirname(os.path.abspath(self.config.path))
        if not os.access(folder, os.W_OK):
            raise fluxgate.Unavailable(f"the folder {folder} is not there, or cannot be written to")


if __name__ == "__main__":
    fluxgate.serve_sink(Sink, Config, version="1.0")
