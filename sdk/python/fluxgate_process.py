"""The process of a plugin: how it shakes hands, is called, logs, and leaves. Its author imports fluxgate alone."""
import asyncio
import concurrent.futures
import contextlib
import json
import logging
import os
import secrets
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

try:
    import grpc
    import fluxgate_pb2 as wire
except ImportError as err:
    raise ImportError(f"{err}: a plugin needs python3-grpcio, and fluxgate_pb2.py beside it") from err

_SOCKETS = "PLUGIN_UNIX_SOCKET_DIR"
_LINE = 16 << 10  # bytes of a line that the host keeps whole
_LEAVE = 2.0  # seconds for close and the calls before it, once the plugin is to leave
_LEVELS = {logging.WARNING: "WARN", logging.CRITICAL: "ERROR+4"}

_log = logging.getLogger("fluxgate")
_fault: dict[Callable, list] = {}  # of a call that has not succeeded since its last exception: where that came from


class Invalid(Exception):
    """The same call will never succeed."""


class Unavailable(Exception):
    """The same call may succeed later."""


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


def text_of(b: bytes) -> str:
    """Bytes that no letter has are kept, as os.fsdecode keeps them."""
    return b.decode("utf-8", "surrogateescape")


def bytes_of(s: str) -> bytes:
    try:
        return s.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a letter, which JSON can spell
        return s.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


class Guest:
    """The opened plugin. Calls pass through it, so that it is closed after the last.

    Settings returns what describes its settings, and make opens it with some.
    """

    def __init__(self, kind: str, version: str, settings: Callable[[], Iterable], make: Callable[[Any], Any]):
        self.kind, self._version, self._settings, self._make = kind, version, settings, make
        self._plugin: Any = None
        self._calls = 0
        self._closed = self.reopens = False
        self._changed = threading.Condition()
        self._once = threading.RLock()  # held while the plugin is made or closed

    def describe(self, *_: Any) -> wire.Description:
        return wire.Description(kind=self.kind, version=self._version, setting=self._settings())

    def open(self, config: wire.Config, _: Context) -> wire.Opened:
        if config.kind != self.kind:
            raise Invalid(f"this program is a plugin of kind {self.kind}, and is configured as {config.kind}")
        with self._once:
            if self._plugin is not None and not self.reopens:
                raise Invalid("the plugin is already open")
            self.drain()
            self._plugin = self._make(json.loads(config.json))
            self._closed = False
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


class _Lines(logging.Formatter):
    """Writes a record as a line of JSON, with what logging's extra holds."""
    _OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": _LEVELS.get(record.levelno, record.levelname), "msg": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in self._OWN}}
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        text = json.dumps(line, default=str)
        if len(text) < _LINE:
            return text
        short = {"msg": line["msg"][:1000], "stack": line.get("stack", "")[-1500:], "cut": True}
        return json.dumps({"time": line["time"], "level": line["level"], **short})


def _answer(call: Callable, request: type, data: bytes, context: Context) -> tuple[bytes, Any, str]:
    """Makes a call. Returns its answer, or the code and the text of its error."""
    try:
        answer = call(request.FromString(data), context).SerializeToString()
        _fault.pop(call, None)
        return answer, None, ""
    except Invalid as err:
        return b"", grpc.StatusCode.INVALID_ARGUMENT, f"invalid: {err}"
    except Unavailable as err:
        return b"", grpc.StatusCode.UNAVAILABLE, f"unavailable: {err}"
    except BaseException as err:  # also SystemExit: the process is the host's to end
        fault = [type(err), *(part for part in traceback.format_exception(err) if part.startswith("  "))]
        same, _fault[call] = fault == _fault.get(call), fault
        _log.error(f"{type(err).__name__} again" if same else "exception", exc_info=not same, extra={"value": str(err)})
        return b"", grpc.StatusCode.INTERNAL, f"{type(err).__name__}: {err}"


def _method(call: Callable, request: type, pool: concurrent.futures.Executor) -> grpc.RpcMethodHandler:
    async def handle(data: bytes, host: grpc.aio.ServicerContext) -> bytes:
        context = Context(host.time_remaining())
        try:
            answer, code, text = await asyncio.get_running_loop().run_in_executor(
                pool, _answer, call, request, data, context)
        except asyncio.CancelledError:
            context._given_up.set()
            raise
        if code is not None:  # the text is a header, of which 8 KiB are sent
            await host.abort(code, bytes_of(text)[:8 << 10].decode("utf-8", "replace"))
        return answer
    return grpc.unary_unary_rpc_method_handler(handle)


def _services(guest: Guest, leave: asyncio.Event, verb: str, request: type, call: Callable, workers: int) -> dict:
    calls = concurrent.futures.ThreadPoolExecutor(workers)
    control = concurrent.futures.ThreadPoolExecutor(16)  # so that calls never hold these up

    async def health(*_: Any) -> bytes:
        return b"\x08\x01"  # status: SERVING

    async def shutdown(*_: Any) -> bytes:
        leave.set()
        return b""

    return {
        "grpc.health.v1.Health": {"Check": grpc.unary_unary_rpc_method_handler(health)},
        "plugin.GRPCController": {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown)},
        "fluxgate.v1.Plugin": {
            "Describe": _method(guest.describe, wire.Nothing, control),
            "Open": _method(guest.open, wire.Config, control),
            "Check": _method(guest.check, wire.Nothing, control),
            "Drain": _method(guest.drain, wire.Nothing, control)},
        "fluxgate.v1." + guest.kind.capitalize(): {
            verb: _method(lambda *args: guest.call(call, *args), request, calls)},
    }


async def _listen(guest: Guest, ready: Callable, *method: Any) -> None:
    """Serves guest until it is to leave. Ready is told where, and what has it leave."""
    leave, limit = asyncio.Event(), int(os.environ.get("PLUGIN_MESSAGE_LIMIT") or 33 << 20)
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", limit), ("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers([
        grpc.method_handlers_generic_handler(*s) for s in _services(guest, leave, *method).items()])
    path = os.path.join(os.environ.get(_SOCKETS) or tempfile.gettempdir(), f"plugin{secrets.randbelow(1 << 32)}")
    server.add_insecure_port("unix:" + path)
    await server.start()
    try:
        ready(path, asyncio.get_running_loop(), leave.set)
        await leave.wait()
    finally:  # also when nobody listens: a server that is not stopped keeps the process
        await server.stop(0.1)  # which removes the socket


def _await_end(host: int, stdout: int) -> None:
    """Returns when the host has ended. One that ended before this process looked has left nobody to read stdout."""
    try:
        ended = os.pidfd_open(host)
    except (AttributeError, OSError):  # a kernel or sandbox without it
        while os.getppid() == host:
            time.sleep(1)
        return
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(stdout, 0)
    while True:
        for fd, event in poll.poll():
            if fd == ended or event & select.POLLERR:
                return
            poll.unregister(fd)


def _serve_host(guest: Guest, *method: Any) -> bool:
    """Serves the host that has started this process. Returns whether it is gone."""
    host, gone = os.getppid(), threading.Event()

    def watch(stdout: int, loop: asyncio.AbstractEventLoop, leave: Callable) -> None:
        _await_end(host, stdout)
        gone.set()
        loop.call_soon_threadsafe(leave)

    def shake_hands(path: str, *stop: Any) -> None:
        spoken = os.environ.get("PLUGIN_PROTOCOL_VERSIONS", "").split(",")
        os.write(1, f"1|{2 if '2' in spoken else 1}|unix|{path}|grpc|\n".encode())
        stdout = os.dup(1)
        os.dup2(2, 1)  # what is printed from here on is logged
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
        threading.Thread(target=watch, args=(stdout, *stop), daemon=True).start()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is for the host
    lines = logging.StreamHandler()
    lines.setFormatter(_Lines())
    logging.basicConfig(handlers=[lines], force=True)
    asyncio.run(_listen(guest, shake_hands, *method))
    return gone.is_set()


def _serve_attached(guest: Guest, *method: Any) -> None:
    """Serves hosts one after the other until SIGINT or SIGTERM."""
    def ready(path: str, loop: asyncio.AbstractEventLoop, leave: Callable) -> None:
        loop.add_signal_handler(signal.SIGINT, leave)
        loop.add_signal_handler(signal.SIGTERM, leave)
        print(f"start Fluxgate with:\n\n    fluxgate serve --attach {os.path.basename(sys.argv[0])}=2:{path}\n", flush=True)

    guest.reopens = True
    logging.basicConfig()
    asyncio.run(_listen(guest, ready, *method))


def serve(guest: Guest, verb: str, request: type, call: Callable, workers: int) -> None:
    """Runs the calling program as the plugin guest. Its method is called verb on the wire; call takes the opened
    plugin, a message of type request, and a Context. At most workers are under way at a time."""
    gone, program, method = False, sys.argv[0], (verb, request, call, workers)
    if logging.root.level == logging.WARNING:  # which is logging's default
        logging.root.setLevel(logging.INFO)
    if sys.argv[1:] == ["--attach"]:
        _serve_attached(guest, *method)
    elif os.environ.get("PLUGIN_OF_FLUXGATE") == "fluxgate.v1":
        gone = _serve_host(guest, *method)
    else:
        sys.exit(f"{program} is a plugin of Fluxgate, of kind {guest.kind}: fluxgate starts it when its configuration "
                 f"names it.\nTest it with: fluxgate plugin test {program}. Debug it with: {program} --attach")
    # What does not return must not keep the process: its host may be gone.
    last = threading.Timer(_LEAVE, os._exit, [1])
    last.daemon = True
    last.start()
    try:
        guest.drain()
    except Exception as err:
        _log.error("close", exc_info=err)
    if gone:
        with contextlib.suppress(OSError):
            os.rmdir(os.environ.get(_SOCKETS, ""))  # of the host's plugins the last succeeds
