//! Figures from many.

/// The middle one of some figures; of two, the lower.
pub fn median(figures: Vec<f64>) -> f64 {
    share(figures, 0.5)
}

/// The least figure that such a share of all figures does not exceed.
pub fn share(mut figures: Vec<f64>, share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    let below = (figures.len() as f64 * share).ceil() as usize;
    figures.get(below.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 1.0);
        assert_eq!(share((1..=200).map(f64::from).collect(), 0.99), 198.0);
    }
}
