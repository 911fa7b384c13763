// Package export_wharf_websocket_handler is the service: it answers each message of a WebSocket with another.
//
// The host has the protocol: handshakes, frames, pings, sizes, UTF-8, closing. Here come messages, and go messages. The folder and the
// package have the name that the bindings look for. What stands in imports is made of wit/ when the component is built.
package export_wharf_websocket_handler

import (
	http "local/{{name}}/imports/wasi_http_types"
	websocket "local/{{name}}/imports/wharf_websocket_handler"
	types "local/{{name}}/imports/wharf_websocket_types"
	"local/{{name}}/reply"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Handle decides on a handshake. An error would be an ordinary response, such as 403.
func Handle(
	request *http.Request,
	incoming *wit.StreamReader[types.Message],
	closed *wit.FutureReader[types.CloseInfo],
) wit.Result[websocket.Accepted, *http.Response] {
	// Here and not by the garbage collector, which may come after the task that they belong to.
	request.Drop()
	closed.Drop()
	outgoing, messages := websocket.MakeStreamWharfWebsocketTypesMessage()
	closing, closingReader := websocket.MakeFutureWharfWebsocketTypesCloseInfo()
	// It goes on after this call has returned, as long as the connection is there.
	go attend(incoming, outgoing, closing)
	return wit.Ok[websocket.Accepted, *http.Response](websocket.Accepted{
		Subprotocol: wit.None[string](),
		Headers:     http.MakeFields(),
		Outgoing:    messages,
		Close:       closingReader,
	})
}

// attend answers message after message. A write waits for the client to take the one before.
func attend(
	incoming *wit.StreamReader[types.Message],
	outgoing *wit.StreamWriter[types.Message],
	closing *wit.FutureWriter[types.CloseInfo],
) {
	defer incoming.Drop()
	message := make([]types.Message, 1)
	for !incoming.WriterDropped() {
		if incoming.Read(message) == 0 {
			continue
		}
		answer := message[0]
		if answer.Tag() == types.Message_Text {
			answer = types.MakeMessageText(reply.Reply(answer.Text()))
		}
		// The client has left.
		if outgoing.WriteAll([]types.Message{answer}) == 0 {
			break
		}
	}
	outgoing.Drop()
	// 1000 is the ordinary end. Nobody waits for this if the connection is gone.
	closing.Write(types.CloseInfo{Code: 1000})
}
