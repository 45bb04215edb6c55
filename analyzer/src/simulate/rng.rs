//! Random numbers that are the same on every machine: integers, and floating point limited to
//! operations that IEEE 754 rounds exactly, so no mathematical library has a say.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "drawing numbers is casting; every range is stated where it happens"
)]

/// SplitMix64: small, fast, and any seed is a good one.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// A generator for one purpose of one run, independent of those for other purposes.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        let mut rng = Self(seed ^ purpose.wrapping_mul(0xA076_1D64_78BD_642F));
        Self(rng.next())
    }

    /// 64 random bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly from `low..=high`; `low` if the range is empty.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        if high <= low {
            return low;
        }
        let n = (high - low) as u64 + 1;
        // The product's upper half: bias below 2^-30 for ranges shorter than 17 s in ns.
        low + ((u128::from(self.next()) * u128::from(n)) >> 64) as i64
    }

    /// `mid` give or take `spread`.
    pub(crate) fn around(&mut self, mid: i64, spread: i64) -> i64 {
        self.between(mid - spread, mid + spread)
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    /// A standard normal number: four 16-bit draws summed, so it ends at ±3.46.
    fn normal(&mut self) -> f64 {
        let bits = self.next();
        let sum = (bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF) + (bits >> 48);
        // Mean 2 * 65535, variance 4 * (2^32 - 1) / 12.
        (sum as f64 - 131_070.0) / 37_837.23
    }

    /// Log-normal with the given median: one standard deviation is `octaves` doublings. At least 1.
    pub(crate) fn log_normal(&mut self, median: i64, octaves: f64) -> i64 {
        let v = median as f64 * exp2(octaves * self.normal());
        (v as i64).max(1)
    }
}

/// 2^x for |x| < 60, within 1e-7 of the truth.
fn exp2(x: f64) -> f64 {
    let whole = if x < 0.0 { x as i64 - 1 } else { x as i64 };
    let t = (x - whole as f64) * std::f64::consts::LN_2;
    // Taylor to the eighth power; t < 0.7.
    let mut sum = 1.0;
    for k in (1..=8).rev() {
        sum = 1.0 + t * sum / f64::from(k);
    }
    sum * f64::from_bits(((1023 + whole) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_close() {
        for x in [-20.25, -1.0, -0.001, 0.0, 0.5, 3.0, 17.9] {
            let truth = f64::powf(2.0, x);
            assert!((exp2(x) / truth - 1.0).abs() < 1e-7, "{x}");
        }
    }

    #[test]
    fn draws_keep_to_their_range_and_median() {
        let mut rng = Rng::new(1, 2);
        let mut draws: Vec<i64> = (0..10_001).map(|_| rng.log_normal(70_000, 0.5)).collect();
        draws.sort_unstable();
        assert!((67_000..73_000).contains(&draws[5_000]), "{}", draws[5_000]);
        assert!((0..10_000).all(|_| (-3..=4).contains(&rng.between(-3, 4))));
        assert_eq!(rng.between(5, 4), 5);
    }
}
