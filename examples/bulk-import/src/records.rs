//! Readings from bytes that come in pieces of any size.

use serde::Deserialize;

/// How long one record may be: what is longer is no reading, and would have to be kept.
const RECORD_BYTES_MAX: usize = 64 * 1024;

/// What was read at a station.
#[derive(Debug, PartialEq, Deserialize)]
pub struct Reading {
    pub station: String,
    pub at: String,
    pub celsius: f64,
}

/// How readings are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Format {
    /// `station,at,celsius`, with these names in the first line (RFC 4180).
    Csv,
    /// A JSON object on each line.
    Lines,
}

/// A record that is none, and which it is, from 1.
#[derive(Debug, PartialEq)]
pub struct Wrong {
    pub record: u64,
    pub reason: String,
}

/// Turns pieces into readings.
pub struct Records {
    parser: Parser,
    /// Records that have ended.
    count: u64,
}

enum Parser {
    Csv(Box<Csv>),
    Lines(Vec<u8>),
}

struct Csv {
    reader: csv_core::Reader,
    /// The fields of the record that is being read, one after another.
    fields: Vec<u8>,
    used: usize,
    ends: [usize; FIELDS],
    ended: usize,
    is_header: bool,
}

const FIELDS: usize = 3;
const HEADER: [&str; FIELDS] = ["station", "at", "celsius"];

impl Format {
    /// By its media type.
    pub fn of(content_type: &str) -> Option<Self> {
        match content_type {
            "text/csv" => Some(Self::Csv),
            "application/x-ndjson" | "application/jsonl" => Some(Self::Lines),
            _ => None,
        }
    }
}

impl Records {
    pub fn new(format: Format) -> Self {
        let parser = match format {
            Format::Csv => Parser::Csv(Box::new(Csv {
                reader: csv_core::Reader::new(),
                fields: vec![0; RECORD_BYTES_MAX],
                used: 0,
                ends: [0; FIELDS],
                ended: 0,
                is_header: true,
            })),
            Format::Lines => Parser::Lines(Vec::new()),
        };
        Self { parser, count: 0 }
    }

    /// The readings that end in `piece`. An empty one says that nothing comes after it.
    pub fn read(&mut self, piece: &[u8]) -> Result<Vec<Reading>, Wrong> {
        let mut readings = Vec::new();
        let read = match &mut self.parser {
            Parser::Csv(csv) => csv.read(piece, &mut readings),
            Parser::Lines(rest) => read_lines(rest, piece, &mut readings),
        };
        self.count += readings.len() as u64;
        let count = self.count;
        read.map(|()| readings).map_err(|reason| Wrong {
            record: count + 1,
            reason,
        })
    }
}

impl Csv {
    fn read(&mut self, mut piece: &[u8], readings: &mut Vec<Reading>) -> Result<(), String> {
        use csv_core::ReadRecordResult::{End, InputEmpty, OutputEndsFull, OutputFull, Record};
        loop {
            let (result, taken, written, ended) =
                self.reader
                    .read_record(piece, &mut self.fields[self.used..], &mut self.ends[self.ended..]);
            let is_last = piece.is_empty();
            piece = &piece[taken..];
            self.used += written;
            self.ended += ended;
            match result {
                InputEmpty if is_last => {}
                InputEmpty | End => return Ok(()),
                OutputFull => return Err(format!("a record has {RECORD_BYTES_MAX} bytes at most")),
                OutputEndsFull => return Err(format!("a record has {FIELDS} fields")),
                Record => readings.extend(self.record()?),
            }
        }
    }

    /// The record that has ended; the first one names the fields.
    fn record(&mut self) -> Result<Option<Reading>, String> {
        let ended = std::mem::take(&mut self.ended);
        let used = std::mem::take(&mut self.used);
        if ended != FIELDS {
            return Err(format!("a record has {FIELDS} fields, not {ended}"));
        }
        let text = std::str::from_utf8(&self.fields[..used]).map_err(|_| "it is not UTF-8".to_owned())?;
        let mut begin = 0;
        let fields = self.ends.map(|end| &text[std::mem::replace(&mut begin, end)..end]);
        if std::mem::take(&mut self.is_header) {
            return match fields == HEADER {
                true => Ok(None),
                false => Err(format!("the first line is `{}`", HEADER.join(","))),
            };
        }
        let [station, at, celsius] = fields;
        let celsius = celsius
            .trim()
            .parse()
            .map_err(|_| format!("`{celsius}` is no temperature"))?;
        let (station, at) = (station.to_owned(), at.to_owned());
        Ok(Some(Reading { station, at, celsius }))
    }
}

fn read_lines(rest: &mut Vec<u8>, piece: &[u8], readings: &mut Vec<Reading>) -> Result<(), String> {
    let is_last = piece.is_empty();
    let mut lines = piece.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        if rest.len() + line.len() > RECORD_BYTES_MAX {
            return Err(format!("a line has {RECORD_BYTES_MAX} bytes at most"));
        }
        rest.extend_from_slice(line);
        // What comes after the last line's end goes on in the next piece.
        if lines.peek().is_some() || is_last {
            if !rest.trim_ascii().is_empty() {
                readings.push(serde_json::from_slice(rest).map_err(|error| error.to_string())?);
            }
            rest.clear();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(station: &str, celsius: f64) -> Reading {
        Reading {
            station: station.to_owned(),
            at: "2026-11-23".to_owned(),
            celsius,
        }
    }

    /// The readings of `text`, in pieces of `size` bytes.
    fn read(format: Format, text: &str, size: usize) -> Result<Vec<Reading>, Wrong> {
        let mut records = Records::new(format);
        let mut readings = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            readings.extend(records.read(piece)?);
        }
        readings.extend(records.read(b"")?);
        Ok(readings)
    }

    #[track_caller]
    fn check(format: Format, text: &str, expected: Result<&[Reading], (u64, &str)>) {
        for size in [1, 2, 3, 7, 1000] {
            match (read(format, text, size), &expected) {
                (Ok(readings), Ok(expected)) => assert_eq!(readings, *expected, "{size}"),
                (Err(wrong), Err((record, reason))) => {
                    assert_eq!(wrong.record, *record, "{size}");
                    assert!(wrong.reason.contains(reason), "{}", wrong.reason);
                }
                (read, expected) => panic!("{read:?} is not {expected:?}"),
            }
        }
    }

    #[test]
    fn readings_end_where_they_end_whatever_the_pieces() {
        let both = [reading("Nazaré", 14.5), reading("a, \"b\"", -3.0)];
        let csv = "station,at,celsius\nNazaré,2026-11-23,14.5\r\n\"a, \"\"b\"\"\",2026-11-23, -3\n";
        check(Format::Csv, csv, Ok(&both));
        check(Format::Csv, csv.trim_end(), Ok(&both));
        let lines = "{\"station\":\"Nazaré\",\"at\":\"2026-11-23\",\"celsius\":14.5}\n\n\
                     {\"station\":\"a, \\\"b\\\"\",\"at\":\"2026-11-23\",\"celsius\":-3}";
        check(Format::Lines, lines, Ok(&both));
        check(Format::Lines, &format!("{lines}\r\n"), Ok(&both));
        check(Format::Lines, "", Ok(&[]));
    }

    #[test]
    fn what_is_no_reading_is_named() {
        check(
            Format::Csv,
            "a,b,c\n",
            Err((1, "the first line is `station,at,celsius`")),
        );
        let csv = "station,at,celsius\nx,y,1\n";
        check(Format::Csv, &format!("{csv}x,y\n"), Err((2, "3 fields, not 2")));
        check(
            Format::Csv,
            &format!("{csv}x,y,warm\n"),
            Err((2, "`warm` is no temperature")),
        );
        check(Format::Csv, &format!("{csv}x,y,1,2\n"), Err((2, "3 fields")));
        check(
            Format::Csv,
            &format!("{csv}{}", "x".repeat(RECORD_BYTES_MAX + 1)),
            Err((2, "bytes at most")),
        );
        check(Format::Lines, "{\"station\":\"x\"}\n", Err((1, "missing field")));
        check(
            Format::Lines,
            &"x".repeat(RECORD_BYTES_MAX + 1),
            Err((1, "bytes at most")),
        );
    }
}
