//! Sums over columns of durations.

/// The exact sum.
pub(super) fn sum(values: &[i64]) -> i128 {
    const CHUNK: usize = 1 << 20;
    let of_chunk = |chunk: &[i64]| {
        // Where all bits lie below the 43rd, no value is negative and a chunk cannot overflow.
        let bits = chunk.iter().fold(0, |all, v| all | v);
        if (0..1 << 43).contains(&bits) {
            i128::from(chunk.iter().sum::<i64>())
        } else {
            chunk.iter().map(|v| i128::from(*v)).sum()
        }
    };
    values.chunks(CHUNK).map(of_chunk).sum()
}

/// Positions between two kept sums.
const STEP: usize = 64;

/// Running sums of a column, kept for one position in [`STEP`].
#[derive(Debug, Default)]
pub(super) struct Sums(Vec<i64>);

impl Sums {
    pub(super) fn new(values: &[i64]) -> Self {
        let mut total = 0;
        let mut sums = Vec::with_capacity(values.len() / STEP + 1);
        for block in values.chunks(STEP) {
            sums.push(total);
            total += block.iter().sum::<i64>();
        }
        sums.push(total);
        Self(sums)
    }

    /// Sum of the first `n` values of the column that it was made of.
    pub(super) fn first(&self, values: &[i64], n: usize) -> i64 {
        let block = n / STEP;
        self.0[block] + values[block * STEP..n].iter().sum::<i64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact() {
        for values in [
            vec![],
            vec![7, -9],
            vec![i64::MAX; 5],
            vec![(1 << 43) - 1; 3],
            vec![i64::MIN, 1],
        ] {
            let want: i128 = values.iter().map(|v| i128::from(*v)).sum();
            assert_eq!(sum(&values), want, "{values:?}");
        }
        for len in [0, 1, 63, 64, 65, 128, 1000] {
            let values: Vec<i64> = (0..len).map(|i| i * i % 77).collect();
            let sums = Sums::new(&values);
            for n in 0..=values.len() {
                assert_eq!(sums.first(&values, n), values[..n].iter().sum::<i64>());
            }
        }
    }
}
