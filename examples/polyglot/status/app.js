// The handler as far as JavaScript's toolchain goes: it asks the database in Go what it does, and it streams what it is sent.

import monitor from "example:polyglot/monitor@0.1.0";
import environment from "wasi:cli/environment@0.3.2";
import types from "wasi:http/types@0.3.2";

const { Fields, Request, Response } = types;

export const handler = {
  async handle(request) {
    const path = request.getPathWithQuery() ?? "/";
    return path.startsWith("/status/shout") ? shout(request) : status();
  },
};

/// What the database has counted, and what the app was told about time.
function status() {
  const variables = Object.fromEntries(environment.getEnvironment());
  const text = JSON.stringify({ database: monitor.now(), rowMs: variables.ROW_MS, cacheSeconds: variables.CACHE_SECONDS });
  const { response, body, finish } = respond("application/json");
  // Nobody reads the body before the response is returned.
  body.writeAll(bytes(text + "\n")).then(finish);
  return response;
}

/// The letters a to z of what comes, in capitals, while it comes.
function shout(request) {
  const received = wit.Future(wit.Future.RESULT_VOID_ERROR_CODE);
  const [content] = Request.consumeBody(request, received.readable);
  const { response, body, finish } = respond("text/plain");
  pass(content, body).then(finish);
  received.writable.write({ tag: "ok", val: undefined });
  return response;
}

async function pass(content, body) {
  for await (const piece of content) {
    await body.writeAll(piece.map((byte) => (byte >= 97 && byte <= 122 ? byte - 32 : byte)));
  }
}

function respond(contentType) {
  const body = wit.Stream(wit.Stream.U8);
  const trailers = wit.Future(wit.Future.RESULT_OPTION_OTHER_ERROR_CODE);
  const headers = Fields.fromList([["content-type", bytes(contentType)]]);
  const [response, sent] = Response.new(headers, body.readable, trailers.readable);
  const finish = async () => {
    body.writable.drop();
    await trailers.writable.write({ tag: "ok", val: null });
    sent.drop();
  };
  return { response, body: body.writable, finish };
}

/// UTF-8, which this engine has no TextEncoder for.
function bytes(text) {
  return Uint8Array.from(unescape(encodeURIComponent(text)), (letter) => letter.charCodeAt(0));
}
