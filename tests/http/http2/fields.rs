//! Fields as blocks of bytes (RFC 7541 section 6): any block can be written, and of a response's the status can be read.

/// A field as a literal that enters no table, its strings as they are (section 6.2.2).
pub fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[0][..], &string(name), &string(value)].concat()
}

/// The same, entered into the dynamic table (section 6.2.1).
pub fn entered(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[0x40][..], &string(name), &string(value)].concat()
}

/// The same, never to be entered by anybody (section 6.2.3).
pub fn secret(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[0x10][..], &string(name), &string(value)].concat()
}

/// A field of a table (section 6.1).
pub fn indexed(index: usize) -> Vec<u8> {
    number(index, 7, 0x80)
}

/// A literal whose name is that of a table's field.
pub fn named(index: usize, value: impl AsRef<[u8]>) -> Vec<u8> {
    [number(index, 4, 0), string(value)].concat()
}

/// A change of the dynamic table's size (section 6.3).
pub fn table_size(bytes: usize) -> Vec<u8> {
    number(bytes, 5, 0x20)
}

/// A string as it is (section 5.2).
pub fn string(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&number(text.len(), 7, 0)[..], text].concat()
}

/// A string whose bytes are a Huffman code.
pub fn coded(code: impl AsRef<[u8]>) -> Vec<u8> {
    let code = code.as_ref();
    [&number(code.len(), 7, 0x80)[..], code].concat()
}

/// A number in the rest of a byte that begins with `pattern`, and in what follows (section 5.1).
pub fn number(number: usize, bits: u8, pattern: u8) -> Vec<u8> {
    let most = (1_usize << bits) - 1;
    if number < most {
        return vec![pattern | low_byte(number)];
    }
    let mut bytes = vec![pattern | low_byte(most)];
    let mut rest = number - most;
    while rest >= 128 {
        bytes.push(low_byte(rest % 128) | 128);
        rest /= 128;
    }
    bytes.push(low_byte(rest));
    bytes
}

fn low_byte(number: usize) -> u8 {
    u8::try_from(number & 0xff).expect("it is one byte")
}

/// `:method: GET`, `:method: POST`, `:path: /` and `:scheme: http` of the static table (appendix A).
pub const GET: u8 = 0x82;
pub const POST: u8 = 0x83;
pub const ROOT: u8 = 0x84;
pub const HTTP: u8 = 0x86;

/// A block of pseudo-fields and fields.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A GET of a path.
pub fn get(path: &str) -> Vec<u8> {
    [&[GET, HTTP][..], &field(":path", path), &field(":authority", "a.test")].concat()
}

/// A POST to a path.
pub fn post(path: &str) -> Vec<u8> {
    [&[POST, HTTP][..], &field(":path", path), &field(":authority", "a.test")].concat()
}

/// The handshake of a WebSocket (RFC 8441 section 4).
pub fn websocket(path: &str) -> Vec<u8> {
    block(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "a.test"),
        ("sec-websocket-version", "13"),
    ])
}

/// A GET with more fields.
pub fn get_with(fields: &[(&str, &str)]) -> Vec<u8> {
    [get("/"), block(fields)].concat()
}

/// A POST with more fields.
pub fn post_with(fields: &[(&str, &str)]) -> Vec<u8> {
    [post("/"), block(fields)].concat()
}

/// The status of a response's head, written without a dynamic table. Trailers have none.
pub fn status(block: &[u8]) -> Option<u16> {
    let mut block = block;
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        block = rest;
    }
    match block {
        [indexed @ 0x88..=0x8e, ..] => Some([200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)]),
        // A literal, entered or not, whose name is that of an indexed field.
        [0x08..=0x0e | 0x48..=0x4e, length, rest @ ..] => {
            let value = rest.get(..usize::from(length & 0x7f))?;
            match length & 0x80 {
                0 => std::str::from_utf8(value).ok()?.parse().ok(),
                _ => Some(digits(value)),
            }
        }
        _ => None,
    }
}

/// Three digits of the Huffman code (appendix B): those up to two have five bits, the others six.
fn digits(code: &[u8]) -> u16 {
    let bits: Vec<u16> = code
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |nth| u16::from(byte >> nth & 1)))
        .collect();
    let value = |bits: &[u16]| bits.iter().fold(0, |value, bit| value * 2 + bit);
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let five = bits.get(at..at + 5).map_or(0, value);
        let (digit, length) = match five {
            0..=2 => (five, 5),
            _ => (bits.get(at..at + 6).map_or(0, value).saturating_sub(0x16), 6),
        };
        number = number * 10 + digit;
        at += length;
    }
    number
}

#[test]
fn statuses_are_read() {
    for (block, expected) in [
        (&[0x88][..], Some(200)),
        (&[0x20, 0x8d], Some(404)),
        (b"\x48\x03431", Some(431)),
        // From the examples of RFC 7541, appendix C.6: `302` and `307`.
        (&[0x48, 0x82, 0x64, 0x02], Some(302)),
        (&[0x48, 0x83, 0x64, 0x0e, 0xff], Some(307)),
        (&[0x61, 0x00], None),
    ] {
        assert_eq!(status(block), expected, "{block:x?}");
    }
}

#[test]
fn numbers_are_those_of_the_examples() {
    assert_eq!(number(10, 5, 0), [10]);
    assert_eq!(number(1337, 5, 0), [31, 154, 10]);
    assert_eq!(number(42, 8, 0), [42]);
}
