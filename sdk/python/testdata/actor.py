#!/usr/bin/python3
"""A sink that does as its settings say."""
import dataclasses
import json
import logging
import os
import subprocess
import sys
import threading
import time

import fluxgate


@dataclasses.dataclass
class Section:
    ca: str = fluxgate.setting(help="whom to trust")
    depth: int = fluxgate.setting(3, unit="bytes")


@dataclasses.dataclass
class Config:
    act: str = fluxgate.setting("", help="what the sink does")
    text: str = fluxgate.setting("", help="what it says")
    path: str = fluxgate.setting("")
    wait: fluxgate.Duration = fluxgate.setting(fluxgate.Duration("1m30s"))
    waits: list[fluxgate.Duration] = fluxgate.setting([fluxgate.Duration("0.25s")])
    count: int = fluxgate.setting(5)
    share: float = fluxgate.setting(0.5)
    loud: bool = fluxgate.setting(False)
    names: list[str] = fluxgate.setting(["a"])
    labels: dict = fluxgate.setting({})
    tls: Section = fluxgate.setting(Section(ca="none"))

    def __post_init__(self):
        if self.wait < 0:
            raise ValueError(f"wait {self.wait}: must not be negative")


class Actor:
    def __init__(self, config):
        self.config = config
        self.together = threading.Barrier(8)
        if config.act == "raise in open":
            raise RuntimeError(config.text)

    def write(self, batch, context):
        act = getattr(self, self.config.act.replace(" ", "_"), None)
        return act(batch, context) if act else None

    def store(self, batch, context):
        with open(self.config.path, "a") as file:
            json.dump([[os.fsencode(d.metric).decode("latin-1"), d.timestamp, repr(d.value)] for d in batch], file)

    def tell_settings(self, batch, context):
        raise fluxgate.Invalid(json.dumps(dataclasses.asdict(self.config)))

    def invalid(self, batch, context):
        raise fluxgate.Invalid(f"{len(batch)} datapoints: {batch[0].metric}")

    def unavailable(self, batch, context):
        raise fluxgate.Unavailable(f"far end: {batch[0].metric}")

    def fail(self, batch, context):
        raise LookupError(batch[0].metric)

    def as_told(self, batch, context):
        getattr(self, batch[0].metric.partition(".")[0], lambda *_: None)(batch, context)

    def exit(self, batch, context):
        sys.exit(3)

    def say(self, batch, context):
        print(self.config.text)
        sys.stderr.write(self.config.text + "\n")
        subprocess.run(["/bin/echo", self.config.text])
        logging.debug("logged quietly")
        logging.warning("logged %s", "so", extra={"bytes": len(self.config.text)})
        logging.error(self.config.text)

    def gather(self, batch, context):
        self.together.wait(timeout=context.remaining())

    def hang(self, batch, context):
        logging.info("entered")
        while context.wait(60):
            pass
        logging.info("given up")

    def read(self, batch, context):
        logging.info("entered")
        open(self.config.path).close()
        logging.info("left")

    def remaining(self, batch, context):
        raise fluxgate.Invalid(f"{context.remaining():.0f} {context.active}")

    def environment(self, batch, context):
        raise fluxgate.Invalid("\n".join(os.environ))

    def check(self, context):
        if self.config.text:
            raise fluxgate.Unavailable(self.config.text)

    def close(self):
        logging.info("closed")
        if self.config.act == "note":
            with open(self.config.path, "a") as file:
                file.write("closed\n")
        if self.config.act == "close slowly":
            time.sleep(self.config.wait)
        if self.config.act == "unclean":
            raise fluxgate.Unavailable(self.config.text)


print("before anything else")
fluxgate.serve_sink(Actor, Config, version="2.1")
