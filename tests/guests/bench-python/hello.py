"""Answers every request with the same 12 bytes, as `tests/guests/http/examples/http-hello.rs` does: what the benchmark
compares across languages. `cargo xtask bench` has componentize-py make it a component; `wit_world` is what that
generates from `wit/wasi-0.3`.
"""

import wit_world
from componentize_py_async_support import spawn
from componentize_py_types import Ok
from wit_world import exports
from wit_world.imports.wasi_http_types import Fields, Response

# The generated name is the whole type.
new_trailers = wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future


# Derived from the generated class: otherwise it builds, and then every call traps.
class Handler(exports.Handler):
    async def handle(self, request):
        body, body_reader = wit_world.byte_stream()
        trailers, trailers_reader = new_trailers(lambda: Ok(None))
        headers = Fields.from_list([("content-type", b"text/plain")])
        response, sent = Response.new(headers, body_reader, trailers_reader)
        # Nobody reads the body before the response is returned.
        spawn(write(body, trailers, sent, b"hello, wharf"))
        return response


async def write(body, trailers, sent, text):
    """Sends the body and closes everything; closed unwritten, the trailers become those they were made with: none."""
    with sent, trailers, body:
        await body.write_all(text)
