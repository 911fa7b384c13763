"""The service: takes requests and answers them.

`wit_world` is made of `wit/` when the component is built. `componentize-py --world service --wit-path wit bindings .wharf/bindings`
writes it where an editor can look at it.
"""

import wit_world
from componentize_py_async_support import spawn
from componentize_py_types import Ok
from greeting import greeting
from wit_world import exports
from wit_world.imports.wasi_http_types import Fields, Response

# The generated name is the whole type: of a body's trailers, which come after it.
new_trailers = wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future


# Derived from the generated class: otherwise each call would trap.
class Handler(exports.Handler):
    async def handle(self, request):
        path = request.get_path_with_query() or "/"
        return respond("text/plain", greeting(path.split("?")[0]))


def respond(content_type, text):
    """A response whose body is sent while the server reads it."""
    body, body_reader = wit_world.byte_stream()
    trailers, trailers_reader = new_trailers(lambda: Ok(None))
    headers = Fields.from_list([("content-type", content_type.encode())])
    response, sent = Response.new(headers, body_reader, trailers_reader)
    # Nobody reads the body before the response is returned.
    spawn(send(body, trailers, sent, text.encode()))
    return response


async def send(body, trailers, sent, content):
    """Sends the body and closes everything; closed unwritten, the trailers become those they were made with: none."""
    with sent, trailers, body:
        await body.write_all(content)
