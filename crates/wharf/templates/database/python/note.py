"""What a note is. It knows nothing of HTTP and databases, so that `python3 -m unittest` tests it without either."""


class NoNote(Exception):
    """What a client sent is no note, and why."""


def text_of(sent):
    """The text of a note in what a client sent."""
    try:
        text = sent.decode().strip()
    except UnicodeDecodeError:
        raise NoNote("a note is text in UTF-8")
    if not text:
        raise NoNote("a note has a text")
    if "\n" in text:
        raise NoNote("a note is one line")
    return text
