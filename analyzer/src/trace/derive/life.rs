//! The stages of a process that uses the GPU: first call, warm-up, steady state.

use crate::trace::model::flag;
use crate::unit::{Interval, MS, SEC};

use super::calls::Calls;
use crate::trace::catalogue::Source;

/// A process younger than this is still warming up.
const WARM_UP: i64 = 30 * SEC;
/// The steady state begins after this long without a disturbance.
const QUIET: i64 = 5 * SEC;
/// First uses at least this long disturb.
const SLOW_FIRST_USE: i64 = MS;
/// A first allocation at least this long created the context, so it is the beginning.
const CONTEXT_CREATION: i64 = 10 * MS;
/// A process whose first call comes sooner than this after the recording began was there before.
const ATTACH: i64 = SEC;

/// What the GPU calls of a process show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GpuLife {
    /// Thread with most launches.
    pub(crate) launcher: Option<i64>,
    /// Graph captures and instantiations, slow first uses.
    pub(crate) disturbances: Vec<Interval>,
    /// Whether an early allocation created the context.
    pub(crate) context_seen: bool,
    /// Whether a kernel was launched before any device memory was allocated: kernels work on memory, so it
    /// was allocated before the recording.
    pub(crate) memory_before: bool,
}

/// Looks at the calls of one process.
pub(crate) fn gpu_life(lanes: &[Calls<'_>], flags: &[Vec<u8>]) -> GpuLife {
    let mut out = GpuLife::default();
    let mut launches: std::collections::BTreeMap<i64, usize> = std::collections::BTreeMap::new();
    let first_of = |op: &str| {
        lanes
            .iter()
            .filter(|l| l.op.is(op))
            .filter_map(|l| l.start.first())
            .min()
    };
    let first = lanes.iter().map(|l| l.first).min().unwrap_or(0);
    out.memory_before = first_of("launch").is_some_and(|launch| first_of("malloc").is_none_or(|m| launch < m));
    for (lane, flags) in lanes.iter().zip(flags) {
        let span = |i: usize| Interval::new(lane.start[i], lane.start[i].saturating_add(lane.dur[i]));
        let n = lane.start.len();
        if lane.op.is("launch") {
            // A launch that contains its driver call counts once.
            let nested = flags.iter().filter(|&&f| f & flag::NESTED != 0).count();
            *launches.entry(lane.tid).or_default() += n - nested;
            let slow = (0..flags.len()).filter(|&i| flags[i] & flag::FIRST_USE != 0 && lane.dur[i] >= SLOW_FIRST_USE);
            out.disturbances.extend(slow.map(span));
        }
        if lane.op.def().source == Source::Graph && (lane.op.is("capture") || lane.op.is("instantiate")) {
            out.disturbances.extend((0..n).map(span));
        }
        if lane.op.is("malloc") {
            out.context_seen |= (0..n)
                .take_while(|&i| lane.start[i] <= first.saturating_add(2 * SEC))
                .any(|i| lane.dur[i] >= CONTEXT_CREATION);
        }
    }
    // The smallest thread id of those with most.
    out.launcher = launches
        .into_iter()
        .filter(|l| l.1 > 0)
        .max_by_key(|&(tid, n)| (n, std::cmp::Reverse(tid)))
        .map(|l| l.0);
    out
}

/// Whether the process was already using the GPU when the recording began, as far as rows show.
/// `allocations_kept`: every allocation is known to be a row.
pub(crate) fn late(
    life: &GpuLife,
    first_call: i64,
    begin_seen: bool,
    recording_from: i64,
    trimmed: bool,
    allocations_kept: bool,
) -> bool {
    let at_once = first_call <= recording_from.saturating_add(ATTACH);
    !begin_seen && !life.context_seen && (trimmed || at_once || (allocations_kept && life.memory_before))
}

/// When the steady state begins; `None` if that is not before `end`.
pub(crate) fn steady_from(first_call: i64, late: bool, mut disturbances: Vec<Interval>, end: i64) -> Option<i64> {
    disturbances.sort_unstable();
    let mut at = if late {
        first_call
    } else {
        first_call.saturating_add(WARM_UP)
    };
    for d in disturbances {
        if d.start > at {
            break;
        }
        at = at.max(d.end.saturating_add(QUIET));
    }
    (at <= end).then_some(at)
}

/// Programs that compile: their runs as children disturb.
pub(crate) fn is_compiler(name: &str) -> bool {
    const COMPILERS: [&str; 14] = [
        "ptxas",
        "cicc",
        "nvcc",
        "cudafe++",
        "fatbinary",
        "nvlink",
        "gcc",
        "g++",
        "cc",
        "cc1",
        "cc1plus",
        "clang",
        "clang++",
        "ld",
    ];
    COMPILERS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_launches_before_allocating_was_at_work_before() {
        let life = |memory_before, context_seen| GpuLife {
            context_seen,
            memory_before,
            ..GpuLife::default()
        };
        // First seen two seconds into the recording, not at its beginning.
        let late = |l: &GpuLife, begin_seen, kept| late(l, 2 * SEC, begin_seen, 0, false, kept);
        assert!(late(&life(true, false), false, true));
        assert!(!late(&life(true, false), false, false), "an allocation may be no row");
        assert!(!late(&life(true, false), true, true), "it began in the recording");
        assert!(!late(&life(false, false), false, true), "it allocated first");
        assert!(!late(&life(true, true), false, true), "it made its context");
    }

    #[test]
    fn steady_state_waits_for_quiet() {
        let i = |a: i64, b: i64| Interval::new(a * SEC, b * SEC);
        assert_eq!(steady_from(0, false, vec![], 100 * SEC), Some(30 * SEC));
        assert_eq!(steady_from(0, true, vec![], 100 * SEC), Some(0));
        assert_eq!(steady_from(0, false, vec![i(26, 27)], 100 * SEC), Some(32 * SEC));
        assert_eq!(
            steady_from(0, false, vec![i(26, 27), i(31, 33)], 100 * SEC),
            Some(38 * SEC)
        );
        assert_eq!(steady_from(0, false, vec![i(50, 51)], 100 * SEC), Some(30 * SEC));
        assert_eq!(steady_from(0, false, vec![], 29 * SEC), None);
    }
}
