//! Medians, since a mean tells more of the machine's bad moments than of the programs.

/// The middle value; of an even number the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

/// What that part of the values, of which the smallest comes first, is at most.
pub fn part(sorted: &[f64], part: f64) -> f64 {
    let nth = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(nth.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// How far the values lie from their median, as a part of it: the median of the distances.
pub fn spread(values: &[f64]) -> f64 {
    let middle = median(values);
    let distances: Vec<_> = values.iter().map(|value| (value - middle).abs()).collect();
    let distance = median(&distances);
    if distance == 0.0 { 0.0 } else { distance / middle }
}

/// The ratio of two contestants that took turns, and its spread: by rounds, so that what slowed both cancels out.
pub fn ratio(values: &[f64], against: &[f64]) -> (f64, f64) {
    let ratios: Vec<_> = values.iter().zip(against).map(|(a, b)| a / b).collect();
    (median(&ratios), spread(&ratios))
}

/// The median with so many decimals; nothing where there is none.
pub fn shown_alone(values: &[f64], decimals: usize) -> String {
    let middle = median(values);
    if middle.is_finite() {
        format!("{middle:.decimals$}")
    } else {
        String::new()
    }
}

/// The median and the spread.
pub fn shown(values: &[f64], decimals: usize) -> String {
    with_spread(shown_alone(values, decimals), spread(values))
}

/// The ratio and its spread.
pub fn shown_ratio(values: &[f64], against: &[f64]) -> String {
    let (ratio, spread) = ratio(values, against);
    with_spread(shown_alone(&[ratio], 2), spread)
}

fn with_spread(shown: String, spread: f64) -> String {
    if shown.is_empty() {
        shown
    } else {
        format!("{shown} ±{:.1} %", spread * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        assert_eq!(part(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
        assert_eq!(part(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
        assert!(part(&[], 0.5).is_nan());
        assert_eq!(spread(&[1.0, 2.0, 4.0]), 0.5);
        assert_eq!(spread(&[0.0, 0.0]), 0.0);
        assert_eq!(ratio(&[2.0, 4.0, 6.0], &[1.0, 2.0, 2.0]), (2.0, 0.0));
        assert_eq!(shown(&[1.0, 2.0, 4.0], 1), "2.0 ±50.0 %");
        assert_eq!(shown(&[f64::NAN], 1), "");
        assert_eq!(shown_ratio(&[2.0, 4.0], &[1.0, 2.0]), "2.00 ±0.0 %");
    }
}
