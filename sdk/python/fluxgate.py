"""All that the author of a Fluxgate plugin in Python imports.

It needs Python 3.11, grpcio and protobuf: Debian's python3-grpcio is enough.
Beside it lie fluxgate_process.py and fluxgate_pb2.py. A sink is complete with:

    @dataclasses.dataclass
    class Config:
        path: str = fluxgate.setting(help="file that datapoints are appended to")

    class Sink:
        def __init__(self, config: Config): ...
        def write(self, batch: list[fluxgate.Datapoint], context: fluxgate.Context): ...

    fluxgate.serve_sink(Sink, Config, version="1.0")

Any plugin may have two methods more. check(context) raises when the plugin
would not work now, such as when its server cannot be reached. close() is called
once, after the last call has returned, and should not take longer than a second.

Calls come from several threads at once, so methods must be thread safe. A method
raises Invalid when the same call will never succeed, and Unavailable when it may
later. Any other exception counts as Unavailable, to the senders of an input as a
fault of the plugin, and its traceback is in the log, once for calls in a row that
fail alike.

Names and text that a sender chose are bytes that need not be UTF-8. Here they
are str, in which odd bytes are kept as os.fsdecode keeps them: write them with
encode(errors="surrogateescape").
"""
import copy
import dataclasses
import difflib
import itertools
import json
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any

from fluxgate_process import Context, Guest, Invalid, Unavailable, bytes_of, serve, text_of
import fluxgate_pb2 as wire

__all__ = [
    "Context", "Datapoint", "Duration", "Invalid", "NoConfig", "Point", "Reply", "Request", "Series", "Submission",
    "Unavailable", "serve_input", "serve_resampler", "serve_sink", "setting",
]


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
    batch: list[Datapoint] = dataclasses.field(default_factory=list)  # to be stored if fresh
    backfill: list[Datapoint] = dataclasses.field(default_factory=list)  # to be stored whatever its age
    dropped: list[str] = dataclasses.field(default_factory=list)  # metrics left out on purpose
    dry_run: bool = False  # to be judged, and not stored
    key_check: bool = False  # asks only whether the key is admitted
    invalid: str = ""  # why the request is refused; told once the key is admitted
    reply: Reply | None = None  # an answer that needs neither key nor datapoints


# Settings


class Duration(float):
    """A number of seconds, which is written as text such as "5s" or "1h30m"."""
    _UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

    def __new__(cls, written: str | float) -> "Duration":
        if not isinstance(written, str):
            return super().__new__(cls, written)
        spans = re.findall(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)", unsigned := written.removeprefix("-"))
        if unsigned != "0" and (not spans or "".join(map("".join, spans)) != unsigned):
            raise ValueError(f'{written} is no duration: give it a unit, such as "5s"')
        seconds = sum(float(number) * cls._UNITS[unit] for number, unit in spans)
        return super().__new__(cls, -seconds if written.startswith("-") else seconds)

    def __str__(self) -> str:
        return f"{self:.9f}".rstrip("0").rstrip(".") + "s"


_TYPES = {str: "text", int: "integer", float: "number", bool: "boolean", Duration: "duration"}
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


@dataclasses.dataclass
class NoConfig:
    """The configuration of a plugin that has no settings."""


def setting(default: Any = dataclasses.MISSING, *, help: str = "", unit: str = "") -> Any:
    """Returns a field of a dataclass of settings. One without a default must be given;
    that of a Duration may be text.

    Its type is str, int, float, bool, Duration, a list of one of these, or
    another such dataclass, which is a section; of any other type the value is
    what JSON makes of it. What __post_init__ of the dataclass refuses with a
    ValueError is Invalid.
    """
    about = {"help": help, "unit": unit}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=about, kw_only=True)
    return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=about, kw_only=True)


def _configure(kind: type, given: Any, path: str = "") -> Any:
    """Lays the settings given over the defaults of kind, a dataclass."""
    if not isinstance(given, dict):
        raise Invalid(f'setting "{path[:-1]}": {json.dumps(given)} must be a section of settings')
    types, fields = typing.get_type_hints(kind), dataclasses.fields(kind)
    values = {name: value for name, value in given.items() if value is not None}
    wrong = [f'unknown setting "{path}{name}"{_hint(path, name, list(types))}' for name in values if name not in types]
    wrong += [f'setting "{path}{f.name}" must be given' for f in fields
              if f.name not in values and f.default is f.default_factory]
    if wrong:
        raise Invalid("\n".join(wrong))
    defaults = {f.name: f.default_factory() for f in fields if callable(f.default_factory)}
    texts = {name: value for name, value in defaults.items() if types[name] is Duration and isinstance(value, str)}
    values = {name: _convert(types[name], value, path + name) for name, value in (texts | values).items()}
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
        return [_convert(typing.get_args(kind)[0], item, path) for item in items]
    try:
        return _simple(kind, value) if kind in _TYPES else value
    except (KeyError, ValueError):
        remedy = ': give it a unit, such as "5s"' if kind is Duration else ""
        raise Invalid(f'setting "{path}": {json.dumps(value)} is not of type {_TYPES[kind]}{remedy}') from None


def _simple(kind: Any, value: Any) -> Any:
    """Converts a value, which may be text where it comes from the environment."""
    if kind is bool:
        return _BOOLEANS[str(value).lower()]
    if isinstance(value, (bool, list, dict)) or (kind is int and isinstance(value, float) and not value.is_integer()):
        raise ValueError
    if kind is int and isinstance(value, str):
        return int(value, 0)
    return kind(str(value)) if kind is Duration else kind(value)


def _describe(kind: type, path: str = "", section: Any = None) -> Iterator[wire.Setting]:
    types = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        of = types[field.name]
        value = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        value = getattr(section, field.name, value)
        if dataclasses.is_dataclass(of):
            yield from _describe(of, f"{path}{field.name}.", value)
            continue
        is_list = typing.get_origin(of) is list
        item = typing.get_args(of)[0] if is_list else of
        yield wire.Setting(
            name=path + field.name, type="list of " * is_list + _TYPES.get(item, "any"), **field.metadata,
            default_json=b"" if value is dataclasses.MISSING else _json(value))


def _json(value: Any) -> bytes:
    items = [str(v) if isinstance(v, Duration) else v for v in (value if isinstance(value, list) else [value])]
    return json.dumps(items if isinstance(value, list) else items[0]).encode()


# The wire


def _pack(rows: list[Datapoint]) -> wire.Batch:
    return wire.Batch(metric=[bytes_of(r[0]) for r in rows], timestamp=[r[1] for r in rows], value=[r[2] for r in rows])


def _write(sink: Any, batch: wire.Batch, context: Context) -> wire.Nothing:
    sizes = len(batch.metric), len(batch.timestamp), len(batch.value)
    if len(set(sizes)) > 1:
        raise Invalid("batch with %d metrics, %d timestamps and %d values" % sizes)
    sink.write(list(map(Datapoint, map(text_of, batch.metric), batch.timestamp, batch.value)), context)
    return wire.Nothing()


def _decode(source: Any, r: wire.Request, context: Context) -> wire.Submission:
    header = {text_of(h.name): list(map(text_of, h.value)) for h in r.header}
    s = source.decode(Request(r.route, r.method, text_of(r.query), header, r.body), context)
    return wire.Submission(
        key=bytes_of(s.key), batch=_pack(s.batch), backfill=_pack(s.backfill), dropped=map(bytes_of, s.dropped),
        dry_run=s.dry_run, key_check=s.key_check, invalid=bytes_of(s.invalid),
        reply=s.reply and wire.Reply(status=s.reply.status, body=s.reply.body))


def _resample(resampler: Any, call: wire.ResampleCall, context: Context) -> wire.Series:
    series = call.series
    if len(series.timestamp) != len(series.value):
        raise Invalid(f"series with {len(series.timestamp)} timestamps and {len(series.value)} values")
    points = list(map(Point, series.timestamp, series.value))
    points = list(resampler.resample(Series(text_of(series.metric), points), call.step, context))
    return wire.Series(metric=series.metric, timestamp=[p[0] for p in points], value=[p[1] for p in points])


# The three kinds


def _serve(kind: str, make: Callable, config: type, version: str, *method: Any) -> None:
    guest = Guest(kind, version, lambda: _describe(config), lambda given: make(_configure(config, given)))
    serve(guest, *method)


def serve_sink(make: Callable[[Any], Any], config: type = NoConfig, *, version: str = "", workers: int = 8) -> None:
    """Runs the calling program as a sink plugin. It returns when the host is done
    with the plugin, or is gone.

    When the host asks, it calls make, a class as a rule, with an instance of the
    dataclass config that holds the plugin's settings. That should touch no network
    and create nothing. At most workers calls of the plugin's method are under way
    at a time.

    That method is write(batch, context) with a list of Datapoints. It returns only
    when the whole batch is stored. The host retries a batch whole, so a sink must
    accept a datapoint that it already has. A batch holds at most 5,000 datapoints
    or 512 KiB.

    What the program logs with logging, from level INFO on unless it sets another,
    and what it prints, appears in the host's log. Started by hand with --attach it
    waits for a host, such as with a breakpoint() in it, and prints how to start a
    Fluxgate that uses it.
    """
    _serve("sink", make, config, version, "Write", wire.Batch, _write, workers)


def serve_input(make: Callable[[Any], Any], config: type = NoConfig, *, version: str = "", workers: int = 8) -> None:
    """Is like serve_sink, for an input plugin, whose method is decode(request,
    context) with a Request. It returns a Submission, and raises Invalid only when
    not even a key can be read. It judges the form of a request alone: keys, metric
    names and the age of timestamps are the host's business."""
    _serve("input", make, config, version, "Decode", wire.Request, _decode, workers)


def serve_resampler(make: Callable[[Any], Any], config: type = NoConfig, *, version: str = "", workers: int = 8) -> None:
    """Is like serve_sink, for a resampler plugin, whose method is resample(series,
    step, context) with a Series and a number of seconds. It returns Points in
    ascending order of time, whose timestamps are multiples of step. An interval
    without points is left out: a resampler never invents data."""
    _serve("resampler", make, config, version, "Resample", wire.ResampleCall, _resample, workers)
