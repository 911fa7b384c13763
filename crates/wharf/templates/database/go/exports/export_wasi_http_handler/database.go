package export_wasi_http_handler

// Where the notes are: a table behind wharf:sql. Which database that is, wharf.toml says; migrations/ makes the table. Each call borrows
// a connection of the app's pool, which outlives requests. Values are bound, never put into the statement.

import (
	"errors"
	"fmt"

	sql "local/{{name}}/imports/wharf_sql_database"
	types "local/{{name}}/imports/wharf_sql_types"
	"local/{{name}}/notes"
)

func All() ([]notes.Note, error) {
	return query("select id, text from note order by id")
}

// One is a note, or nil where there is none.
func One(id int64) (*notes.Note, error) {
	found, err := query("select id, text from note where id = $1", types.MakeValueInteger(id))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// Add stores a note, which gets its number.
func Add(text string) (*notes.Note, error) {
	stored, err := query("insert into note (text) values ($1) returning id, text", types.MakeValueText(text))
	if err != nil {
		return nil, err
	}
	// A row for each that was inserted.
	return &stored[0], nil
}

// Remove says whether there was such a note.
func Remove(id int64) (bool, error) {
	opened := sql.DatabaseOpen("default")
	if opened.IsErr() {
		return false, failed(opened.Err())
	}
	database := opened.Ok()
	defer database.Drop()
	removed := database.Execute("delete from note where id = $1", []types.Value{types.MakeValueInteger(id)})
	if removed.IsErr() {
		return false, failed(removed.Err())
	}
	return removed.Ok() > 0, nil
}

// query has all rows of a statement. They come no faster than they are read, so a long table could be sent on row by row instead.
func query(statement string, values ...types.Value) ([]notes.Note, error) {
	opened := sql.DatabaseOpen("default")
	if opened.IsErr() {
		return nil, failed(opened.Err())
	}
	database := opened.Ok()
	defer database.Drop()
	result := database.Query(statement, values)
	if result.IsErr() {
		return nil, failed(result.Err())
	}
	rows, ended := result.Ok().F1, result.Ok().F2
	// Not nil, whose JSON is null.
	found := []notes.Note{}
	batch := make([][]types.Value, 64)
	for !rows.WriterDropped() {
		for _, row := range batch[:rows.Read(batch)] {
			found = append(found, notes.Note{ID: row[0].Integer(), Text: row[1].Text()})
		}
	}
	rows.Drop()
	// Rows that merely ended may not have been all of them.
	if end := ended.Read(); end.IsErr() {
		return nil, failed(end.Err())
	}
	return found, nil
}

// failed makes an error of the database's one of Go's.
func failed(err types.Error) error {
	if err.Tag() == types.Error_QueryFailed {
		return errors.New(err.QueryFailed().Message)
	}
	return fmt.Errorf("case %d of error in wharf:sql/types", err.Tag())
}
