//! When an off-CPU thread became runnable, and who held the CPU from there on: from the recorder's details,
//! or from wake-ups.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::holders::{self, Stints};
use crate::trace::identity::known;
use crate::trace::model::UNKNOWN_TIME;
use crate::trace::reader::columns::RawLane;
use crate::trace::reader::scan::Details;

/// Bits of the state in which a thread left its CPU.
const UNINTERRUPTIBLE: i64 = 0x2;
/// Set for idle kernel threads: uninterruptible, but waiting for nothing.
const NO_LOAD: i64 = 0x400;

/// The CPU of a stint that lasted until the recording ended.
const STILL_OFF: i64 = 0xffff;

/// Fills run states from (state, `woken_at`, preemptor, cpu) of each stint. Returns how many details
/// found a stint.
pub(crate) fn from_details(lanes: &mut [RawLane], base: i64, details: &Details) -> usize {
    let switch = known(3, 1);
    let mut found = 0;
    let mut cpus: Vec<Vec<Option<i64>>> = Vec::new();
    for lane in lanes.iter_mut().filter(|l| l.key.op == switch && l.len() > 0) {
        let n = lane.len();
        let mut cursor = details.cursor();
        let mut on = vec![None; n];
        let (mut runnable, mut uninterruptible) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for (i, on) in on.iter_mut().enumerate() {
            let (start, end) = (lane.start[i], lane.end(i));
            let Some([state, woken, preemptor, cpu]) = cursor.get(base.wrapping_add(i64::from(lane.row[i]))) else {
                runnable.push(UNKNOWN_TIME);
                uninterruptible.push(false);
                continue;
            };
            found += 1;
            *on = (cpu != STILL_OFF && cpu >= 0).then_some(cpu);
            runnable.push(if state == 0 {
                start
            } else if woken == 0 && cpu == STILL_OFF {
                end // nobody woke it
            } else if woken == 0 {
                UNKNOWN_TIME
            } else {
                woken.clamp(start, end)
            });
            uninterruptible.push(state & UNINTERRUPTIBLE != 0 && state & NO_LOAD == 0);
            // Who took the CPU says more than who had it last.
            if preemptor != 0
                && let Some(previous) = lane.aux.get_mut(i)
            {
                *previous = preemptor;
            }
        }
        lane.runnable = runnable;
        lane.uninterruptible = uninterruptible;
        cpus.push(on);
    }
    correct_holders(lanes, &cpus);
    found
}

/// Says of long waits who held the CPU. `cpus`: of each stint of each lane that has stints.
fn correct_holders(lanes: &mut [RawLane], cpus: &[Vec<Option<i64>>]) {
    let switch = known(3, 1);
    let lanes: Vec<&mut RawLane> = lanes.iter_mut().filter(|l| l.key.op == switch && l.len() > 0).collect();
    let times: Vec<(Vec<i64>, Vec<Option<i64>>)> = lanes
        .iter()
        .map(|lane| {
            let end = (0..lane.len()).map(|i| lane.end(i)).collect();
            let runnable = lane.runnable.iter().map(|&r| (r != UNKNOWN_TIME).then_some(r));
            (end, runnable.collect())
        })
        .collect();
    // A merged file has several hosts, each with CPUs and threads of its own.
    let mut hosts: BTreeMap<u16, Vec<Stints<'_>>> = BTreeMap::new();
    for ((lane, (end, runnable)), cpu) in lanes.into_iter().zip(&times).zip(cpus) {
        // Rows out of order, or without who came before: nothing can be concluded.
        if lane.sorted && lane.aux.len() == lane.start.len() {
            hosts.entry(lane.key.node).or_default().push(Stints {
                tid: lane.key.tid,
                start: &lane.start,
                end,
                runnable,
                cpu,
                holder: &mut lane.aux,
            });
        }
    }
    for stints in hosts.values_mut() {
        holders::correct(stints);
    }
}

/// Fills run states from wake-ups, all of which must be rows: a thread is runnable from its last
/// wake-up inside the stint on; without any it was preempted.
pub(crate) fn from_wakeups(lanes: &mut [RawLane]) {
    let (switch, wakeup) = (known(3, 1), known(3, 2));
    let mut woken: FxHashMap<(u16, i64), Vec<i64>> = FxHashMap::default();
    for lane in lanes.iter().filter(|l| l.key.op == wakeup) {
        for (i, &target) in lane.value.iter().enumerate() {
            woken.entry((lane.key.node, target)).or_default().push(lane.start[i]);
        }
    }
    #[expect(clippy::iter_over_hash_type, reason = "each list is sorted by itself")]
    for times in woken.values_mut() {
        times.sort_unstable();
    }
    for lane in lanes.iter_mut().filter(|l| l.key.op == switch && l.len() > 0) {
        let times = woken.get(&(lane.key.node, lane.key.tid)).map_or(&[][..], Vec::as_slice);
        let mut runnable = Vec::with_capacity(lane.len());
        for i in 0..lane.len() {
            let (start, end) = (lane.start[i], lane.end(i));
            let last = times.partition_point(|&t| t <= end);
            let inside = last.checked_sub(1).map(|k| times[k]).filter(|&t| t > start);
            runnable.push(inside.unwrap_or(start));
        }
        lane.uninterruptible = vec![false; lane.len()];
        lane.runnable = runnable;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::reader::columns::RawKey;
    use crate::unit::MS;

    /// Stints of a thread, runnable throughout, which end on CPU 1.
    fn lane(node: u16, tid: i64, stints: &[(i64, i64)], before: i64) -> RawLane {
        let op = known(3, 1);
        let mut lane = RawLane::new(
            RawKey {
                node,
                pid: tid,
                tid,
                op,
            },
            0,
        );
        lane.start = stints.iter().map(|s| s.0 * MS).collect();
        lane.dur = stints.iter().map(|s| (s.1 - s.0) * MS).collect();
        lane.runnable.clone_from(&lane.start);
        lane.aux = vec![before; stints.len()];
        lane
    }

    #[test]
    fn a_cpu_is_one_of_its_host() {
        // Thread 7 waits from 10 to 50 ms; thread 8 has a CPU 1 from 11 to 49 ms.
        let holder = |node| {
            let waits = lane(0, 7, &[(0, 5), (10, 50)], 99);
            let mut lanes = [waits, lane(node, 8, &[(0, 11), (49, 60)], 99)];
            correct_holders(&mut lanes, &[vec![Some(1); 2], vec![Some(1); 2]]);
            lanes[0].aux[1]
        };
        assert_eq!(holder(0), 8);
        assert_eq!(holder(1), 99, "that CPU is another host's");
    }
}
