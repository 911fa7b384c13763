"""The service: which request is answered how.

`wit_world` is made of `wit/` when the component is built. `componentize-py --world service --wit-path wit bindings .wharf/bindings`
writes it where an editor can look at it.
"""

import json
import re
import sys

import database
import wit_world
from componentize_py_async_support import spawn
from componentize_py_types import Err, Ok
from note import NoNote, text_of
from wit_world import exports
from wit_world.imports.wasi_http_types import Fields, Method_Delete, Method_Get, Method_Post, Request, Response

# The generated names are whole types: of a body's trailers, which come after it, and of what became of a body that was read.
new_trailers = wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future
new_outcome = wit_world.result_unit_wasi_http_types_error_code_future


# Derived from the generated class: otherwise each call would trap.
class Handler(exports.Handler):
    async def handle(self, request):
        try:
            status, value = await answer(request)
        except Err as error:
            # Why, is the operator's to know, in the log.
            print(f"the database: {error.value}", file=sys.stderr)
            status, value = 503, problem("the database does not answer")
        return respond(status, value)


async def answer(request):
    """What a request is answered with: a status, and what becomes JSON."""
    path = (request.get_path_with_query() or "/").split("?")[0]
    note = re.fullmatch(r"/notes/(\d{1,18})", path)
    match request.get_method():
        case Method_Get() if path == "/notes":
            return 200, await database.notes()
        case Method_Post() if path == "/notes":
            try:
                return 201, await database.add(text_of(await read(request)))
            except NoNote as error:
                return 422, problem(str(error))
        case Method_Get() if note:
            found = await database.note(int(note[1]))
            return (200, found) if found else (404, problem("there is no such note"))
        case Method_Delete() if note:
            return (204, None) if await database.remove(int(note[1])) else (404, problem("there is no such note"))
    if note or path == "/notes":
        return 405, problem("notes know no such method")
    return 404, problem("there is nothing at this path; /notes has the notes")


def problem(text):
    return {"error": text}


async def read(request):
    """The request's body. The manifest says how large it may be."""
    outcome, outcome_reader = new_outcome(lambda: Ok(None))
    body, trailers = Request.consume_body(request, outcome_reader)
    content = bytearray()
    with outcome, trailers, body:
        while not body.writer_dropped:
            content += await body.read(4096)
    return bytes(content)


def respond(status, value):
    """A response whose body is sent while the server reads it."""
    body, body_reader = wit_world.byte_stream()
    trailers, trailers_reader = new_trailers(lambda: Ok(None))
    headers = Fields.from_list([("content-type", b"application/json")])
    response, sent = Response.new(headers, body_reader, trailers_reader)
    response.set_status_code(status)
    content = b"" if value is None else json.dumps(value).encode()
    # Nobody reads the body before the response is returned.
    spawn(send(body, trailers, sent, content))
    return response


async def send(body, trailers, sent, content):
    """Sends the body and closes everything; closed unwritten, the trailers become those they were made with: none."""
    with sent, trailers, body:
        await body.write_all(content)
