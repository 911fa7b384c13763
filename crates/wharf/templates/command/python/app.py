"""Counts the lines, words and bytes of what it reads.

`wit_world` is made of `wit/` when the component is built. `componentize-py --world command --wit-path wit bindings .wharf/bindings`
writes it where an editor can look at it.
"""

import sys

from componentize_py_types import Err
from count import count
from wit_world import exports


# Derived from the generated class: otherwise the call would trap.
class Run(exports.Run):
    async def run(self):
        try:
            counted = count(sys.stdin.buffer)
        except OSError as error:
            print(f"cannot read: {error}", file=sys.stderr)
            # The exit status 1.
            raise Err(None)
        print(f"{counted.lines} lines, {counted.words} words, {counted.bytes} bytes")
