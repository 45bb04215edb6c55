//! Verdicts that another tool stored in a file, beside what the evidence says of them.

use super::Engine;
use super::metric::union_of_off_cpu;
use crate::diagnosis::{Diagnosis, Severity, StoredVerdict};
use crate::trace::catalogue::State;
use crate::trace::{Lane, Rows};

/// Share (thousandths) of the slow time that a blamed cause must cover.
const NAMED_FROM: u32 = 500;

/// One entry per distinct stored finding.
pub(super) fn compare(engine: &Engine<'_>, ours: &[Diagnosis]) -> Vec<StoredVerdict> {
    engine
        .trace
        .chains
        .iter()
        .map(|c| {
            let blames_cpu = ["sched", "context switch", "cpu", "off-cpu"]
                .iter()
                .any(|w| c.root_cause.to_lowercase().contains(w));
            let overlap = slow_time_off_cpu(engine, &c.cuda_op, &c.node);
            let about = ours.iter().find(|d| {
                d.severity > Severity::Info
                    && (d.key.op.as_deref() == Some(c.cuda_op.as_str())
                        || d.evidence.iter().any(|e| e.witnesses.iter().any(|w| w.op == c.cuda_op)))
            });
            let verdict = match (blames_cpu, overlap) {
                (true, Some(o)) if o >= NAMED_FROM => "confirmed",
                (true, Some(_)) => "contradicted",
                (true, None) => "cannot be judged",
                (false, _) => "not proven",
            };
            let ours = match (about, overlap) {
                (Some(d), _) => format!("{}: {}", d.rule, d.message),
                (None, None) if blames_cpu => "off-CPU time of the calling threads is not in the file".into(),
                (None, _) => format!("nothing of LOW or above about {}", c.cuda_op),
            };
            StoredVerdict {
                path: engine
                    .trace
                    .files
                    .get(c.file)
                    .map(|f| f.path.display().to_string())
                    .unwrap_or_default(),
                node: c.node.clone(),
                severity: c.severity.clone(),
                summary: c.summary.clone(),
                repeats: c.repeats,
                op: c.cuda_op.clone(),
                overlap,
                ours,
                verdict,
            }
        })
        .collect()
}

/// Share of the slowest 1 % of an op's calls that lies inside off-CPU time of the calling thread.
fn slow_time_off_cpu(engine: &Engine<'_>, op: &str, node: &str) -> Option<u32> {
    let trace = engine.trace;
    let lanes: Vec<&Lane> = trace
        .lanes
        .iter()
        .filter(|l| l.op.def().name == op)
        .filter(|l| node.is_empty() || trace.node(trace.process_of(l).node).name == node)
        .collect();
    let mut calls: Vec<(i64, &Lane, usize)> = lanes
        .iter()
        .flat_map(|l| (0..l.len()).map(|i| (l.dur[i], *l, i)))
        .collect();
    let slowest = calls.len().div_ceil(100);
    calls.sort_by_key(|(d, l, i)| (std::cmp::Reverse(*d), l.thread, *i));
    calls.truncate(slowest);
    let (mut total, mut covered) = (0i128, 0i128);
    for (_, lane, i) in calls {
        if engine.sched_rows(lane.thread, State::OffCpu) == Rows::Unobserved {
            return None;
        }
        let when = lane.interval(i);
        total += i128::from(when.len());
        covered += i128::from(union_of_off_cpu(engine, lane.thread).overlap(when));
    }
    if total == 0 {
        return None;
    }
    u32::try_from(covered * 1000 / total).ok()
}
