"""The service: answers each message of a WebSocket with another.

The host has the protocol: handshakes, frames, pings, sizes, UTF-8, closing. Here come messages, and go messages.

`wit_world` is made of `wit/` when the component is built. `componentize-py --world websocket --wit-path wit bindings .wharf/bindings`
writes it where an editor can look at it.
"""

import wit_world
from componentize_py_async_support import spawn
from componentize_py_types import Ok
from reply import reply
from wit_world import exports
from wit_world.exports.wharf_websocket_handler import Accepted
from wit_world.imports.wasi_http_types import Fields, Response
from wit_world.imports.wharf_websocket_types import CloseInfo, Message_Text

# The generated names are whole types: of a body's trailers, of messages, and of how a connection ends.
new_trailers = wit_world.result_option_wasi_http_types_fields_wasi_http_types_error_code_future
new_messages = wit_world.wharf_websocket_types_message_stream
new_end = wit_world.wharf_websocket_types_close_info_future


def ordinary_end():
    return CloseInfo(1000, "")


# Both are derived from the generated classes: otherwise each call would trap.
class WasiHttpHandler(exports.WasiHttpHandler):
    """Requests that are no handshakes."""

    async def handle(self, request):
        trailers, trailers_reader = new_trailers(lambda: Ok(None))
        response, sent = Response.new(Fields(), None, trailers_reader)
        response.set_status_code(426)
        # Closed unwritten, the trailers become those they were made with: none.
        with trailers, sent:
            return response


class WharfWebsocketHandler(exports.WharfWebsocketHandler):
    """Handshakes. Raised as `Err`, an ordinary response, such as 403, would refuse one."""

    async def handle(self, request, incoming, closed):
        outgoing, messages = new_messages()
        closing, closing_reader = new_end(ordinary_end)
        # It goes on after this call has returned, as long as the connection is there.
        spawn(attend(incoming, outgoing, closing))
        return Accepted(None, Fields(), messages, closing_reader)


async def attend(incoming, outgoing, closing):
    """Answers message after message. A write waits for the client to take the one before. Closed unwritten, the end is the ordinary one."""
    with closing, outgoing, incoming:
        while not incoming.writer_dropped and not outgoing.reader_dropped:
            for message in await incoming.read(1):
                if isinstance(message, Message_Text):
                    message = Message_Text(reply(message.value))
                await outgoing.write_all([message])
