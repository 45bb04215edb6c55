//! Which events of a lane pass some tests: 64 at a time, one bit for each.

use std::sync::Arc;

/// Events that are tested together.
pub(super) const BLOCK: usize = 64;

/// What an event must pass.
pub(super) enum Test<'e> {
    /// A value of a column lies in a range. `most` holds the largest of each block, where known.
    Within {
        values: &'e [i64],
        range: (i64, i64),
        most: Option<Arc<[i64]>>,
    },
    /// The same with a narrower column.
    CountWithin { values: &'e [u32], range: (i64, i64) },
    /// Its flags under a mask are those wanted, or are not.
    Flags {
        flags: &'e [u8],
        mask: u8,
        want: u8,
        equal: bool,
    },
    /// Anything else.
    Other(Box<dyn Fn(usize) -> bool + 'e>),
}

/// The largest value of each block.
pub(super) fn largest(values: &[i64]) -> Arc<[i64]> {
    let most = |block: &[i64]| block.iter().copied().max().unwrap_or(i64::MIN);
    values.chunks(BLOCK).map(most).collect()
}

impl Test<'_> {
    fn one(&self, i: usize) -> bool {
        let inside = |v: i64, (lo, hi): (i64, i64)| lo <= v && v <= hi;
        match self {
            Self::Within { values, range, .. } => inside(values[i], *range),
            Self::CountWithin { values, range } => inside(values[i].into(), *range),
            Self::Flags {
                flags,
                mask,
                want,
                equal,
            } => (flags[i] & mask == *want) == *equal,
            Self::Other(test) => test(i),
        }
    }

    /// Which of the events in `left` pass; `left` has a bit for each event of the block at `from`.
    fn block(&self, from: usize, len: usize, left: u64) -> u64 {
        let to = from + len;
        match self {
            Self::Within {
                range: (lo, hi),
                values,
                most,
            } => {
                if most.as_ref().is_some_and(|m| m[from / BLOCK] < *lo) {
                    return 0;
                }
                left & bits(values[from..to].iter().map(|v| lo <= v && v <= hi))
            }
            Self::CountWithin {
                values,
                range: (lo, hi),
            } => {
                let passes = |v: i64| *lo <= v && v <= *hi;
                left & bits(values[from..to].iter().map(|v| passes(i64::from(*v))))
            }
            Self::Flags {
                flags,
                mask,
                want,
                equal,
            } => {
                let flags = &flags[from..to];
                if flags.iter().fold(0, |all, f| all | f) & mask == 0 {
                    return if (*want == 0) == *equal { left } else { 0 };
                }
                left & bits(flags.iter().map(|f| (f & mask == *want) == *equal))
            }
            Self::Other(test) => {
                let (mut rest, mut passed) = (left, 0);
                while rest != 0 {
                    let bit = rest.trailing_zeros();
                    passed |= u64::from(test(from + bit as usize)) << bit;
                    rest &= rest - 1;
                }
                passed
            }
        }
    }
}

fn bits(passed: impl Iterator<Item = bool>) -> u64 {
    passed.enumerate().fold(0, |all, (k, p)| all | u64::from(p) << k)
}

/// Positions below `n` that pass all tests, ascending; `None` is all of them.
pub(super) fn sift(n: usize, from: Option<Arc<[u32]>>, tests: &[Test<'_>]) -> Option<Arc<[u32]>> {
    if tests.is_empty() {
        return from;
    }
    if let Some(from) = from {
        let passes = |i: &u32| tests.iter().all(|t| t.one(*i as usize));
        return Some(from.iter().copied().filter(passes).collect());
    }
    let mut out: Vec<u32> = Vec::new();
    // Nothing is written down while everything passes.
    let mut all = true;
    for at in (0..n).step_by(BLOCK) {
        let len = BLOCK.min(n - at);
        let every = u64::MAX >> (BLOCK - len);
        let mut left = every;
        for test in tests {
            left = test.block(at, len, left);
            if left == 0 {
                break;
            }
        }
        if left == every && all {
            continue;
        }
        if std::mem::replace(&mut all, false) {
            out.extend(positions(0, at));
        }
        if left == every {
            out.extend(positions(at, at + len));
        }
        while left != 0 && left != every {
            out.extend(positions(at + left.trailing_zeros() as usize, n).next());
            left &= left - 1;
        }
    }
    (!all).then(|| out.into())
}

/// All positions below `n`.
pub(super) fn every(n: usize) -> Arc<[u32]> {
    positions(0, n).collect()
}

fn positions(from: usize, to: usize) -> impl Iterator<Item = u32> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a lane has fewer than 2^32 events: rows are u32"
    )]
    (from..to).map(|i| i as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_give_what_single_events_give() {
        let mut state = 5u64;
        let mut draw = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        for round in 0..300 {
            let n = usize::try_from(draw(300)).unwrap();
            // Mostly short ones, so that whole blocks pass or fail.
            let durs: Vec<i64> = (0..n)
                .map(|_| [1, 1000][usize::from(draw(50) == 0)] + draw(9).cast_signed())
                .collect();
            let flags: Vec<u8> = (0..n)
                .map(|_| [0, 1, 5][usize::try_from(draw(90)).unwrap().saturating_sub(87)])
                .collect();
            let counts: Vec<u32> = (0..n).map(|_| u32::try_from(draw(4)).unwrap()).collect();
            let range = (draw(1010).cast_signed(), 900 + draw(200).cast_signed());
            let range = if round % 5 == 0 { (i64::MIN, i64::MAX) } else { range };
            let most = (round % 2 == 0).then(|| largest(&durs));
            let modulus = usize::try_from(1 + draw(3)).unwrap();
            let mut tests = vec![
                Test::Within {
                    values: &durs,
                    range,
                    most,
                },
                Test::Flags {
                    flags: &flags,
                    mask: [1, 5][round % 2],
                    want: [1, 0][round % 3 / 2],
                    equal: round % 7 == 0,
                },
                Test::CountWithin {
                    values: &counts,
                    range: (0, 2 + i64::from(round % 3 == 0)),
                },
                Test::Other(Box::new(move |i| i % modulus == 0)),
            ];
            tests.rotate_left(usize::try_from(draw(4)).unwrap());
            tests.truncate(usize::try_from(draw(5)).unwrap());
            let want: Vec<u32> = positions(0, n)
                .filter(|i| tests.iter().all(|t| t.one(*i as usize)))
                .collect();
            let got = sift(n, None, &tests);
            assert_eq!(got.is_none(), want.len() == n);
            assert_eq!(got.map_or_else(|| want.clone(), |g| g.to_vec()), want);
            let some: Arc<[u32]> = positions(0, n).filter(|_| draw(2) == 0).collect();
            let want: Vec<u32> = some.iter().copied().filter(|i| want.contains(i)).collect();
            let got = sift(n, Some(some), &tests).map(|g| g.to_vec());
            assert_eq!(got, Some(want));
        }
    }
}
