//! How much of the story the rows tell: which operations are complete, where, and which are not
//! observed at all.

use super::catalogue::{AWAKE, Anchor, Op, Source};
use super::identity::known;
use super::model::{Counted, Node, ProcIdx, Rows, Stored, ThreadIdx, Trace};
use crate::unit::{Interval, MS};

/// How completely the rows of an op on a thread tell what happened.
///
/// Losses that the recorder counted cut holes into what is otherwise complete.
pub fn rows(trace: &Trace, thread: ThreadIdx, op: Op) -> Rows {
    let t = trace.thread(thread);
    let process = trace.process(t.process);
    let node = trace.node(process.node);
    let d = op.def();
    if d.anchor == Anchor::Derived {
        return match d.name {
            "child_working" => children(trace, t.process),
            AWAKE if !node.run_state => Rows::Unobserved,
            // A sleep that was left out for being short would have ended a stretch.
            AWAKE if matches!(t.sched, Rows::AtLeast(_)) => Rows::Windows(Vec::new()),
            AWAKE => t.sched.clone(),
            _ => derived(node, op),
        };
    }
    if d.source == Source::Sched && d.op_id == 1 {
        return t.sched.clone();
    }
    if !observed(node, op) {
        return Rows::Unobserved;
    }
    match &node.stored {
        Stored::Everything if only_counted(op) => Rows::Windows(Vec::new()),
        Stored::Everything => without_losses(node, op),
        Stored::Thresholds(list) => match list.iter().find(|t| t.0 == op) {
            Some(&(_, least, _)) => Rows::AtLeast(least),
            None => without_losses(node, op),
        },
        Stored::Selected(windows) => {
            if always_stored(op) && !(has_stack(op) && cut_short(trace, t.process, op)) {
                Rows::Complete
            } else if d.source == Source::Io && windows.is_empty() {
                Rows::AtLeast(10 * MS)
            } else {
                Rows::Windows(windows.clone())
            }
        }
    }
}

/// The aggregates of a process and an op, where the file has them. For sched ops, of its main
/// thread: each thread has aggregates of its own there, see [`counted_of_thread`].
pub fn counted(trace: &Trace, process: ProcIdx, op: Op) -> Option<&Counted> {
    let p = trace.process(process);
    find(trace.node(p.node), p.pid, op).filter(|c| c.process.is_none_or(|q| q == process))
}

/// The aggregates of a thread and a sched op, where the file has them.
pub fn counted_of_thread(trace: &Trace, thread: ThreadIdx, op: Op) -> Option<&Counted> {
    let t = trace.thread(thread);
    let node = trace.node(trace.process(t.process).node);
    find(node, t.tid, op).filter(|c| c.process.is_none_or(|q| q == t.process))
}

fn find(node: &Node, pid: i64, op: Op) -> Option<&Counted> {
    let at = node.counted.binary_search_by_key(&(pid, op), |c| (c.pid, c.op)).ok()?;
    Some(&node.counted[at])
}

/// Whether our recorder counts this and makes no rows of it, even where it stores everything else.
pub(crate) fn only_counted(op: Op) -> bool {
    op.is("page_alloc")
}

/// Rules 6 and 8 of the recorder: these become rows whatever their length.
pub(crate) fn always_stored(op: Op) -> bool {
    let d = op.def();
    matches!(
        (d.source_id, d.op_id),
        (1, 5 | 6) | (4, 4) | (6, 1) | (3, 4..=7 | 10..=12)
    )
}

/// Calls come with a stack; what the host kernel reports does not.
fn has_stack(op: Op) -> bool {
    matches!(op.def().source, Source::Cuda | Source::Driver)
}

/// Whether rows of an always-stored op may be missing: a stack that already has a hundred rows gets no
/// more, even of these. Only aggregates can tell that none was cut.
fn cut_short(trace: &Trace, process: ProcIdx, op: Op) -> bool {
    let counts = &trace.node(trace.process(process).node).counted;
    counts.is_empty()
        || counted(trace, process, op).is_some_and(|c| c.minutes.iter().any(|b| b.reliable && b.count > b.rows))
}

/// Whether the node was watched for this op at all.
pub(crate) fn observed(node: &Node, op: Op) -> bool {
    let d = op.def();
    let seen = node.ops.binary_search(&op).is_ok();
    if seen {
        return true;
    }
    if node.probes_known {
        return attached(node, d.source);
    }
    // Without a list of probes: what every agent of the format has always stored. Allocations need
    // a watchdog since 0.9, pages never become rows, graphs came with 0.9.0, and copies 9 to 12
    // with 0.14: that they are absent says nothing.
    match (d.source_id, d.op_id) {
        (1, 1 | 2 | 8..=12) | (3, 3 | 20 | 21) | (8 | 9, _) => node.ours && d.source_id == 1,
        (_, 101..) => false,
        _ => true,
    }
}

fn attached(node: &Node, source: Source) -> bool {
    !node.probes_known || node.sources_attached.iter().any(|s| s == source.name())
}

fn derived(node: &Node, op: Op) -> Rows {
    let d = op.def();
    let there = match d.source {
        Source::Process if d.name == "warmup" => attached(node, Source::Cuda) || attached(node, Source::Driver),
        Source::Process => attached(node, Source::Process),
        // Nobody has to annotate, and nobody has to watch for errors of the device.
        _ => node.ops.binary_search(&op).is_ok(),
    };
    if there { Rows::Complete } else { Rows::Unobserved }
}

/// What the children of a process do is known where the run states of all their main threads are.
fn children(trace: &Trace, parent: ProcIdx) -> Rows {
    let node = trace.node(trace.process(parent).node);
    if !attached(node, Source::Process) || !node.run_state {
        return Rows::Unobserved;
    }
    let of_parent = trace.processes.iter().filter(|p| p.parent == Some(parent));
    let mut out = Rows::Complete;
    for child in of_parent {
        let main = child
            .threads
            .iter()
            .map(|t| trace.thread(*t))
            .find(|t| t.tid == child.pid);
        match main.map_or(&Rows::Unobserved, |t| &t.sched) {
            Rows::Complete => {}
            Rows::Unobserved | Rows::AtLeast(_) => return Rows::Unobserved,
            // A child that was found late: what it did before that is not known.
            Rows::Windows(_) => out = Rows::Windows(Vec::new()),
        }
    }
    out
}

/// Complete, but for the seconds in which events of the operation were lost.
fn without_losses(node: &Node, op: Op) -> Rows {
    let lossy: Vec<Interval> = node
        .losses
        .iter()
        .flatten()
        .filter(|l| l.concerns(op))
        .map(|l| l.when)
        .collect();
    match (lossy.is_empty(), node.observed) {
        (false, Some(all)) => Rows::Windows(without(all, &lossy)),
        _ => Rows::Complete,
    }
}

/// Off-CPU time of a thread. `first` is the start of its first stint, `gpu_main` says that it is
/// the main thread of a process that uses the GPU, `traced` what the recorder says of it.
pub(crate) fn sched(node: &Node, first: Option<i64>, gpu_main: bool, traced: Option<bool>) -> Rows {
    let switch = known(3, 1);
    if !attached(node, Source::Sched) {
        return Rows::Unobserved;
    }
    let whole = || node.observed.filter(|_| traced == Some(true)).map(|o| o.start);
    let Some(first) = first.or_else(whole) else {
        return Rows::Unobserved;
    };
    match &node.stored {
        Stored::Thresholds(list) if list.iter().any(|t| t.0 == switch) => {
            Rows::AtLeast(list.iter().filter(|t| t.0 == switch).map(|t| t.1).max().unwrap_or(0))
        }
        Stored::Everything | Stored::Thresholds(_) => match (traced, node.observed) {
            // It was found late: before its first stint nothing is known.
            (Some(false), Some(all)) => Rows::Windows(vec![Interval::new(first, all.end)]),
            _ => without_losses(node, switch),
        },
        Stored::Selected(_) if gpu_main => Rows::Complete,
        Stored::Selected(windows) => Rows::Windows(windows.clone()),
    }
}

/// Sorted disjoint pieces of `all` outside of `holes`.
fn without(all: Interval, holes: &[Interval]) -> Vec<Interval> {
    let mut holes = holes.to_vec();
    holes.sort_unstable();
    let (mut out, mut from) = (Vec::new(), all.start);
    for h in holes {
        if h.start > from && from <= all.end {
            out.push(Interval::new(from, (h.start - 1).min(all.end)));
        }
        from = from.max(h.end.saturating_add(1));
    }
    if from <= all.end {
        out.push(Interval::new(from, all.end));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_cut_out() {
        let i = Interval::new;
        assert_eq!(without(i(0, 100), &[i(20, 30), i(25, 40)]), [i(0, 19), i(41, 100)]);
        assert_eq!(without(i(0, 100), &[i(-5, 10), i(90, 200)]), [i(11, 89)]);
        assert_eq!(without(i(0, 100), &[i(0, 100)]), []);
    }
}
