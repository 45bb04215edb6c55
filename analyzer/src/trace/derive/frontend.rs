//! Which thread answers clients for an engine that lies in another process.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::trace::identity::Identity;
use crate::trace::model::{Lane, ThreadIdx, Trace};

/// By life: the thread with most rows of `net_send` (smallest tid on a tie) of a process without GPU calls
/// that has one with GPU calls in its tree.
pub(crate) fn find(
    identity: &Identity,
    lanes: &[Lane],
    trace: &Trace,
    first_process: u32,
) -> BTreeMap<usize, ThreadIdx> {
    let life = |l: &Lane| (trace.thread(l.thread).process.0 - first_process) as usize;
    let on_gpu = |life: usize| trace.processes[first_process as usize + life].gpu.is_some();
    let mut out: BTreeMap<usize, &Lane> = BTreeMap::new();
    let more = |l: &Lane| (l.len(), Reverse(trace.thread(l.thread).tid));
    for lane in lanes.iter().filter(|l| l.op.is("send") && !l.is_empty()) {
        let best = out.entry(life(lane)).or_insert(lane);
        if more(lane) > more(best) {
            *best = lane;
        }
    }
    let engines: Vec<usize> = (0..identity.lives.len()).filter(|&l| on_gpu(l)).collect();
    out.retain(|&l, _| !on_gpu(l) && engines.iter().any(|&e| identity.same_tree(l, e)));
    out.into_iter().map(|(l, lane)| (l, lane.thread)).collect()
}
