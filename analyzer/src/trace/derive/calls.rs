//! Marks on GPU calls: driver calls inside a runtime call, and first uses of a kernel.

use rustc_hash::FxHashMap;

use crate::trace::catalogue::{Op, Source};
use crate::trace::model::flag;

/// The columns of a lane that marks are made from.
pub(crate) struct Calls<'a> {
    pub(crate) tid: i64,
    pub(crate) op: Op,
    /// Start of the first one, also where rows are only counted.
    pub(crate) first: i64,
    pub(crate) start: &'a [i64],
    pub(crate) dur: &'a [i64],
    pub(crate) row: &'a [u32],
    /// Kernels of launches; else anything.
    pub(crate) value: &'a [i64],
}

impl Calls<'_> {
    fn end(&self, i: usize) -> i64 {
        self.start[i].saturating_add(self.dur[i])
    }
}

/// Flags for the lanes of one process; an empty vector where none is set.
pub(crate) fn flags(lanes: &[Calls<'_>]) -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = vec![Vec::new(); lanes.len()];
    mark_nested(lanes, &mut out);
    mark_first_uses(lanes, &mut out);
    out
}

fn set(flags: &mut Vec<u8>, len: usize, at: usize, bit: u8) {
    if flags.is_empty() {
        flags.resize(len, 0);
    }
    flags[at] |= bit;
}

/// A driver or graph call is nested if one runtime call of its thread holds it whole. Runtime calls
/// of a thread follow each other, so the one that started last is the only candidate.
fn mark_nested(lanes: &[Calls<'_>], out: &mut [Vec<u8>]) {
    let mut tids: Vec<i64> = lanes
        .iter()
        .filter(|l| matches!(l.op.def().source, Source::Driver | Source::Graph))
        .map(|l| l.tid)
        .collect();
    tids.sort_unstable();
    tids.dedup();
    for tid in tids {
        let runtime: Vec<&Calls<'_>> = lanes
            .iter()
            .filter(|l| l.tid == tid && l.op.def().source == Source::Cuda && !l.start.is_empty())
            .collect();
        if runtime.is_empty() {
            continue;
        }
        for (lane, flags) in lanes.iter().zip(out.iter_mut()) {
            if lane.tid != tid || !matches!(lane.op.def().source, Source::Driver | Source::Graph) {
                continue;
            }
            let mut at = vec![0_usize; runtime.len()];
            for i in 0..lane.start.len() {
                let (start, end) = (lane.start[i], lane.end(i));
                let inside = runtime.iter().zip(&mut at).any(|(calls, at)| {
                    while calls.start.get(*at + 1).is_some_and(|&s| s <= start) {
                        *at += 1;
                    }
                    calls.start[*at] <= start && end <= calls.end(*at)
                });
                if inside {
                    set(flags, lane.start.len(), i, flag::NESTED);
                }
            }
        }
    }
}

/// Kernels that are remembered to save look-ups.
const LATELY: usize = 1024;

/// The first launch of each kernel in the process to return, in the runtime's rows and in the driver's
/// apart: the two know a kernel by different numbers. To return, not to begin: that is the order in which
/// recorders see calls, so what they kept up to a time is all there was.
fn mark_first_uses(lanes: &[Calls<'_>], out: &mut [Vec<u8>]) {
    let mut first: FxHashMap<(Source, i64), (i64, u32, usize, usize)> = FxHashMap::default();
    for (n, lane) in lanes.iter().enumerate() {
        let source = lane.op.def().source;
        if !lane.op.is("launch") || source == Source::Graph || lane.value.len() != lane.start.len() {
            continue;
        }
        // Kernels that the lane had lately, and when they returned: a later row of one is not its first.
        let mut lately = [(0, i64::MAX); LATELY];
        for (i, &kernel) in lane.value.iter().enumerate() {
            // 0 is no kernel.
            if kernel == 0 {
                continue;
            }
            let mixed = kernel.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let slot = &mut lately[usize::try_from(mixed >> (64 - LATELY.trailing_zeros())).unwrap_or(0)];
            let end = lane.end(i);
            if slot.0 == kernel && slot.1 < end {
                continue;
            }
            *slot = (kernel, end);
            let here = (end, lane.row[i], n, i);
            let known = first.entry((source, kernel)).or_insert(here);
            *known = (*known).min(here);
        }
    }
    // Bits are set, so the order of the map does not matter.
    for (_, _, n, i) in first.into_values() {
        set(&mut out[n], lanes[n].start.len(), i, flag::FIRST_USE);
    }
}

/// Marks first uses of a launch lane that end after `sure_until`: an earlier launch of the same kernel may
/// be no row.
pub(crate) fn mark_unsure(flags: &mut [u8], start: &[i64], dur: &[i64], sure_until: i64) {
    for (i, f) in flags.iter_mut().enumerate() {
        if *f & flag::FIRST_USE != 0 && start[i].saturating_add(dur[i]) > sure_until {
            *f |= flag::FIRST_UNSURE;
        }
    }
}
