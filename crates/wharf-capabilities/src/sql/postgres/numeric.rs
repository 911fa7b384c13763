//! `numeric` in the form that PostgreSQL sends it: digits of base 10,000.

/// The text of a number. `None` where these are not the bytes of one.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    let count = usize::from(words.next()?);
    let weight = words.next()?.cast_signed();
    let sign = words.next()?;
    let scale = usize::from(words.next()?);
    let digits: Vec<u16> = words.collect();
    if digits.len() != count || digits.iter().any(|digit| *digit >= 10_000) {
        return None;
    }
    let sign = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    // A digit's place: 0 is the one before the point.
    let digit = |place: i32| {
        let nth = usize::try_from(i32::from(weight) - place).ok();
        nth.and_then(|nth| digits.get(nth)).copied().unwrap_or(0)
    };
    let mut whole: String = (0..=i32::from(weight).max(0))
        .rev()
        .map(|place| format!("{:04}", digit(place)))
        .collect();
    let zeros = whole.len() - whole.trim_start_matches('0').len();
    whole.drain(..zeros.min(whole.len() - 1));
    if scale == 0 {
        return Some(format!("{sign}{whole}"));
    }
    let places = i32::try_from(scale.div_ceil(4)).ok()?;
    let fraction: String = (1..=places).map(|place| format!("{:04}", digit(-place))).collect();
    Some(format!("{sign}{whole}.{}", &fraction[..scale]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_text() {
        let cases: [(&[u16], &str); 8] = [
            (&[0, 0, 0, 0], "0"),
            (&[1, 0, 0, 0, 7], "7"),
            (&[2, 1, 0x4000, 0, 1, 0], "-10000"),
            (&[1, 2, 0, 0, 3], "300000000"),
            (&[2, 0, 0x4000, 2, 12, 5000], "-12.50"),
            (&[1, -1i16 as u16, 0, 3, 10], "0.001"),
            (&[1, -2i16 as u16, 0, 8, 1], "0.00000001"),
            (&[0, 0, 0xc000, 0], "NaN"),
        ];
        for (words, expected) in cases {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            assert_eq!(text(&bytes).as_deref(), Some(expected), "{words:?}");
        }
        assert_eq!(text(&[0, 1, 0, 0]), None);
        assert_eq!(text(&[0, 1, 0, 0, 0, 0, 0, 0, 255, 255]), None);
    }
}
