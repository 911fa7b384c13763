//! Streams and futures from one component to another, for every type of payload.
//!
//! Written as text components from one template and a table, because only what is copied differs. The producer writes
//! three elements (a future: one); the consumer asks twice for two and notes what it got.

use crate::wast::run;

/// A number the consumer finds in its memory: offset from where it let the elements be written.
#[derive(Clone, Copy)]
enum Seen {
    Byte(u32),
    Half(u32),
    Word(u32),
    /// The four bytes behind the pointer at this offset: the text of a string, the elements of a list.
    Behind(u32),
}
use Seen::{Behind, Byte, Half, Word};

struct Payload {
    name: &'static str,
    wit: &'static str,
    /// Bytes of one element in memory.
    size: u32,
    /// Three elements as they lie in the producer's memory, as text-format data. Pointers lead to `TEXT`.
    elements: &'static str,
    /// What the consumer finds, and how many of these belong to the first element.
    seen: &'static [(Seen, u32)],
    first: usize,
}

/// What strings and lists point to, at address 0x600 of the producer.
const TEXT: &str = "onetwo..sixteen!";

const PAYLOADS: &[Payload] = &[
    numbers("u8", 1, r"\01\02\ff", &[(Byte(0), 1), (Byte(1), 2), (Byte(2), 0xff)]),
    numbers("s8", 1, r"\01\02\80", &[(Byte(0), 1), (Byte(1), 2), (Byte(2), 0x80)]),
    numbers(
        "u16",
        2,
        r"\01\00\02\00\ff\ff",
        &[(Half(0), 1), (Half(2), 2), (Half(4), 0xffff)],
    ),
    numbers(
        "s16",
        2,
        r"\01\00\02\00\00\80",
        &[(Half(0), 1), (Half(2), 2), (Half(4), 0x8000)],
    ),
    numbers(
        "u32",
        4,
        r"\01\00\00\00\02\00\00\00\ff\ff\ff\ff",
        &[(Word(0), 1), (Word(4), 2), (Word(8), 0xffff_ffff)],
    ),
    numbers(
        "s32",
        4,
        r"\01\00\00\00\02\00\00\00\00\00\00\80",
        &[(Word(0), 1), (Word(4), 2), (Word(8), 0x8000_0000)],
    ),
    numbers(
        "u64",
        8,
        r"\01\00\00\00\00\00\00\00\02\00\00\00\00\00\00\00\10\32\54\76\98\ba\dc\fe",
        &[
            (Word(0), 1),
            (Word(8), 2),
            (Word(16), 0x7654_3210),
            (Word(20), 0xfedc_ba98),
        ],
    ),
    numbers(
        "s64",
        8,
        r"\01\00\00\00\00\00\00\00\02\00\00\00\00\00\00\00\fe\ff\ff\ff\ff\ff\ff\ff",
        &[
            (Word(0), 1),
            (Word(8), 2),
            (Word(16), 0xffff_fffe),
            (Word(20), 0xffff_ffff),
        ],
    ),
    // 0.5, -0.0, infinity: bits arrive as they were.
    numbers(
        "f32",
        4,
        r"\00\00\00\3f\00\00\00\80\00\00\80\7f",
        &[(Word(0), 0x3f00_0000), (Word(4), 0x8000_0000), (Word(8), 0x7f80_0000)],
    ),
    numbers(
        "f64",
        8,
        r"\00\00\00\00\00\00\e0\3f\00\00\00\00\00\00\00\80\00\00\00\00\00\00\f0\7f",
        &[(Word(4), 0x3fe0_0000), (Word(12), 0x8000_0000), (Word(20), 0x7ff0_0000)],
    ),
    // Any byte but 0 is true, and arrives as 1.
    numbers("bool", 1, r"\07\00\01", &[(Byte(0), 1), (Byte(1), 0), (Byte(2), 1)]),
    // "onet", "two..", nothing.
    Payload {
        name: "string",
        wit: "string",
        size: 8,
        elements: r"\00\06\00\00\04\00\00\00\03\06\00\00\05\00\00\00\00\06\00\00\00\00\00\00",
        seen: &[
            (Word(4), 4),
            (Behind(0), 0x7465_6e6f),
            (Word(12), 5),
            (Behind(8), 0x2e6f_7774),
            (Word(20), 0),
        ],
        first: 2,
    },
    Payload {
        name: "list",
        wit: "(list u16)",
        size: 8,
        elements: r"\00\06\00\00\02\00\00\00\00\06\00\00\00\00\00\00\08\06\00\00\04\00\00\00",
        seen: &[
            (Word(4), 2),
            (Behind(0), 0x7465_6e6f),
            (Word(12), 0),
            (Word(20), 4),
            (Behind(16), 0x7478_6973),
        ],
        first: 2,
    },
    Payload {
        name: "tuple",
        wit: "(tuple u8 string u32)",
        size: 16,
        elements: concat!(
            r"\07\00\00\00\00\06\00\00\04\00\00\00\0b\00\00\00",
            r"\08\00\00\00\00\00\00\00\00\00\00\00\0c\00\00\00",
            r"\09\00\00\00\08\06\00\00\08\00\00\00\0d\00\00\00",
        ),
        seen: &[
            (Byte(0), 7),
            (Word(8), 4),
            (Behind(4), 0x7465_6e6f),
            (Word(12), 11),
            (Byte(16), 8),
            (Word(24), 0),
            (Word(28), 12),
            (Byte(32), 9),
            (Word(40), 8),
            (Behind(36), 0x7478_6973),
            (Word(44), 13),
        ],
        first: 4,
    },
    Payload {
        name: "option",
        wit: "(option u32)",
        size: 8,
        elements: r"\01\00\00\00\05\00\00\00\00\00\00\00\4d\00\00\00\01\00\00\00\06\00\00\00",
        seen: &[(Byte(0), 1), (Word(4), 5), (Byte(8), 0), (Byte(16), 1), (Word(20), 6)],
        first: 2,
    },
    Payload {
        name: "result",
        wit: "(result u32 (error string))",
        size: 12,
        elements: concat!(
            r"\01\00\00\00\00\06\00\00\04\00\00\00",
            r"\00\00\00\00\05\00\00\00\00\00\00\00",
            r"\00\00\00\00\06\00\00\00\00\00\00\00",
        ),
        seen: &[
            (Byte(0), 1),
            (Word(8), 4),
            (Behind(4), 0x7465_6e6f),
            (Byte(12), 0),
            (Word(16), 5),
            (Byte(24), 0),
            (Word(28), 6),
        ],
        first: 3,
    },
];

/// A payload without a structure of its own: each element is one number, only 64-bit ones show as two.
const fn numbers(name: &'static str, size: u32, elements: &'static str, seen: &'static [(Seen, u32)]) -> Payload {
    Payload {
        name,
        wit: name,
        size,
        elements,
        seen,
        first: 1,
    }
}

#[test]
fn streams_carry_every_type() {
    for payload in PAYLOADS {
        let reads = format!(
            "(call $note (call $read (local.get $reader) (i32.const 0x200) (i32.const 2)))
             (call $note (call $read (local.get $reader) (i32.const {}) (i32.const 2)))",
            0x200 + 2 * payload.size,
        );
        // 2 copied, 1 copied; the elements; the writer is told 3; then the other end is gone.
        let mut expected = vec![0x20, 0x10];
        expected.extend(payload.seen.iter().map(|(_, value)| *value));
        expected.extend([0x30, 1]);
        let last = "(call $note (call $read (local.get $reader) (i32.const 0x200) (i32.const 2)))";
        check("stream", payload, payload.seen, &reads, last, &expected);
    }
}

#[test]
fn futures_carry_every_type() {
    for payload in PAYLOADS {
        let reads = "(call $note (call $read (local.get $reader) (i32.const 0x200)))";
        let seen = &payload.seen[..payload.first];
        // Completed; the element; the writer is told that it completed.
        let mut expected = vec![0];
        expected.extend(seen.iter().map(|(_, value)| *value));
        expected.push(0);
        check("future", payload, seen, reads, "", &expected);
    }
}

fn check(kind: &str, payload: &Payload, seen: &[(Seen, u32)], reads: &str, last: &str, expected: &[u32]) {
    let is_stream = kind == "stream";
    let loads: String = seen
        .iter()
        .map(|(seen, _)| format!("(call $note {})\n", load(*seen)))
        .collect();
    let expected: String = expected.iter().map(|value| format!(" (u32.const {value})")).collect();
    let script = include_str!("payloads.wast")
        .replace("KIND", kind)
        .replace("PAYLOAD", payload.wit)
        .replace("ELEMENTS", payload.elements)
        .replace("TEXT", TEXT)
        .replace("COUNT_TYPE", if is_stream { "(param i32)" } else { "" })
        .replace("COUNT", if is_stream { "(i32.const 3)" } else { "" })
        .replace("WRITE_EVENT", if is_stream { "3" } else { "5" })
        .replace(";;READS", reads)
        .replace(";;LOADS", &loads)
        .replace(";;LAST", last)
        .replace(";;EXPECTED", &expected);
    run(&format!("{kind} of {}", payload.name), &script);
}

fn load(seen: Seen) -> String {
    let (instruction, offset) = match seen {
        Byte(offset) => ("i32.load8_u", offset),
        Half(offset) => ("i32.load16_u", offset),
        Word(offset) => ("i32.load", offset),
        Behind(offset) => return format!("(i32.load (i32.load (i32.const {})))", 0x200 + offset),
    };
    format!("({instruction} (i32.const {}))", 0x200 + offset)
}
