//! What a statistic comes to for the peers of a key.

use std::collections::BTreeSet;

use super::super::Engine;
use super::super::key::KeyVal;
use super::super::logic::{Lack, Reason};
use super::super::select::whom;
use super::super::value::{Ext, Val};
use crate::lang::hir::{MetricId, MetricKind};
use crate::trace::catalogue::Key;

impl Engine<'_> {
    /// Nearest rank over the values of the other keys that differ from this one in nothing but `across`.
    /// Peers with nothing to measure do not count; those that are known in bounds bound the result.
    pub(super) fn peers(&self, of: MetricId, (p, q): (u32, u32), across: &[Key], key: KeyVal) -> Val {
        let metric = &self.program.metrics[of.0 as usize];
        let (MetricKind::Stat { sel, .. } | MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. }) =
            &metric.kind
        else {
            return Val::unknown(Reason::new(Lack::Partial, "only statistics of events have peers"));
        };
        let own = key.project(&metric.key);
        let whom = whom(sel);
        let mut keys: BTreeSet<KeyVal> = self.groups(&whom, &metric.key).iter().map(|g| g.key).collect();
        for counted in self.counted_keys(&whom, &metric.key) {
            let peer = counted.is_of_unstored() || counted.is_peer_of(own, &metric.key, across);
            if keys.insert(counted) && counted.is_finer_than_counts() && peer && counted != own {
                let text = "some calls were only counted, and counts do not tell which peers made them";
                return Val::unknown(Reason::new(Lack::Partial, text));
            }
        }
        let peers = keys.into_iter();
        let peers = peers.filter(|k| *k != own && k.is_peer_of(own, &metric.key, across));
        let values: Vec<Val> = peers.map(|k| self.cell(of, k).all).filter(|v| !v.empty).collect();
        if values.is_empty() {
            return Val::unknown(Reason::new(Lack::Few, "there is no peer to compare with"));
        }
        let n = values.len() as u64;
        let rank = (n * u64::from(p)).div_ceil(u64::from(q.max(1))).clamp(1, n);
        let at = usize::try_from(rank - 1).unwrap_or(0);
        let end = |f: fn(&Val) -> Ext| {
            let mut ends: Vec<Ext> = values.iter().map(f).collect();
            ends.sort_unstable();
            ends[at]
        };
        let why = values.iter().filter_map(|v| v.why.clone()).min();
        let why = why.unwrap_or_else(|| Reason::new(Lack::Partial, "a peer is not known exactly"));
        Val::between(end(|v| v.lo), end(|v| v.hi), n, why)
    }
}
