//! Who may be ranked, and the ranks.
//!
//! Throughput, deduplication and resync all hang on the size of chunks, whoever cuts them: rows of different mean size say
//! nothing about the chunkers.

/// How much the largest mean of ranked rows may be above the smallest.
pub const MEANS_DIFFER_MOST: f64 = 0.05;

/// Which rows may be ranked together: the most whose means lie within [`MEANS_DIFFER_MOST`], of several such sets the one
/// with the first row. Nobody when there is nobody to be held against.
pub fn comparable(means: &[f64]) -> Vec<bool> {
    let set = |from: f64| -> Vec<bool> {
        means.iter().map(|mean| *mean >= from && *mean <= from * (1.0 + MEANS_DIFFER_MOST)).collect()
    };
    let size = |set: &Vec<bool>| set.iter().filter(|is| **is).count();
    let best = means.iter().map(|mean| set(*mean)).max_by_key(|set| (size(set), set[0]));
    best.filter(|set| size(set) > 1).unwrap_or_else(|| vec![false; means.len()])
}

/// A value and its interval; more is better.
pub type Value = (f64, f64, f64);

/// Ranks from 1 on. Who cannot be told from the first of a rank, as their intervals meet, shares it.
pub fn ranks(values: &[Value]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].1.total_cmp(&values[*a].1));
    let mut ranks = vec![0; values.len()];
    let mut first: Option<(usize, f64)> = None;
    for (place, at) in order.into_iter().enumerate() {
        let (low, _, high) = values[at];
        let (rank, _) = *match &mut first {
            Some(shared) if high >= shared.1 => shared,
            other => other.insert((place + 1, low)),
        };
        ranks[at] = rank;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_different_mean_size_are_not_ranked_together() {
        assert_eq!(comparable(&[100.0, 104.9, 106.0]), [true, true, false]);
        assert_eq!(comparable(&[100.0, 105.1]), [false, false]);
        assert_eq!(comparable(&[100.0, 105.0]), [true, true]);
        // The most rows that agree, even without the first.
        assert_eq!(comparable(&[100.0, 200.0, 201.0, 202.0, 104.0]), [false, true, true, true, false]);
        // Two on one side and two on the other: that of the first.
        assert_eq!(comparable(&[100.0, 96.0, 104.0]), [true, true, false]);
        assert_eq!(comparable(&[104.0, 100.0, 300.0, 301.0]), [true, true, false, false]);
        assert_eq!(comparable(&[300.0, 100.0, 101.0, 301.0]), [true, false, false, true]);
        assert_eq!(comparable(&[100.0]), [false]);
        assert_eq!(comparable(&[]), [false; 0]);
    }

    #[test]
    fn who_cannot_be_told_apart_shares_a_rank() {
        let exact = |v: f64| (v, v, v);
        assert_eq!(ranks(&[exact(2.0), exact(3.0), exact(1.0), exact(3.0)]), [3, 1, 4, 1]);
        assert_eq!(ranks(&[(9.0, 10.0, 11.0), (8.0, 9.5, 9.9), (7.0, 8.0, 8.9), (1.0, 1.1, 7.0)]), [1, 1, 3, 3]);
        assert_eq!(ranks(&[]), [0; 0]);
    }
}
