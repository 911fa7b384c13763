// The handler as far as JavaScript's toolchain goes: it asks the cache in Rust and the database in Go for ships, the latter for what it
// does as well, and it streams what it is sent.

import lookup from "example:polyglot/lookup@0.1.0";
import monitor from "example:polyglot/monitor@0.1.0";
import texts from "example:polyglot/texts@0.1.0";
import environment from "wasi:cli/environment@0.3.2";
import types from "wasi:http/types@0.3.2";

const { Fields, Request, Response } = types;

export const handler = {
  async handle(request) {
    const path = (request.getPathWithQuery() ?? "/").split("?")[0];
    // Nine digits are within what WIT calls u32.
    const [, berth] = path.match(/^\/status\/ships\/([0-9]{1,9})$/) ?? [];
    if (berth !== undefined) {
      return ship(Number(berth));
    }
    switch (path) {
      case "/status":
        return status();
      case "/status/shout":
        return shout(request);
      default:
        return respondWith(404, "text/plain", "there is nothing at this path");
    }
  },
};

/// One row, from the cache if it is there, where the handler in Python puts rows as well. An error of Go's comes as an exception.
function ship(berth) {
  const key = `ship ${berth}`;
  const known = texts.get(key);
  if (known) {
    return respondWith(200, "application/json", known, [["x-cache", bytes("hit")]]);
  }
  let row;
  try {
    row = lookup.find(berth);
  } catch (error) {
    return respondWith(502, "text/plain", `the database is damaged: ${error.message}`);
  }
  if (!row) {
    return respondWith(404, "text/plain", "no ship is at this berth");
  }
  const text = JSON.stringify(row);
  texts.set(key, text, Number(variables().CACHE_SECONDS ?? 60));
  return respondWith(200, "application/json", text, [["x-cache", bytes("miss")]]);
}

/// What the database has counted, and what the app was told about time.
function status() {
  const { ROW_MS, CACHE_SECONDS } = variables();
  const known = { database: monitor.now(), rowMs: ROW_MS, cacheSeconds: CACHE_SECONDS };
  return respondWith(200, "application/json", JSON.stringify(known));
}

function variables() {
  return Object.fromEntries(environment.getEnvironment());
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

function respondWith(status, contentType, text, fields = []) {
  const { response, body, finish } = respond(contentType, fields);
  response.setStatusCode(status);
  // Nobody reads the body before the response is returned.
  body.writeAll(bytes(text + "\n")).then(finish);
  return response;
}

function respond(contentType, fields = []) {
  const body = wit.Stream(wit.Stream.U8);
  const trailers = wit.Future(wit.Future.RESULT_OPTION_OTHER_ERROR_CODE);
  const headers = Fields.fromList([["content-type", bytes(contentType)], ...fields]);
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
