// What the service says. It knows nothing of HTTP, so that `npm test` tests it without a server.

/// Greets whom the path names: `/Ada` is `Hello, Ada!`.
export function greeting(path) {
  return `Hello, ${path.replaceAll("/", "") || "world"}!\n`;
}
