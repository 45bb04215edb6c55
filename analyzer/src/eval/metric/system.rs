//! The host's snapshots, and facts about the recording.

use super::super::Engine;
use super::super::key::KeyVal;
use super::super::logic::{Lack, Reason};
use super::super::value::Val;
use crate::lang::hir::{Segment, Stat};
use crate::trace::catalogue::{Key, SystemField, TraceFact};
use crate::unit::Num;

impl Engine<'_> {
    /// A statistic over the snapshots of the key's node within a segment of its life.
    pub(super) fn system(&self, field: SystemField, stat: Stat, (segment, on): (Segment, &[Key]), key: KeyVal) -> Val {
        let node = self.trace.node(key.node());
        if node.snapshots.is_empty() {
            return Val::unknown(Reason::new(Lack::Missing, "no system snapshots in this trace"));
        }
        let seg = match self.stretches(segment, on, key) {
            Ok(seg) => seg,
            Err(why) => return Val::of_no_part(why),
        };
        let inside = node.snapshots.iter().filter(|s| seg.iter().any(|w| w.contains(s.at)));
        let values: Vec<(i64, i64)> = inside.filter_map(|s| s.field(field, node.cores)).collect();
        let n = values.len() as u64;
        let Some(&(_, scale)) = values.first() else {
            let text = if field == SystemField::LoadPerCore && node.cores.is_none() {
                "the number of cores is not in this trace"
            } else {
                "no snapshot in this part of the trace"
            };
            return Val::unknown(Reason::new(Lack::Missing, text));
        };
        let mut raw: Vec<i64> = values.iter().map(|v| v.0).collect();
        let value = match stat {
            Stat::First => i128::from(raw[0]),
            Stat::Last => i128::from(raw[raw.len() - 1]),
            Stat::Max => raw.iter().max().copied().map_or(0, i128::from),
            Stat::Min => raw.iter().min().copied().map_or(0, i128::from),
            Stat::Pct(p, q) => {
                raw.sort_unstable();
                let k = (raw.len() as u64 * u64::from(p))
                    .div_ceil(u64::from(q.max(1)))
                    .clamp(1, n);
                i128::from(raw[usize::try_from(k - 1).unwrap_or(0)])
            }
            _ => {
                let sum: i128 = raw.iter().map(|v| i128::from(*v)).sum();
                return Num::ratio(sum, i128::from(scale) * i128::from(n))
                    .map_or_else(Val::nothing, |v| Val::exact(v, n));
            }
        };
        Num::ratio(value, i128::from(scale)).map_or_else(Val::nothing, |v| Val::exact(v, n))
    }

    /// A fact about the recording of the key's node.
    pub(super) fn fact(&self, fact: TraceFact, key: KeyVal) -> Val {
        let node = self.trace.node(key.node());
        let processes = || {
            self.trace
                .processes
                .iter()
                .filter(|p| p.node == key.node() && p.gpu.is_some())
        };
        let exact = |v: i128| Val::exact(Num::int(v), 1);
        match fact {
            TraceFact::Lost => match &node.losses {
                Some(losses) => {
                    let calls = losses.iter().filter(|l| !l.is_of_pages());
                    exact(calls.map(|l| i128::from(l.lost)).sum())
                }
                None => Val::unknown(Reason::new(Lack::Missing, "the recorder did not count its losses")),
            },
            TraceFact::RowsMissing => exact(node.rows_missing.into()),
            TraceFact::NotStored => exact(node.not_stored.into()),
            TraceFact::LossesUnknown => exact(node.losses.is_none().into()),
            TraceFact::SnapshotGap => {
                let Some(observed) = node.observed else {
                    return Val::nothing();
                };
                let times: Vec<i64> = node
                    .snapshots
                    .iter()
                    .map(|s| s.at)
                    .filter(|t| observed.contains(*t))
                    .collect();
                if times.is_empty() {
                    return Val::unknown(Reason::new(Lack::Missing, "no system snapshots in this trace"));
                }
                exact(times.windows(2).map(|w| i128::from(w[1] - w[0])).max().unwrap_or(0))
            }
            TraceFact::Length => node.observed.map_or_else(Val::nothing, |o| exact(o.len().into())),
            TraceFact::Steady => exact(processes().map(|p| i128::from(self.steady_ns(p))).max().unwrap_or(0)),
            TraceFact::GpuProcesses => exact(processes().count() as i128),
            TraceFact::LateAttached => exact(processes().filter(|p| p.late).count() as i128),
            TraceFact::ProbesMissing => {
                if node.probes_known {
                    exact(node.probes_missing.len() as i128)
                } else {
                    Val::unknown(Reason::new(Lack::Missing, "the recorder did not list its probes"))
                }
            }
        }
    }

    /// How long a process was steady, ns.
    pub(in crate::eval) fn steady_ns(&self, p: &crate::trace::Process) -> i64 {
        let end = self
            .trace
            .node(p.node)
            .observed
            .map_or(p.alive.end, |o| p.alive.end.min(o.end));
        p.steady_from.map_or(0, |from| (end - from).max(0))
    }
}
