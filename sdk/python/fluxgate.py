"""All that the author of a Fluxgate plugin in Python imports.

It needs Python 3.11, grpcio and protobuf: Debian's python3-grpcio is enough.
Beside it lies fluxgate_pb2.py. A sink is complete with:

    @dataclasses.dataclass
    class Config:
        path: str = fluxgate.setting(help="file that datapoints are appended to")

    class Sink:
        def __init__(self, config: Config): ...
        def write(self, batch: list[fluxgate.Datapoint], context: fluxgate.Context): ...

    fluxgate.serve_sink(Sink, Config, version="1.0")

Every plugin may have two methods more. check(context) raises when the plugin
would not work now, such as when its server cannot be reached. close() is called
once, after the last call has returned, and should not take longer than a second.

Calls come from several threads at once, so methods must be thread safe. A method
raises Invalid when the same call will never succeed, and Unavailable when it may
later. Any other exception counts as Unavailable, to the senders of an input as a
fault of the plugin, and its traceback is in the log.

Names and text that a sender chose are bytes that need not be UTF-8. Here they
are str, in which odd bytes are kept as os.fsdecode keeps them: write them with
encode(errors="surrogateescape").
"""
import asyncio
import concurrent.futures
import contextlib
import copy
import dataclasses
import difflib
import itertools
import json
import logging
import os
import re
import secrets
import select
import signal
import sys
import tempfile
import threading
import time
import typing
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone

try:
    import grpc
    import fluxgate_pb2 as wire
except ImportError as err:
    raise ImportError(f"{err}: a plugin needs python3-grpcio, and fluxgate_pb2.py beside fluxgate.py") from err


class Invalid(Exception):
    """The same call will never succeed."""


class Unavailable(Exception):
    """The same call may succeed later."""


class Datapoint(typing.NamedTuple):
    """One value of one metric at one time. The value is never NaN or infinite."""
    metric: str
    timestamp: int  # Unix seconds
    value: float


class Point(typing.NamedTuple):
    """A Datapoint whose metric is known from context."""
    timestamp: int
    value: float


@dataclasses.dataclass
class Series:
    """The points of one metric, in ascending order of time."""
    metric: str
    points: list[Point]

    def intervals(self, step: int) -> Iterator[tuple[int, list[Point]]]:
        """Yields the start of each step that has points, and those points."""
        for start, points in itertools.groupby(self.points, lambda p: p.timestamp - p.timestamp % step):
            yield start, list(points)


@dataclasses.dataclass
class Request:
    """An HTTP request, read whole and no longer gzipped."""
    route: str  # as configured, such as "POST /metric_data_post"
    method: str
    query: str  # raw, without the question mark
    header: dict[str, list[str]]  # names as in "Content-Type"
    body: bytes


@dataclasses.dataclass
class Reply:
    """An answer that an input gives by itself. One with status 200 is a health check."""
    status: int  # an HTTP status, 200 to 599
    body: bytes = b""  # JSON, or empty


@dataclasses.dataclass
class Submission:
    """What a request asks for.

    A request that turns out to be malformed behind its key is described by
    invalid, while batch and backfill hold what was read before that place.
    """
    key: str = ""  # the API key that the request carried, for the host to judge
    batch: Iterable[Datapoint] = ()  # to be stored if fresh
    backfill: Iterable[Datapoint] = ()  # to be stored whatever its age
    dropped: Iterable[str] = ()
    dry_run: bool = False  # to be judged, and not stored
    key_check: bool = False  # asks only whether the key is admitted
    invalid: str = ""  # why the request is refused; told once the key is admitted
    reply: Reply | None = None  # an answer that needs neither key nor datapoints


class Context:
    """Tells a method whether the host still waits for its answer."""

    def __init__(self, seconds: float | None):
        self._end = time.monotonic() + (3600 if seconds is None else seconds)
        self._given_up = threading.Event()

    def remaining(self) -> float:
        """Seconds until the host gives up: more than 0, so that it can be a timeout."""
        return max(0.001, self._end - time.monotonic())

    @property
    def active(self) -> bool:
        """False once the host has given up: whatever is answered then is lost."""
        return not self._given_up.is_set() and time.monotonic() < self._end

    def wait(self, seconds: float) -> bool:
        """Sleeps, but not longer than the host waits. Returns active."""
        self._given_up.wait(min(seconds, self.remaining()))
        return self.active


# Settings


class Duration(float):
    """A number of seconds, written as text such as "5s" or "1h30m"."""
    _UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

    def __new__(cls, text: str) -> "Duration":
        spans = re.findall(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)", str(text))
        if text not in ("0", 0) and (not spans or "".join(map("".join, spans)) != str(text)):
            raise ValueError
        return super().__new__(cls, sum(float(number) * cls._UNITS[unit] for number, unit in spans))

    def __str__(self) -> str:
        return f"{self:.9f}".rstrip("0").rstrip(".") + "s"


_TYPES = {str: "text", int: "integer", float: "number", bool: "boolean", Duration: "duration"}
_WORDS = {"true": True, "false": False, "1": True, "0": False}


def setting(default: Any = dataclasses.MISSING, *, help: str = "", unit: str = "") -> Any:
    """Returns a field of a dataclass of settings. One without a default must be given.

    Its type is str, int, float, bool, Duration, a list of one of these, or
    another such dataclass, which is a section; of any other type the value is
    what JSON makes of it. What the dataclass's __post_init__ refuses with a
    ValueError is Invalid.
    """
    about = {"help": help, "unit": unit}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=about, kw_only=True)
    return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=about, kw_only=True)


def _configure(kind: type, given: Any, path: str = "") -> Any:
    """Lays the settings given over the defaults of kind, a dataclass."""
    if not isinstance(given, dict):
        raise Invalid(f'setting "{path[:-1]}": {json.dumps(given)} is no section')
    types, fields = typing.get_type_hints(kind), dataclasses.fields(kind)
    if unknown := [name for name in given if name not in types]:
        raise Invalid("\n".join(f'unknown setting "{path}{name}"{_hint(path, name, list(types))}' for name in unknown))
    if missing := [f.name for f in fields if f.name not in given and f.default is f.default_factory]:
        raise Invalid("\n".join(f'setting "{path}{name}" must be given' for name in missing))
    values = {name: _convert(types[name], value, path + name) for name, value in given.items()}
    try:
        return kind(**values)
    except ValueError as err:
        raise Invalid(str(err)) from err


def _hint(path: str, name: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0)
    return f': did you mean "{path}{nearest[0]}"?' if nearest else ": there are no settings here"


def _convert(kind: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _configure(kind, value, path + ".")
    if typing.get_origin(kind) is list:  # a single value serves for a list of one
        items = value if isinstance(value, list) else [value]
        return [_convert(typing.get_args(kind)[0], item, f"{path}[{i}]") for i, item in enumerate(items)]
    try:
        return _scalar(kind, value) if kind in _TYPES else value
    except (KeyError, ValueError):
        hint = ': give it a unit, such as "5s"' if kind is Duration else ""
        raise Invalid(f'setting "{path}": {json.dumps(value)} is no {_TYPES[kind]}{hint}') from None


def _scalar(kind: Any, value: Any) -> Any:
    """Converts a value, which may be text where it comes from the environment."""
    if kind is bool:
        return _WORDS[str(value).lower()]
    if isinstance(value, (bool, list, dict)) or value is None or (kind is int and isinstance(value, float)):
        raise ValueError
    return kind(value)


def _describe(kind: type, path: str = "", section: Any = None) -> Iterator[wire.Setting]:
    for field in dataclasses.fields(kind):
        of = typing.get_type_hints(kind)[field.name]
        value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        value = getattr(section, field.name, value)
        if dataclasses.is_dataclass(of):
            yield from _describe(of, f"{path}{field.name}.", value)
            continue
        listed = typing.get_args(of)[0] if typing.get_origin(of) is list else None
        plain = [str(v) if isinstance(v, Duration) else v for v in (value if listed else [value])]
        yield wire.Setting(
            name=path + field.name, **field.metadata,
            type="list of " + _TYPES.get(listed, "any") if listed else _TYPES.get(of, "any"),
            default_json=b"" if value is dataclasses.MISSING else json.dumps(plain if listed else plain[0]).encode())


# The wire


def _text(b: bytes) -> str:
    return b.decode("utf-8", "surrogateescape")


def _bytes(s: str) -> bytes:
    try:
        return s.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a letter, which JSON can spell
        return s.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _columns(datapoints: Iterable[tuple[str, int, float]]) -> wire.Batch:
    metrics, timestamps, values = zip(*datapoints) or ((), (), ())
    return wire.Batch(metric=map(_bytes, metrics), timestamp=timestamps, value=values)


def _write(sink: Any, batch: wire.Batch, context: Context) -> wire.Nothing:
    sizes = len(batch.metric), len(batch.timestamp), len(batch.value)
    if len(set(sizes)) > 1:
        raise Invalid("batch with %d metrics, %d timestamps and %d values" % sizes)
    sink.write(list(map(Datapoint, map(_text, batch.metric), batch.timestamp, batch.value)), context)
    return wire.Nothing()


def _decode(source: Any, r: wire.Request, context: Context) -> wire.Submission:
    header = {_text(h.name): list(map(_text, h.value)) for h in r.header}
    s = source.decode(Request(r.route, r.method, _text(r.query), header, r.body), context)
    return wire.Submission(
        key=_bytes(s.key), batch=_columns(s.batch), backfill=_columns(s.backfill), dropped=map(_bytes, s.dropped),
        dry_run=s.dry_run, key_check=s.key_check, invalid=_bytes(s.invalid),
        reply=s.reply and wire.Reply(status=s.reply.status, body=s.reply.body))


def _resample(resampler: Any, call: wire.ResampleCall, context: Context) -> wire.Series:
    series = call.series
    if len(series.timestamp) != len(series.value):
        raise Invalid(f"series with {len(series.timestamp)} timestamps and {len(series.value)} values")
    points = list(map(Point, series.timestamp, series.value))
    points = list(resampler.resample(Series(_text(series.metric), points), call.step, context))
    return wire.Series(metric=series.metric, timestamp=[p[0] for p in points], value=[p[1] for p in points])


# The plugin in its process


class _Guest:
    """The opened plugin. Calls pass through it, so that it is closed after the last."""

    def __init__(self, kind: str, make: Callable, config: type | None, version: str):
        self._kind, self._make, self._config, self._version = kind, make, config, version
        self._plugin: Any = None
        self._closed = False
        self._calls = 0
        self._changed = threading.Condition()
        self._once = threading.Lock()  # held while the plugin is made or closed

    def describe(self, *_: Any) -> wire.Description:
        settings = _describe(self._config) if self._config else ()
        return wire.Description(kind=self._kind, version=self._version, setting=settings)

    def open(self, config: wire.Config, _: Context) -> wire.Opened:
        if config.kind != self._kind:
            raise Invalid(f"this program is a plugin of kind {self._kind}, and is configured as {config.kind}")
        given = json.loads(config.json)
        with self._once:
            if self._plugin is not None:
                raise Invalid("the plugin is already open")
            if self._config:
                self._plugin = self._make(_configure(self._config, given))
            else:
                _configure(_NoConfig, given)
                self._plugin = self._make()
        return wire.Opened()

    def call(self, do: Callable, *args: Any) -> Any:
        with self._changed:
            if self._plugin is None or self._closed:
                raise Unavailable("the plugin is not open")
            self._calls += 1
        try:
            return do(self._plugin, *args)
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def check(self, _: wire.Nothing, context: Context) -> wire.Nothing:
        self.call(lambda plugin: plugin.check(context) if hasattr(plugin, "check") else None)
        return wire.Nothing()

    def drain(self, *_: Any) -> wire.Nothing:
        with self._once:
            if self._plugin is not None and not self._closed:
                with self._changed:
                    self._closed = True
                    self._changed.wait_for(lambda: self._calls == 0)
                if hasattr(self._plugin, "close"):
                    self._plugin.close()
        return wire.Nothing()
