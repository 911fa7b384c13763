"""The middleware: sees each request before the service does, and each response after it.

`wit_world` is made of `wit/` when the component is built. `componentize-py --world middleware --wit-path wit bindings .wharf/bindings`
writes it where an editor can look at it.
"""

import wit_world
from componentize_py_types import Ok
from policy import FIELDS, is_allowed
from wit_world import exports
from wit_world.imports import handler as service
from wit_world.imports.wasi_http_types import Fields, Response

# The generated names are whole types: of a body's trailers, which come after it, and of what became of a body.
new_trailers = wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future
new_outcome = wit_world.result_unit_wasi_http_types_error_code_future


# Derived from the generated class: otherwise each call would trap.
class Handler(exports.Handler):
    async def handle(self, request):
        if not is_allowed(request.get_path_with_query() or "/"):
            return refused()
        # What the service raises passes by.
        return with_fields(await service.handle(request))


def refused():
    """An answer of the middleware's own: the service does not hear of it."""
    trailers, trailers_reader = new_trailers(lambda: Ok(None))
    response, sent = Response.new(Fields(), None, trailers_reader)
    response.set_status_code(403)
    # Closed unwritten, the trailers become those they were made with: none.
    with trailers, sent:
        return response


def with_fields(response):
    """The same response with further fields. Its body passes by: no byte of it comes here."""
    headers = response.get_headers().clone()
    for name, value in FIELDS.items():
        headers.set(name, [value.encode()])
    status = response.get_status_code()
    taken, taken_reader = new_outcome(lambda: Ok(None))
    body, trailers = Response.consume_body(response, taken_reader)
    passed, sent = Response.new(headers, body, trailers)
    passed.set_status_code(status)
    with taken, sent:
        return passed
