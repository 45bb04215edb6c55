//! Time in which threads do not sleep.

use crate::trace::model::{Lane, Rows, UNKNOWN_TIME};
use crate::unit::{Interval, MS};

/// Shorter stretches are no events of `sched.awake`: a thread that works on small things has one for each.
const SHORTEST: i64 = 10 * MS;

/// The part of `from`..`to` in which a thread was not asleep: on a CPU, waiting for one, or for a device.
/// `stints` is its off-CPU time, by end.
pub(crate) fn within(stints: Option<&Lane>, (mut from, to): (i64, i64)) -> Vec<Interval> {
    let mut out = Vec::new();
    let mut push = |a: i64, b: i64| {
        if a < b {
            out.push(Interval::new(a, b));
        }
    };
    if let Some(lane) = stints {
        for i in (0..lane.len()).filter(|&i| !lane.uninterruptible[i]) {
            let when = lane.interval(i);
            // A stint of unknown state counts as sleep: nothing is claimed of it.
            let asleep_to = if lane.runnable[i] == UNKNOWN_TIME {
                when.end
            } else {
                lane.runnable[i]
            };
            if asleep_to > when.start {
                push(from, when.start.min(to));
                from = from.max(asleep_to);
            }
        }
    }
    push(from, to);
    out
}

/// What becomes `sched.awake`: long stretches between the first and the last stint of a thread. Before and
/// after those it may have slept all the time, and where switches were lost a sleep may be missing.
pub(crate) fn long(stints: &Lane, known: &Rows) -> Vec<Interval> {
    let (Some(first), Some(last)) = (stints.start.first(), stints.len().checked_sub(1)) else {
        return Vec::new();
    };
    let mut all = within(Some(stints), (*first, stints.interval(last).end));
    all.retain(|w| {
        let sure = match known {
            Rows::Complete => true,
            Rows::Windows(list) => list.iter().any(|k| k.start <= w.start && w.end <= k.end),
            // Of sleeps that were too short to be stored nothing is left but the time between others.
            Rows::AtLeast(_) | Rows::Unobserved => false,
        };
        sure && w.len() >= SHORTEST
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::catalogue::Op;
    use crate::trace::model::ThreadIdx;

    #[test]
    fn a_stretch_is_claimed_only_where_every_sleep_is_known() {
        let mut lane = Lane::new(ThreadIdx(0), Op(0));
        for (start, end) in [(0, 5), (30, 35), (41, 50)] {
            lane.start.push(start * MS);
            lane.dur.push((end - start) * MS);
            lane.runnable.push(UNKNOWN_TIME);
            lane.uninterruptible.push(false);
        }
        let stretch = Interval::new(5 * MS, 30 * MS);
        assert_eq!(long(&lane, &Rows::Complete), [stretch]);
        assert_eq!(long(&lane, &Rows::Windows(vec![Interval::new(0, 30 * MS)])), [stretch]);
        assert_eq!(long(&lane, &Rows::Windows(vec![Interval::new(6 * MS, 99 * MS)])), []);
        assert_eq!(long(&lane, &Rows::AtLeast(MS)), []);
        assert_eq!(long(&lane, &Rows::Unobserved), []);
    }
}
