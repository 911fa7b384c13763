"""What the middleware asks for. It knows nothing of HTTP, so that `python3 -m unittest` tests it without a server."""

# What every response gets.
FIELDS = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}


def is_allowed(path):
    """Whether a request for this path comes through."""
    path = path.split("?")[0]
    return path != "/private" and not path.startswith("/private/")
