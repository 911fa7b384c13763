// Answers every request with the same 12 bytes, as tests/guests/http/examples/http-hello.rs does: what the benchmark
// compares across languages. `cargo xtask bench` puts this file among the bindings that it generates from wit/wasi-0.3,
// which make the rest of the module.

package export_wasi_http_handler

import (
	"wit_component/wasi_http_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

type trailers = wit.Result[wit.Option[*wasi_http_types.Fields], wasi_http_types.ErrorCode]

// Handle is what the component exports as wasi:http/handler.
func Handle(request *wasi_http_types.Request) wit.Result[*wasi_http_types.Response, wasi_http_types.ErrorCode] {
	// Here and not by the garbage collector, which may come after the task that the request belongs to.
	request.Drop()
	body, bodyReader := wasi_http_types.MakeStreamU8()
	end, endReader := wasi_http_types.MakeFutureResultOptionFieldsErrorCode()
	headers := []wit.Tuple2[string, []uint8]{{F0: "content-type", F1: []uint8("text/plain")}}
	response, sent := wasi_http_types.ResponseNew(
		wasi_http_types.FieldsFromList(headers).Ok(),
		wit.Some(bodyReader),
		endReader,
	)
	// Nobody reads the body before the response is returned.
	go func() {
		defer sent.Drop()
		body.WriteAll([]uint8("hello, wharf"))
		body.Drop()
		end.Write(wit.Ok[wit.Option[*wasi_http_types.Fields], wasi_http_types.ErrorCode](wit.None[*wasi_http_types.Fields]()))
	}()
	return wit.Ok[*wasi_http_types.Response, wasi_http_types.ErrorCode](response)
}
