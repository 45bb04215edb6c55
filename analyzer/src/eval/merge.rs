//! Visiting events of several lanes in the order of time.

/// Events that are put in order at once: their keys stay in the nearest cache.
const SLICE: usize = 2048;

/// Calls `visit(lane, position)` for every event of sorted lanes, by (start, lane, position).
///
/// Time is cut into slices of some thousand events, and only those are sorted, by one number each:
/// the time within the slice, and the lane behind it. That moves far less memory than a merge of
/// whole lanes, and a slice is sorted in little more than two passes, for its events lie about evenly.
pub(super) fn in_order(lanes: &[&[i64]], mut visit: impl FnMut(usize, usize)) {
    if let [only] = lanes {
        return (0..only.len()).for_each(|i| visit(0, i));
    }
    let bits = usize::BITS - lanes.len().leading_zeros();
    let most = u64::MAX >> bits;
    let mut at = vec![0; lanes.len()];
    let mut keys: Vec<u64> = Vec::with_capacity(2 * SLICE);
    let mut spare = Spare::default();
    let mut width: u64 = 1 << 20;
    while let Some(from) = lanes.iter().zip(&at).filter_map(|(l, &i)| l.get(i)).min() {
        keys.clear();
        for ((n, lane), &i) in (0u64..).zip(lanes).zip(&at) {
            let within = lane[i..].iter().map(|start| start.abs_diff(*from));
            keys.extend(within.take_while(|&d| d < width).map(|d| d << bits | n));
        }
        sort(&mut keys, &mut spare, (width - 1).max(1).ilog2() + 1 + bits);
        for key in &keys {
            #[expect(clippy::cast_possible_truncation, reason = "the position of a lane")]
            let lane = (key & !(u64::MAX << bits)) as usize;
            visit(lane, at[lane]);
            at[lane] += 1;
        }
        if keys.len() > 2 * SLICE {
            width = (width / 2).max(1);
        } else if keys.len() < SLICE {
            width = width.saturating_mul(2).min(most);
        }
    }
}

/// Buckets of a slice, as a power of two.
const BUCKETS: u32 = 11;

/// Room for sorting; holds nothing of value in between.
#[derive(Default)]
struct Spare {
    keys: Vec<u64>,
    ends: Vec<usize>,
}

/// Sorts numbers of at most that many bits: into buckets by their leading ones, and each bucket by itself.
fn sort(keys: &mut Vec<u64>, spare: &mut Spare, bits: u32) {
    if keys.len() < SLICE / 4 {
        return keys.sort_unstable();
    }
    let shift = bits.saturating_sub(BUCKETS);
    #[expect(clippy::cast_possible_truncation, reason = "as many bits as there are buckets")]
    let bucket = |key: u64| (key >> shift) as usize;
    let Spare { keys: sorted, ends } = spare;
    ends.clear();
    ends.resize((1 << BUCKETS) + 1, 0);
    for key in &*keys {
        ends[bucket(*key) + 1] += 1;
    }
    let mut sum = 0;
    for end in &mut *ends {
        sum += *end;
        *end = sum;
    }
    sorted.resize(keys.len(), 0);
    for key in &*keys {
        let at = &mut ends[bucket(*key)];
        sorted[*at] = *key;
        *at += 1;
    }
    let mut from = 0;
    for &to in &*ends {
        if to > from + 1 {
            sorted[from..to].sort_unstable();
        }
        from = to;
    }
    std::mem::swap(keys, sorted);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_visited_by_time_then_lane_then_position() {
        let mut state = 3u64;
        let mut draw = move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        for round in 0..60 {
            let n = draw(9);
            // Dense, sparse, and with steps that no slice holds.
            let scale = [1, 1000, 1 << 50][round % 3];
            let lanes: Vec<Vec<i64>> = (0..n)
                .map(|_| {
                    let mut lane: Vec<i64> = (0..draw(6000))
                        .map(|_| draw(4000).cast_signed() * scale - scale * 500)
                        .collect();
                    if draw(4) == 0 {
                        lane.extend([i64::MIN, i64::MAX, i64::MAX]);
                    }
                    lane.sort_unstable();
                    lane
                })
                .collect();
            let mut want: Vec<(i64, usize, usize)> = Vec::new();
            for (l, lane) in lanes.iter().enumerate() {
                want.extend(lane.iter().enumerate().map(|(i, s)| (*s, l, i)));
            }
            want.sort_unstable();
            let mut got = Vec::new();
            let slices: Vec<&[i64]> = lanes.iter().map(Vec::as_slice).collect();
            in_order(&slices, |l, i| got.push((lanes[l][i], l, i)));
            assert!(got == want, "round {round}");
        }
    }
}
