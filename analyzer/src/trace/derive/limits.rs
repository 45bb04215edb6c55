//! How much of a thread's waits for a CPU the CPU limit of its cgroup can explain.
//!
//! The kernel counts how long a cgroup was throttled, summed over the CPUs on which it was. Between two
//! readings of that count the waits of a thread cannot owe more to the limit than it says, so it is
//! shared out among them in proportion.

use std::collections::BTreeMap;

use crate::trace::model::{Lane, UNKNOWN_TIME};
use crate::trace::reader::tables::CgroupCpu;
use crate::unit::Interval;

/// Throttled time by the stretch between two readings, ns; only stretches that have any.
pub(crate) type Throttled = BTreeMap<Interval, i64>;

/// What the readings say of a cgroup and of those around it, the most of them deciding; `None` where
/// none of them was read. The root has no limit.
pub(crate) fn of_cgroup(path: &str, readings: &[CgroupCpu]) -> Option<Throttled> {
    let around = |p: &str| {
        path.strip_prefix(p)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut known = path == "/";
    let mut out = Throttled::new();
    let mut last: BTreeMap<&str, &CgroupCpu> = BTreeMap::new();
    for reading in readings.iter().filter(|r| around(&r.path)) {
        known = true;
        if let Some(before) = last.insert(&reading.path, reading) {
            let grown = reading.throttled.saturating_sub(before.throttled);
            if grown > 0 && reading.at > before.at {
                let most = out.entry(Interval::new(before.at, reading.at)).or_default();
                *most = grown.max(*most);
            }
        }
    }
    known.then_some(out)
}

/// Fills the column `throttled` of a lane of off-CPU stints.
pub(crate) fn share_out(lane: &mut Lane, throttled: &Throttled) {
    let mut out = vec![0_i64; lane.len()];
    let waits: Vec<Interval> = (0..lane.len())
        .map(|i| {
            let whole = lane.interval(i);
            match lane.runnable.get(i) {
                Some(&from) if from != UNKNOWN_TIME => Interval::new(from.clamp(whole.start, whole.end), whole.end),
                _ => Interval::new(whole.end, whole.end),
            }
        })
        .collect();
    for (stretch, time) in throttled {
        // Stints of a thread follow one another, so their ends are in order, too.
        let from = waits.partition_point(|w| w.end <= stretch.start);
        let here = || (from..waits.len()).take_while(|&i| lane.start[i] < stretch.end);
        let waited: i64 = here().map(|i| waits[i].overlap(*stretch)).sum();
        for i in here() {
            let explained = i128::from(waits[i].overlap(*stretch)) * i128::from((*time).min(waited));
            out[i] += i64::try_from(explained / i128::from(waited.max(1))).unwrap_or(i64::MAX);
        }
    }
    lane.throttled = out;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::identity::known;
    use crate::trace::model::ThreadIdx;

    fn reading(at: i64, path: &str, throttled: i64) -> CgroupCpu {
        CgroupCpu {
            at,
            path: path.to_owned(),
            throttled,
        }
    }

    #[test]
    fn limits_around_a_cgroup_count_and_strangers_do_not() {
        let readings = [
            reading(0, "/a", 10),
            reading(0, "/a/b", 0),
            reading(0, "/ab", 0),
            reading(100, "/a", 30),
            reading(100, "/a/b", 5),
            reading(100, "/ab", 99),
        ];
        let expected = Throttled::from([(Interval::new(0, 100), 20)]);
        assert_eq!(of_cgroup("/a/b", &readings), Some(expected));
        assert_eq!(of_cgroup("/c", &readings), None);
        assert_eq!(of_cgroup("/", &readings), Some(Throttled::new()));
    }

    #[test]
    fn waits_share_what_there_was() {
        let mut lane = Lane::new(ThreadIdx(0), known(3, 1));
        // Runnable all the time; asleep for its first half; runnable across the end of the stretch.
        lane.start = vec![10, 40, 90];
        lane.dur = vec![20, 20, 20];
        lane.runnable = vec![10, 50, 90];
        share_out(&mut lane, &Throttled::from([(Interval::new(0, 100), 20)]));
        assert_eq!(lane.throttled, [10, 5, 5]);
        share_out(&mut lane, &Throttled::from([(Interval::new(0, 100), 500)]));
        assert_eq!(lane.throttled, [20, 10, 10], "no more than it waited");
    }
}
