//! A trace and what was found in it, in the formats of other tools.
//!
//! Nothing here judges: intervals, names and states are the reader's, diagnoses are the engine's.
//! Everything is written as it is visited, so an export needs memory for the trace and one thread of
//! it, not for the file it makes. Equal traces give equal bytes.

mod layout;
pub mod otlp;
pub mod parquet;
pub mod perfetto;
mod proto;

use crate::trace::catalogue::Source;
use crate::trace::model::UNKNOWN_TIME;
use crate::trace::{Lane, Trace};
use crate::unit::Interval;

/// Parts of a stint off the CPU: where it is known since when the thread could run, what it did
/// before, and its wait for a CPU.
fn states(lane: &Lane, i: usize) -> Vec<(&'static str, Interval)> {
    let whole = lane.interval(i);
    match lane.runnable.get(i).copied().filter(|&r| r != UNKNOWN_TIME) {
        None => Vec::new(),
        Some(at) => {
            let at = at.clamp(whole.start, whole.end);
            let blocked = lane.uninterruptible.get(i).copied().unwrap_or(false);
            let before = if blocked { "blocked on I/O" } else { "asleep" };
            let parts = [
                (before, Interval::new(whole.start, at)),
                ("waiting for a CPU", Interval::new(at, whole.end)),
            ];
            parts.into_iter().filter(|p| !p.1.is_empty()).collect()
        }
    }
}

/// Whether its events are calls of the thread that owns them, one inside the other.
fn is_call(lane: &Lane) -> bool {
    use Source as S;
    matches!(lane.op.def().source, S::Cuda | S::Driver | S::Graph | S::Nccl | S::Net)
}

/// `name[pid]`, with the host where there are several.
fn process_name(trace: &Trace, process: &crate::trace::Process) -> String {
    let node = &trace.node(process.node).name;
    let on = if trace.nodes.len() > 1 && !node.is_empty() {
        format!(" on {node}")
    } else {
        String::new()
    };
    match (process.pid, process.name.as_str()) {
        (0, _) if node.is_empty() => "the host".to_owned(),
        (0, _) => format!("host {node}"),
        (pid, "") => format!("pid {pid}{on}"),
        (_, name) => format!("{name}{on}"),
    }
}
