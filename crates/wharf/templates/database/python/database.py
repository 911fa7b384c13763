"""Where the notes are: a table behind `wharf:sql`. Which database that is, `wharf.toml` says; `migrations/` makes the table.

Each call borrows a connection of the app's pool, which outlives requests. Values are bound, never put into the statement. What goes
wrong is raised as `Err`.
"""

from componentize_py_types import Err
from wit_world.imports.database import Database
from wit_world.imports.wharf_sql_types import Value_Integer, Value_Text


async def notes():
    return await query("select id, text from note order by id")


async def note(id):
    """A note, or None."""
    return next(iter(await query("select id, text from note where id = $1", Value_Integer(id))), None)


async def add(text):
    """Stores a note, which gets its number."""
    return (await query("insert into note (text) values ($1) returning id, text", Value_Text(text)))[0]


async def remove(id):
    """Whether there was such a note."""
    with Database.open("default") as database:
        return await database.execute("delete from note where id = $1", [Value_Integer(id)]) > 0


async def query(statement, *values):
    """All rows of a statement. They come no faster than they are read, so a long table could be sent on row by row instead."""
    found = []
    with Database.open("default") as database:
        _, rows, ended = await database.query(statement, list(values))
        with rows, ended:
            while not rows.writer_dropped:
                found += [{"id": id.value, "text": text.value} for id, text in await rows.read(64)]
            # Rows that merely ended may not have been all of them.
            end = await ended.read()
    if isinstance(end, Err):
        raise end
    return found
