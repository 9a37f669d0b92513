#!/usr/bin/python3
"""An input that answers with what it was asked: what is JSON in the body, in which
bytes are spelled as the letters of Latin-1, becomes the submission."""
import json
import logging
import os

import fluxgate


class Echo:
    def __init__(self, config):
        pass

    def decode(self, request, context):
        logging.debug("asked")
        size = int(request.header.get("X-Reply-Bytes", ["0"])[0])
        reply = fluxgate.Reply(207, (request.route + request.method).encode() + bytes(size))
        said = {} if request.body.startswith(b"\0") else json.loads(request.body or "{}")
        return fluxgate.Submission(
            key=request.query, invalid=request.header.get("X-Text", [""])[0] + str(len(request.body)),
            dropped=said.get("Broken", request.header.get("X-Many", [])), dry_run=True, key_check=True,
            reply=reply if request.route else None,
            batch=[fluxgate.Datapoint(odd(m), t, v) for m, t, v in said.get("Batch", [])],
            backfill=[(odd(m), t, v) for m, t, v in said.get("Backfill", [])])


def odd(letters):
    return os.fsdecode(letters.encode("latin-1"))


logging.getLogger().setLevel(logging.DEBUG)
fluxgate.serve_input(Echo)
