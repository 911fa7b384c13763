"""Responses, whose bodies are sent while the server reads them."""

import wit_world
from componentize_py_async_support import spawn
from componentize_py_types import Ok
from wit_world.imports.wasi_http_types import Fields, Response

# The generated name is the whole type: of a body's trailers, which come after it.
new_trailers = wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future


def with_text(status, text):
    return respond(status, [("content-type", "text/plain")], one(text))


def with_json(text, fields=()):
    return respond(200, [("content-type", "application/json"), *fields], one(text))


def with_lines(lines):
    """Each line is sent when it is there."""
    return respond(200, [("content-type", "application/x-ndjson")], lines)


async def one(line):
    yield line


def respond(status, fields, lines):
    body, body_reader = wit_world.byte_stream()
    trailers, trailers_reader = new_trailers(lambda: Ok(None))
    fields = Fields.from_list([(name, value.encode()) for name, value in fields])
    response, sent = Response.new(fields, body_reader, trailers_reader)
    response.set_status_code(status)
    # Nobody reads the body before the response is returned.
    spawn(send(body, trailers, sent, lines))
    return response


async def send(body, trailers, sent, lines):
    """Sends the lines and closes everything; closed unwritten, the trailers become those they were made with: none."""
    with sent, trailers, body:
        async for line in lines:
            await body.write_all(f"{line}\n".encode())
            if body.reader_dropped:
                break
        await lines.aclose()
