//! How large something is, for people.

/// `103.4 KiB`: in the units of manifests.
pub fn size(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    let as_float = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", as_float / KIB),
        _ => format!("{:.1} MiB", as_float / KIB / KIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (103_000, "100.6 KiB"),
            (21_654_321, "20.7 MiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
