"""The HTTP handler: asks the cache in Rust, and the database in Go.

`wit_world` is made of `../wit` when the component is built.
"""

import asyncio
import json
from dataclasses import asdict

import respond
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import cache, database, environment


# Derived from the generated class: otherwise each call would trap.
class Handler(exports.Handler):
    async def handle(self, request):
        path = (request.get_path_with_query() or "/").split("?")[0]
        match path.strip("/").split("/"):
            case ["ships"]:
                return respond.with_lines(map_ships(await database.ships()))
            case ["ships", berth] if is_berth(berth):
                return await ship(int(berth))
            case ["both", one, other] if is_berth(one) and is_berth(other):
                return await both(int(one), int(other))
            case _:
                return respond.with_text(404, "there is nothing at this path")


def is_berth(text):
    """Whether a text is a number as the database takes it: a larger one than WIT's u32 would trap on its way there."""
    return text.isdecimal() and int(text) <= 0xFFFF_FFFF


async def ship(berth):
    """One row, from the cache if it is there. A failure of the database comes as an exception."""
    key = f"ship {berth}"
    if (known := await cache.get(key)) is not None:
        return respond.with_json(known, [("x-cache", "hit")])
    try:
        row = json.dumps(asdict(await database.find(berth)))
    except Err as error:
        return failed(error.value)
    await cache.set(key, row, cache_seconds())
    return respond.with_json(row, [("x-cache", "miss")])


async def both(one, other):
    """Two rows, asked for at once."""
    # Both are waited for, whatever comes of one: a call that is still under way once the response is returned would trap.
    rows = await asyncio.gather(database.find(one), database.find(other), return_exceptions=True)
    for row in rows:
        if isinstance(row, Err):
            return failed(row.value)
        if isinstance(row, BaseException):
            raise row
    return respond.with_json(json.dumps([asdict(row) for row in rows]))


async def map_ships(ships):
    """Each row as a line of JSON, when it comes."""
    with ships:
        while not ships.writer_dropped:
            for row in await ships.read(1):
                yield json.dumps(asdict(row))


def failed(failure):
    match failure:
        case database.Failure_NotFound():
            return respond.with_text(404, "no ship is at this berth")
        case database.Failure_Damaged(why):
            return respond.with_text(502, f"the database is damaged: {why}")
        case database.Failure_Unavailable(why):
            return respond.with_text(502, f"the database failed: {why}")


def cache_seconds():
    # Not os.environ, which is as it was when the component was built.
    return int(dict(environment.get_environment()).get("CACHE_SECONDS", "60"))
