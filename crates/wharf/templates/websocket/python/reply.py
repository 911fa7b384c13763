"""What the service says. It knows nothing of WebSockets, so that `python3 -m unittest` tests it without a server."""


def reply(text):
    """Greets whoever says who they are."""
    return f"Hello, {text.strip()}!"
