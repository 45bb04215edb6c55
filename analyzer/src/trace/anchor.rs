//! From stored timestamps to intervals: the only place that knows which end a timestamp marks.
//!
//! Sources 1, 4, 8 and 9 store the entry of a call; sched_switch, block I/O and sockets store the
//! end. Upstream mixes the two up in places; on every recording at hand this reading, and only
//! this one, leaves the intervals of a thread free of overlap.

use super::catalogue::{Anchor, Op};

/// Start and length of a stored row. A negative duration counts as 0, and an interval that would
/// leave the range of the clock is cut there.
#[inline]
pub(crate) fn interval(anchor: Anchor, timestamp: i64, duration: i64) -> (i64, i64) {
    let dur = duration.max(0);
    match anchor {
        Anchor::Start => (timestamp, dur.min(i64::MAX.saturating_sub(timestamp.max(0)))),
        Anchor::End | Anchor::Derived => match timestamp.checked_sub(dur) {
            Some(start) => (start, dur),
            // The end is what was stored, so it stays.
            None => (i64::MIN, timestamp.saturating_sub(i64::MIN)),
        },
    }
}

/// The timestamp that was stored for an interval: aggregates put events into buckets by it.
pub(crate) fn timestamp(op: Op, start: i64, dur: i64) -> i64 {
    match op.def().anchor {
        Anchor::Start => start,
        Anchor::End | Anchor::Derived => start.saturating_add(dur),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_marks_its_own_end() {
        assert_eq!(interval(Anchor::Start, 100, 30), (100, 30));
        assert_eq!(interval(Anchor::End, 100, 30), (70, 30));
        let switch = Op::by_ids(3, 1).unwrap();
        let launch = Op::by_ids(1, 3).unwrap();
        assert_eq!((timestamp(switch, 70, 30), timestamp(launch, 70, 30)), (100, 70));
    }

    #[test]
    fn extremes_do_not_overflow() {
        for anchor in [Anchor::Start, Anchor::End] {
            for t in [i64::MIN, -1, 0, 1, i64::MAX] {
                for d in [i64::MIN, -1, 0, 1, i64::MAX] {
                    let (start, dur) = interval(anchor, t, d);
                    assert!(dur >= 0);
                    assert!(start.checked_add(dur).is_some(), "{anchor:?} {t} {d}");
                }
            }
        }
    }
}
