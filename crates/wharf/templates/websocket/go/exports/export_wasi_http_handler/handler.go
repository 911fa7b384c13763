// Package export_wasi_http_handler answers requests that are no handshakes.
package export_wasi_http_handler

import (
	http "local/{{name}}/imports/wasi_http_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Handle says that this is a service of WebSockets.
func Handle(request *http.Request) wit.Result[*http.Response, http.ErrorCode] {
	// Here and not by the garbage collector, which may come after the task that the request belongs to.
	request.Drop()
	trailers, trailersReader := http.MakeFutureResultOptionFieldsErrorCode()
	response, sent := http.ResponseNew(http.MakeFields(), wit.None[*wit.StreamReader[uint8]](), trailersReader)
	response.SetStatusCode(426)
	// Nobody reads the response before it is returned.
	go func() {
		defer sent.Drop()
		none := wit.None[*http.Fields]()
		trailers.Write(wit.Ok[wit.Option[*http.Fields], http.ErrorCode](none))
	}()
	return wit.Ok[*http.Response, http.ErrorCode](response)
}
