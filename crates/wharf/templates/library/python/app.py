"""The library: what other components call, as `wit/` has it.

`wit_world` is made of `wit/` when the component is built. `componentize-py --world library --wit-path wit bindings .wharf/bindings`
writes it where an editor can look at it.
"""

import wit_world
from componentize_py_async_support import spawn
from componentize_py_types import Err
from greeting import Nobody, greeting
from wit_world import exports
from wit_world.imports.monotonic_clock import wait_for

# What it takes to think of a greeting, in nanoseconds. In place of this, await what the library is for: a file, a request, a database.
# Not asyncio.sleep, which is not there in a component.
MOMENT = 10_000_000


# Derived from the generated class: otherwise each call would trap.
class Greeter(exports.Greeter):
    async def greet(self, name):
        await wait_for(MOMENT)
        try:
            return greeting(name)
        except Nobody as error:
            # What is raised as Err becomes the error of the function's result; any other exception would trap.
            raise Err(str(error))

    async def greet_all(self, names):
        greetings, reader = wit_world.string_stream()
        # It goes on after this call has returned: nobody reads a stream before he has it.
        spawn(send_all(greetings, names))
        return reader


async def send_all(greetings, names):
    with greetings:
        for name in names:
            await wait_for(MOMENT)
            try:
                text = greeting(name)
            except Nobody as error:
                text = str(error)
            # The reader has left: no more is wanted.
            if await greetings.write_all([text]) == 0:
                break
