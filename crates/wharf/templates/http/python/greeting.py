"""What the service says. It knows nothing of HTTP, so that `python3 -m unittest` tests it without a server."""


def greeting(path):
    """Greets whom the path names: `/Ada` is `Hello, Ada!`."""
    return f"Hello, {path.strip('/') or 'world'}!\n"
