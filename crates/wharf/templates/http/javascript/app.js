// The service: takes requests and answers them. What a module imports from `wasi:...` is what `wit/` says.

import types from "wasi:http/types@0.3.2";

import { greeting } from "./greeting.js";

const { Fields, Response } = types;

export const handler = {
  async handle(request) {
    const path = request.getPathWithQuery() ?? "/";
    return respond("text/plain", greeting(path.split("?")[0]));
  },
};

/// A response whose body is sent while the server reads it.
function respond(contentType, text) {
  const body = wit.Stream(wit.Stream.U8);
  const trailers = wit.Future(wit.Future.RESULT_OPTION_OTHER_ERROR_CODE);
  const headers = Fields.fromList([["content-type", bytes(contentType)]]);
  const [response, sent] = Response.new(headers, body.readable, trailers.readable);
  // Nobody reads the body before the response is returned.
  send(body.writable, trailers.writable, sent, bytes(text));
  return response;
}

async function send(body, trailers, sent, content) {
  await body.writeAll(content);
  body.drop();
  await trailers.write({ tag: "ok", val: null });
  sent.drop();
}

/// UTF-8, which this engine has no TextEncoder for.
function bytes(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (letter) => letter.charCodeAt(0));
}
