//! Counts of everything that became a row, in buckets of five seconds.

use crate::abi::Agg;
use rustc_hash::FxHashMap;

const BUCKET_NS: i64 = 5_000_000_000;

/// One bucket of one op and process; a row of `event_aggregates_5s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the table")]
pub(super) struct Bucket {
    pub start_ns: i64,
    pub source: u8,
    pub op: u8,
    pub pid: u32,
    pub count: u64,
    pub stored: u64,
    pub sum_dur: u64,
    pub min_dur: u64,
    pub max_dur: u64,
    pub sum_arg0: u64,
}

impl From<&Agg> for Bucket {
    fn from(a: &Agg) -> Self {
        Self {
            start_ns: i64::from(a.bucket) * BUCKET_NS,
            source: a.source,
            op: a.op,
            pid: a.pid,
            count: a.count,
            stored: 0,
            sum_dur: a.sum_dur,
            min_dur: a.min_dur,
            max_dur: a.max_dur,
            sum_arg0: if arg0_adds_up(a.source, a.op) { a.sum_arg0 } else { 0 },
        }
    }
}

/// Buckets that may still get events.
#[derive(Default)]
pub(super) struct Aggregates {
    open: FxHashMap<(i64, u8, u8, u32), Bucket>,
}

impl Aggregates {
    /// Counts a stored event.
    pub(super) fn add(&mut self, at: i64, source: u8, op: u8, pid: u32, dur: u64, arg0: u64) {
        let start_ns = at - at.rem_euclid(BUCKET_NS);
        let b = self.open.entry((start_ns, source, op, pid)).or_insert(Bucket {
            start_ns,
            source,
            op,
            pid,
            count: 0,
            stored: 0,
            sum_dur: 0,
            min_dur: u64::MAX,
            max_dur: 0,
            sum_arg0: 0,
        });
        b.count += 1;
        b.stored += 1;
        b.sum_dur = b.sum_dur.wrapping_add(dur);
        b.min_dur = b.min_dur.min(dur);
        b.max_dur = b.max_dur.max(dur);
        if arg0_adds_up(source, op) {
            b.sum_arg0 = b.sum_arg0.wrapping_add(arg0);
        }
    }

    /// Takes out the buckets that ended before `before_ns`, in a fixed order. A later event of one
    /// of them makes a second bucket, which the writer adds to the first.
    pub(super) fn take_closed(&mut self, before_ns: i64) -> Vec<Bucket> {
        let mut closed: Vec<Bucket> = self
            .open
            .extract_if(|(start, ..), _| start.saturating_add(BUCKET_NS) <= before_ns)
            .map(|(_, b)| b)
            .collect();
        closed.sort_unstable_by_key(|b| (b.start_ns, b.source, b.op, b.pid));
        closed
    }
}

/// Whether arg0 is bytes or sectors, and so worth a sum.
fn arg0_adds_up(source: u8, op: u8) -> bool {
    match source {
        1 => matches!(op, 1 | 4 | 7..=12 | 104 | 106 | 107 | 109 | 111 | 112 | 117),
        3 => op == 3,
        4 => matches!(op, 2 | 3 | 5 | 6 | 106 | 108 | 110 | 112..=123),
        5 => true,
        9 => matches!(op, 3..=8 | 101),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_given_out_once_it_has_ended() {
        let mut a = Aggregates::default();
        a.add(12_000_000_000, 1, 4, 7, 30, 100);
        a.add(14_999_999_999, 1, 4, 7, 10, 50);
        a.add(15_000_000_000, 1, 4, 7, 20, 1);
        assert!(a.take_closed(14_000_000_000).is_empty());
        let b = a.take_closed(15_000_000_000);
        assert_eq!(b.len(), 1);
        assert_eq!((b[0].count, b[0].stored, b[0].sum_dur), (2, 2, 40));
        assert_eq!((b[0].min_dur, b[0].max_dur, b[0].sum_arg0), (10, 30, 150));
        assert_eq!(a.take_closed(i64::MAX).len(), 1);
    }

    #[test]
    fn a_kernel_pointer_is_not_summed() {
        let mut a = Aggregates::default();
        a.add(0, 1, 3, 1, 1, 0xdead_beef);
        assert_eq!(a.take_closed(i64::MAX)[0].sum_arg0, 0);
    }
}
