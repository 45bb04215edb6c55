//! Drawn events for the tests of windows.

use std::sync::Arc;

use crate::eval::key::KeyVal;
use crate::eval::select::{Group, Part};
use crate::trace::catalogue::Op;
use crate::trace::{Lane, NodeIdx, ThreadIdx};

/// A source of numbers, each below what is asked for; the same ones for the same seed.
pub(super) fn source(mut state: u64) -> impl FnMut(u64) -> i64 {
    move |n| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((state >> 33) % n).cast_signed()
    }
}

/// Lanes of fewer than `most` events that start before `until` and are shorter than `longest`.
pub(super) fn lanes(draw: &mut impl FnMut(u64) -> i64, threads: u32, most: u64, until: u64, longest: u64) -> Vec<Lane> {
    (0..threads)
        .map(|t| {
            let mut lane = Lane::new(ThreadIdx(t), Op(0));
            lane.start = (0..draw(most)).map(|_| draw(until)).collect();
            lane.start.sort_unstable();
            lane.dur = lane.start.iter().map(|_| draw(longest)).collect();
            lane
        })
        .collect()
}

/// All or every second of the events of each lane, and (start, duration) of those chosen.
pub(super) fn group<'l>(draw: &mut impl FnMut(u64) -> i64, lanes: &'l [Lane]) -> (Group<'l>, Vec<(i64, i64)>) {
    let odd = |lane: &Lane| -> Arc<[u32]> { (0..).take(lane.len()).filter(|i| i % 2 == 1).collect() };
    let parts: Vec<Part<'_>> = lanes
        .iter()
        .map(|lane| Part {
            lane,
            idx: (draw(2) == 0).then(|| odd(lane)),
        })
        .collect();
    let events = parts
        .iter()
        .flat_map(|p| p.iter().map(|i| (p.lane.start[i], p.lane.dur[i])))
        .collect();
    let group = Group {
        key: KeyVal::of_node(NodeIdx(0)),
        parts,
        maybe: Vec::new(),
        doubt: None,
        uncertain: None,
    };
    (group, events)
}
