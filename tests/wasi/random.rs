//! Random numbers.

use std::collections::HashSet;

use crate::run::{lines, value, values, versions};

#[test]
fn as_many_bytes_come_as_were_asked_for() {
    for name in versions("random-bytes") {
        let lines = lines(&name, &[], &[]);
        let lengths = values(&lines, "length");
        assert_eq!(lengths.len(), 7, "{lines:?}");
        for line in lengths {
            let numbers: Vec<u64> = line
                .split(' ')
                .map(|number| number.parse().expect("a number"))
                .collect();
            let [requested, secure, insecure] = numbers[..] else {
                panic!("three numbers in {line}");
            };
            for got in [secure, insecure] {
                // More than a mebibyte may come in parts; but where something is asked for, something must come.
                let least = if requested > 1 << 20 { 1 } else { requested };
                assert!((least..=requested).contains(&got), "{line}");
            }
        }
    }
}

#[test]
fn no_random_value_comes_twice() {
    let mut seen = HashSet::new();
    for name in versions("random-bytes") {
        for _run in 0..2 {
            let lines = lines(&name, &[], &[]);
            let values = [
                values(&lines, "secure"),
                values(&lines, "insecure"),
                vec![value(&lines, "seed")],
            ]
            .concat();
            assert_eq!(values.len(), 17, "{lines:?}");
            for value in values {
                assert!(seen.insert(value.to_owned()), "{value} came twice");
            }
        }
    }
}
