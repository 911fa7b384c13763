"""What the library says. It knows nothing of components, so that `python3 -m unittest` tests it without a host."""


class Nobody(Exception):
    """An empty name."""


def greeting(name):
    """Greets somebody, or says why not."""
    if not name.strip():
        raise Nobody("there is nobody to greet")
    return f"Hello, {name.strip()}!"
