//! From checked rules to what has to be read: the operations and columns that some rule names.
//!
//! Knows rules and the catalogue, never a trace.

pub mod budget;
mod part;

use std::collections::{BTreeMap, BTreeSet};

use crate::lang::hir::{Base, Cond, MetricKind, Program, Rule, Selector, Stat};
use crate::lang::walk;
use crate::trace::Needs;
use crate::trace::catalogue::{Anchor, Field, Key, Op, Source, State};

pub use part::part;

/// What the rules of a program need of a file.
///
/// Runtime and driver calls and off-CPU time are always read: verdicts stored in a file are compared
/// with them, whatever the rules speak of.
pub fn needs(program: &Program) -> Needs {
    let mut needs = asked(program);
    needs.merge(&stored());
    needs
}

/// What verdicts stored in a file are compared with.
pub fn stored() -> Needs {
    let mut needs = Needs::nothing();
    for op in Op::all() {
        if matches!(op.def().source, Source::Cuda | Source::Driver) || op.is("off_cpu") {
            needs.add(op);
        }
    }
    needs
}

/// What the rules themselves need, and the runtime calls: driver calls inside of them count once.
pub fn asked(program: &Program) -> Needs {
    let mut needs = named(program);
    Op::all()
        .filter(|o| o.def().source == Source::Cuda)
        .for_each(|o| needs.add(o));
    needs
}

/// What the rules speak of.
fn named(program: &Program) -> Needs {
    let mut needs = Needs::nothing();
    for m in &program.metrics {
        match &m.kind {
            MetricKind::Stat { sel, stat, .. } | MetricKind::Trend { sel, stat, .. } => {
                selector(sel, &mut needs);
                if let Stat::Distinct(f) = stat {
                    field(*f, &mut needs);
                }
            }
            MetricKind::Share { sel, .. } => selector(sel, &mut needs),
            MetricKind::Covered { a, b, .. } | MetricKind::Lift { a, b, .. } => {
                selector(a, &mut needs);
                selector(b, &mut needs);
            }
            MetricKind::System { .. } | MetricKind::Fact(_) | MetricKind::Peer { .. } => {}
        }
    }
    for s in &program.segments {
        cond(&s.cond, &mut needs);
    }
    for rule in &program.rules {
        for c in rule.conditions() {
            cond(c, &mut needs);
        }
        for k in &rule.key {
            match k {
                Key::Stream => needs.stream = true,
                Key::Gpu => needs.gpu = true,
                Key::Rank => needs.rank = true,
                Key::Cgroup => needs.cgroup = true,
                _ => {}
            }
        }
    }
    needs
}

fn cond(c: &Cond, needs: &mut Needs) {
    match c {
        Cond::Exists { sel, .. } | Cond::State { sel, .. } => selector(sel, needs),
        other => other.parts().into_iter().for_each(|c| cond(c, needs)),
    }
}

fn selector(sel: &Selector, needs: &mut Needs) {
    let off_cpu = |needs: &mut Needs| Op::all().filter(|o| o.is("off_cpu")).for_each(|o| needs.add(o));
    match &sel.base {
        Base::Ops(ops) => {
            for o in ops {
                needs.add(*o);
            }
            // What a child did is told by when it was off its CPU.
            if ops.iter().any(|o| o.def().name == "child_working") {
                off_cpu(needs);
            }
        }
        Base::State(_) => off_cpu(needs),
        Base::Gap(inner) | Base::DrainedGap(inner) | Base::Slump(inner) => selector(inner, needs),
        Base::BusySeconds => Op::family(Source::Gpu, "launch").into_iter().for_each(|o| needs.add(o)),
    }
    let mut fields = BTreeSet::new();
    sel.filters.iter().for_each(|f| walk::fields(f, &mut fields));
    for f in fields {
        field(f, needs);
    }
}

fn field(f: Field, needs: &mut Needs) {
    match f {
        Field::Ret => needs.ret = true,
        Field::Stream => needs.stream = true,
        Field::Gpu => needs.gpu = true,
        Field::Rank => needs.rank = true,
        Field::Cgroup => needs.cgroup = true,
        Field::Frontend => Op::by_name(Source::Net, "net_send")
            .into_iter()
            .for_each(|o| needs.add(o)),
        Field::InRequest => Op::by_name(Source::Request, "open")
            .into_iter()
            .for_each(|o| needs.add(o)),
        // Launches between syncs of either kind are counted.
        Field::SinceSync => Op::all()
            .filter(|o| o.is("launch") || o.is("sync"))
            .for_each(|o| needs.add(o)),
        _ => {}
    }
}

/// What one rule needs of a trace, by name, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleNeeds {
    /// Operations by source, as stored or derived. `sched` holds parts of off-CPU time.
    pub ops: BTreeMap<Source, BTreeSet<&'static str>>,
    /// Fields of events that its filters look at.
    pub fields: BTreeSet<Field>,
    /// Columns of the host's snapshots.
    pub system: BTreeSet<&'static str>,
    /// Facts about the recording.
    pub facts: BTreeSet<&'static str>,
    /// Some part of off-CPU time, which takes run states or wake-ups.
    pub run_state: bool,
    /// A percentile, a gap or another thing that takes every event: counts are not enough.
    pub every_event: bool,
}

/// What a rule needs for its verdict, its severity and its texts.
pub fn of_rule(program: &Program, rule: &Rule) -> RuleNeeds {
    let mut out = RuleNeeds::default();
    for cond in rule.conditions() {
        for sel in walk::selectors(program, cond) {
            out.selector(sel);
        }
        let mut ids = Vec::new();
        walk::cond_metrics(cond, &mut ids);
        for m in ids.iter().filter_map(|id| program.metrics.get(id.0 as usize)) {
            match &m.kind {
                MetricKind::Stat { stat, over, .. } => {
                    if let Stat::Distinct(f) = stat {
                        out.fields.insert(*f);
                    }
                    let counted = matches!(
                        stat,
                        Stat::Count | Stat::Rate | Stat::Sum | Stat::Bytes | Stat::Min | Stat::Max | Stat::Avg
                    );
                    out.every_event |= !counted || over.is_some();
                }
                MetricKind::System { field, .. } => {
                    out.system.insert(field.def().0);
                }
                MetricKind::Fact(fact) => {
                    out.facts.insert(fact.def().0);
                }
                MetricKind::Covered { .. } | MetricKind::Lift { .. } => out.every_event = true,
                MetricKind::Share { .. } | MetricKind::Trend { .. } | MetricKind::Peer { .. } => {}
            }
        }
    }
    out
}

impl RuleNeeds {
    fn selector(&mut self, sel: &Selector) {
        let mut add = |op: &Op| {
            let d = op.def();
            self.ops.entry(d.source).or_default().insert(d.name);
        };
        match &sel.base {
            Base::Ops(ops) => ops.iter().for_each(&mut add),
            Base::State(s) => {
                self.ops.entry(Source::Sched).or_default().insert(s.name());
                self.run_state |= *s != State::OffCpu;
            }
            Base::BusySeconds => Op::family(Source::Gpu, "launch").iter().for_each(&mut add),
            Base::Gap(_) | Base::DrainedGap(_) | Base::Slump(_) => self.every_event = true,
        }
        if let Base::Ops(ops) = &sel.base {
            // What the reader derives comes from annotations, process life and the first calls.
            self.every_event |= ops.iter().any(|o| o.def().anchor != Anchor::Derived) && !sel.filters.is_empty();
        }
        for f in &sel.filters {
            walk::fields(f, &mut self.fields);
        }
    }
}
