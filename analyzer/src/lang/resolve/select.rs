//! Selections: `source[.op][filter][(keys)]@segment`, and their statistics.

use super::super::ast::{Expr, Name};
use super::super::diagnostic::Code;
use super::super::hir::{Base, MetricKind, Segment, SegmentDef, SegmentId, Selector, Stat, Window};
use super::super::limits;
use super::super::suggest::nearest;
use super::keys::base_has_key;
use super::scope::{Checker, Left, Number, Proto, Scope, SegmentProto, Term};
use super::{R, Reported};
use crate::source::Span;
use crate::trace::catalogue::{Anchor, FIELDS, Field, Key, OPS, Op, Source, State, SystemField, TraceFact};
use crate::unit::Dim;

/// Statistics by name; percentiles are tokens of their own.
pub(in crate::lang) const STATS: &[(&str, Stat)] = &[
    ("count", Stat::Count),
    ("rate", Stat::Rate),
    ("sum", Stat::Sum),
    ("bytes", Stat::Bytes),
    ("throughput", Stat::Throughput),
    ("min", Stat::Min),
    ("max", Stat::Max),
    ("avg", Stat::Avg),
    ("stddev", Stat::Stddev),
    ("busy", Stat::Busy),
    ("first", Stat::First),
    ("last", Stat::Last),
];

/// Names of statistics, with `distinct` and an example of a percentile.
pub(super) fn stat_names() -> Vec<&'static str> {
    STATS
        .iter()
        .map(|(n, _)| *n)
        .chain(["distinct(field)", "p50", "p99"])
        .collect()
}

pub(super) fn stat_by_name(name: &str) -> Option<Stat> {
    STATS.iter().find(|(n, _)| *n == name).map(|(_, s)| *s)
}

/// A statistic as rules write it.
pub(crate) fn stat_text(s: Stat) -> String {
    match s {
        Stat::Pct(n, d) => pct_text(n, d),
        Stat::Distinct(f) => format!("distinct({})", f.def().name),
        other => STATS
            .iter()
            .find(|(_, s)| *s == other)
            .map_or("", |(n, _)| n)
            .to_owned(),
    }
}

/// `p99.9` from its share.
pub(super) fn pct_text(n: u32, d: u32) -> String {
    let scale = d / 100;
    if scale <= 1 {
        return format!("p{n}");
    }
    let width = scale.to_string().len() - 1;
    format!("p{}.{:0width$}", n / scale, n % scale)
}

/// The dimension of a statistic.
fn stat_dim(s: Stat) -> Dim {
    match s {
        Stat::Count | Stat::Busy | Stat::Distinct(_) => Dim::NONE,
        Stat::Rate => Dim::RATE,
        Stat::Bytes => Dim::BYTES,
        Stat::Throughput => Dim::THROUGHPUT,
        Stat::Sum | Stat::Min | Stat::Max | Stat::Avg | Stat::Pct(..) | Stat::Stddev | Stat::First | Stat::Last => {
            Dim::TIME
        }
    }
}

/// A selection of events, before a statistic is asked of it.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub(super) sel: Selector,
    /// Nothing but a source was named, and it has several operations.
    pub(super) bare: bool,
    /// `pooled(x)`: one distribution over all operations.
    pub(super) pooled: bool,
    /// Whether an operation was named.
    pub(super) named: bool,
    pub(super) keys: Option<Vec<Key>>,
    pub(super) segment: Option<Segment>,
    pub(super) over: Option<Window>,
    pub(super) text: String,
    pub(super) span: Span,
}

impl Selection {
    /// Whether it consists of stints rather than of events.
    pub(super) fn is_state(&self) -> bool {
        matches!(
            self.sel.base,
            Base::State(_) | Base::Gap(_) | Base::DrainedGap(_) | Base::Slump(_)
        )
    }

    /// Whether it consists of operations that the reader derives.
    pub(super) fn is_derived(&self) -> bool {
        match &self.sel.base {
            Base::Ops(ops) => ops.iter().all(|o| o.def().anchor == Anchor::Derived),
            Base::BusySeconds => true,
            _ => false,
        }
    }

    pub(super) fn ops(&self) -> Option<Vec<Op>> {
        match &self.sel.base {
            Base::Ops(ops) => Some(ops.clone()),
            _ => None,
        }
    }

    /// Whether its events carry the field.
    pub(super) fn has_field(&self, f: Field) -> bool {
        match &self.sel.base {
            Base::Ops(_) => f.on(self.sel.source),
            Base::State(_) => f.on(self.sel.source) && f != Field::Op,
            _ => matches!(
                f,
                Field::Pid
                    | Field::Tid
                    | Field::Process
                    | Field::Thread
                    | Field::Duration
                    | Field::Launcher
                    | Field::MainThread
                    | Field::InRequest
            ),
        }
    }

    /// Fields that a filter may name, in the order of the catalogue.
    pub(super) fn field_names(&self) -> Vec<&'static str> {
        FIELDS
            .iter()
            .filter(|d| self.has_field(d.field))
            .map(|d| d.name)
            .collect()
    }

    pub(super) fn term(&self, per_op: bool, text: String, span: Span) -> Term {
        Term {
            source: self.sel.source,
            ops: self.ops(),
            keys: self.keys.clone(),
            per_op,
            text,
            span,
        }
    }
}

/// Names of the operations, families and measures of a source.
pub(in crate::lang) fn op_names(source: Source) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    if source == Source::Sched {
        names.extend(State::ALL.iter().map(|(_, n)| *n));
    }
    if source == Source::Gpu {
        names.push("busy_seconds");
    }
    let of_source = || OPS.iter().filter(|d| source.holds(d.source));
    for d in of_source() {
        for f in d.families {
            if !names.contains(f) {
                names.push(f);
            }
        }
    }
    names.extend(of_source().map(|d| d.name));
    names
}

/// The short list for messages: measures and families, or all operations where there are none.
fn short_op_names(source: Source) -> Vec<&'static str> {
    let all = op_names(source);
    let families: Vec<_> = all
        .iter()
        .copied()
        .filter(|n| !OPS.iter().any(|d| d.name == *n && !d.families.is_empty()))
        .collect();
    if families.len() >= 2 { families } else { all }
}

impl Checker<'_> {
    /// A source on its own.
    pub(super) fn bare_source(source: Source, span: Span) -> Selection {
        let mut ops = source.bare_ops();
        if ops.is_empty() {
            // Sources of derived operations: one of them needs no name.
            let derived: Vec<Op> = Op::all().filter(|o| o.def().source == source).collect();
            if derived.len() == 1 {
                ops = derived;
            }
        }
        Selection {
            bare: ops.len() > 1,
            sel: Selector {
                source,
                base: Base::Ops(ops),
                filters: Vec::new(),
            },
            pooled: false,
            named: false,
            keys: None,
            segment: None,
            over: None,
            text: source.name().to_owned(),
            span,
        }
    }

    /// A selection that will be used must select something.
    pub(super) fn settled(&mut self, s: Selection) -> R<Selection> {
        if matches!(&s.sel.base, Base::Ops(ops) if ops.is_empty()) {
            let source = s.sel.source;
            let names: Vec<String> = op_names(source)
                .iter()
                .map(|n| format!("{}.{n}", source.name()))
                .collect();
            let d = self
                .diag(
                    Code::UnknownOp,
                    s.span,
                    format!("`{}` needs an operation", source.name()),
                )
                .help(format!("operations: {}", names.join(", ")));
            return self.fail(d);
        }
        Ok(s)
    }

    /// `.name` after a selection, where it names an operation.
    pub(super) fn operation(s: &Selection, name: &Name) -> Option<Selection> {
        if s.named {
            return None;
        }
        let source = s.sel.source;
        let base = if source == Source::Sched
            && let Some(state) = State::by_name(&name.text)
        {
            Base::State(state)
        } else if source == Source::Gpu && name.text == "busy_seconds" {
            Base::BusySeconds
        } else {
            let family = Op::family(source, &name.text);
            if !family.is_empty() {
                Base::Ops(family)
            } else if let Some(op) = Op::by_name(source, &name.text) {
                Base::Ops(vec![op])
            } else {
                return None;
            }
        };
        Some(Selection {
            sel: Selector {
                source,
                base,
                filters: s.sel.filters.clone(),
            },
            bare: false,
            named: true,
            text: format!("{}.{}", s.text, name.text),
            span: s.span.to(name.span),
            ..s.clone()
        })
    }

    /// `.name` that is neither operation nor statistic.
    pub(super) fn unknown_member<T>(&mut self, s: &Selection, name: &Name) -> R<T> {
        let written = name.text.as_str();
        let stats = stat_names();
        if let Some(right) = stat_habit(written) {
            let d = self
                .diag(Code::UnknownStat, name.span, format!("unknown statistic `{written}`"))
                .help(format!("did you mean `{right}`?"))
                .edit(name.span, right);
            return self.fail(d);
        }
        if let Some(f) = Field::by_name(written)
            && s.has_field(f)
        {
            let help = if f == Field::Duration {
                format!(
                    "compare the events themselves (`{} > 5ms`), or ask for a statistic: sum, max, p99",
                    s.text
                )
            } else {
                format!("fields go into a filter: `{}[{written} …]`", s.text)
            };
            let d = self
                .diag(
                    Code::UnknownStat,
                    name.span,
                    format!("`{written}` is a field, not an operation or statistic"),
                )
                .help(help);
            return self.fail(d);
        }
        let source = s.sel.source;
        if s.named {
            let d = self
                .diag(
                    Code::UnknownStat,
                    name.span,
                    format!("`{}` has no statistic `{written}`", s.text),
                )
                .suggest(name.span, written, &stats, "statistics are");
            return self.fail(d);
        }
        let ops = op_names(source);
        let message = format!("`{}` has no operation `{written}`", source.name());
        let d = if nearest(written, &ops).is_none() && nearest(written, &stats).is_some() {
            self.diag(
                Code::UnknownStat,
                name.span,
                format!("`{}` has no statistic `{written}`", s.text),
            )
            .suggest(name.span, written, &stats, "statistics are")
        } else if nearest(written, &ops).is_some() {
            self.diag(Code::UnknownOp, name.span, message)
                .suggest(name.span, written, &ops, "")
        } else if let Some(other) = Source::ALL
            .into_iter()
            .find(|o| op_names(*o).iter().any(|n| n.eq_ignore_ascii_case(written)))
        {
            self.diag(Code::UnknownOp, name.span, message)
                .help(format!("`{}.{written}` exists", other.name()))
        } else {
            self.diag(Code::UnknownOp, name.span, message).suggest(
                name.span,
                written,
                &short_op_names(source),
                "operations are",
            )
        };
        self.fail(d)
    }

    /// `(keys)` after a selection.
    pub(super) fn with_keys(&mut self, s: Selection, args: &[Expr], span: Span) -> R<Selection> {
        let s = self.settled(s)?;
        let mut keys = Vec::new();
        for a in args {
            let text = self.text(a.span);
            let supported: Vec<&str> = Key::ALL
                .into_iter()
                .filter(|(k, _)| base_has_key(s.sel.source, s.ops().as_deref(), *k))
                .map(|(_, n)| n)
                .collect();
            let Some(key) = Key::by_name(&text) else {
                let d = self
                    .diag(Code::UnknownKey, a.span, format!("`{text}` is not a key"))
                    .suggest(a.span, &text, &supported, "keys here are");
                return self.fail(d);
            };
            if !supported.contains(&key.name()) {
                let d = self
                    .diag(
                        Code::UnsupportedKey,
                        a.span,
                        format!("`{}` cannot be grouped by {text}", s.text),
                    )
                    .help(format!("keys here are {}", supported.join(", ")));
                return self.fail(d);
            }
            keys.push(key);
        }
        if keys.is_empty() {
            let d = self
                .diag(Code::BadArguments, span, "the brackets name no key")
                .help("write `(pid)`, or leave the brackets out");
            return self.fail(d);
        }
        let names: Vec<&str> = keys.iter().map(|k| k.name()).collect();
        let text = format!("{}({})", s.text, names.join(", "));
        Ok(Selection {
            keys: Some(keys),
            text,
            span,
            ..s
        })
    }

    /// A segment by its name, or `before(x)`, `after(x)`, `during(x)`.
    pub(super) fn segment(&mut self, name: &Name, of: Option<&Expr>) -> R<Segment> {
        let make: Option<fn(SegmentId) -> Segment> = match name.text.as_str() {
            "before" => Some(Segment::Before),
            "after" => Some(Segment::After),
            "during" => Some(Segment::During),
            _ => None,
        };
        match (make, of) {
            (Some(make), Some(e)) => {
                let text = self.text(e.span);
                return self.segment_of(e, name, format!("{}({text})", name.text)).map(make);
            }
            (Some(_), None) => {
                let d = self
                    .diag(Code::SegmentNotHere, name.span, format!("`@{}` of what?", name.text))
                    .help(format!("as in `@{}(mem.oom)`", name.text));
                return self.fail(d);
            }
            (None, Some(e)) => {
                let known = ["before", "after", "during"];
                let d = self
                    .diag(
                        Code::UnknownSegment,
                        name.span,
                        format!("`{}` takes no condition", name.text),
                    )
                    .also(e.span, "the condition")
                    .suggest(name.span, &name.text, &known, "segments with a condition are");
                return self.fail(d);
            }
            (None, None) => {}
        }
        if let Some(s) = Segment::by_name(&name.text) {
            return Ok(s);
        }
        let scope = self.scope;
        let home = self.home(None, |s| s.segments.contains_key(name.text.as_str()));
        if let Some((home, named)) = home.and_then(|h| Some((h, h.segments.get(name.text.as_str())?))) {
            home.mark_used(&name.text);
            let id = self.at_home(home, name.span, |c| c.segment_of(&named.expr, name, name.text.clone()));
            return id.map(Segment::During);
        }
        if scope.broken.contains(name.text.as_str()) {
            return Err(Reported);
        }
        let mut known: Vec<&str> = Segment::ALL.iter().map(|(_, n)| *n).collect();
        known.extend(scope.segments.keys());
        known.extend(["before(…)", "after(…)", "during(…)"]);
        let d = self
            .diag(
                Code::UnknownSegment,
                name.span,
                format!("unknown segment `{}`", name.text),
            )
            .suggest(name.span, &name.text, &known, "segments are");
        self.fail(d)
    }

    /// The condition of a segment. It decides nothing about the rule's key, and its statistics come
    /// before those that are taken in it.
    fn segment_of(&mut self, e: &Expr, at: &Name, text: String) -> R<SegmentId> {
        if self.segments.len() >= limits::LET_DEPTH || self.in_segment {
            let d = self.diag(
                Code::TooDeep,
                at.span,
                "too many segments with conditions in each other",
            );
            return self.fail(d);
        }
        let terms = self.terms.len();
        self.in_segment = true;
        let cond = self.element(e, &format!("@{}", at.text));
        self.in_segment = false;
        self.terms.truncate(terms);
        let def = SegmentDef { cond: cond?, text };
        let known = self.segments.iter().position(|s| s.def == def);
        let at = known.unwrap_or_else(|| {
            self.segments.push(SegmentProto {
                def,
                after: self.protos.len(),
            });
            self.segments.len() - 1
        });
        Ok(SegmentId(u32::try_from(at).unwrap_or(u32::MAX)))
    }

    /// A statistic of a selection.
    pub(super) fn statistic(&mut self, s: Selection, stat: Stat, span: Span, sc: &mut Scope) -> R<Number> {
        self.spend(span)?;
        let s = self.settled(s)?;
        let source = s.sel.source;
        let shown = stat_text(stat);
        let why = match stat {
            Stat::Bytes | Stat::Throughput
                if !matches!(s.sel.base, Base::Ops(_)) || !(Field::Bytes.on(source) || source == Source::Mem) =>
            {
                Some("its events have no bytes")
            }
            Stat::Distinct(f) if !s.has_field(f) => Some("its events do not have that field"),
            _ => None,
        };
        if let Some(why) = why {
            let d = self
                .diag(
                    Code::StatNotHere,
                    span,
                    format!("`{}` has no statistic `{shown}`", s.text),
                )
                .label(why);
            return self.fail(d);
        }
        if s.over.is_some() && sc.filter.is_some() {
            let d = self.diag(
                Code::WindowNotHere,
                span,
                "a filter looks at one event; windows have no place in it",
            );
            return self.fail(d);
        }
        let per_op = s.bare && !s.pooled && stat.is_distribution();
        let text = self.metric_text(&s, &shown);
        if per_op {
            self.note(format!(
                "`{text}` names no operation, so it is taken per operation (`pooled({})` would mix them)",
                s.text
            ));
        }
        let term = s.term(per_op, text, span);
        self.terms.push(term.clone());
        let kind = MetricKind::Stat {
            sel: s.sel.clone(),
            stat,
            segment: s.segment.unwrap_or_default(),
            over: s.over,
        };
        let windows = s.over.into_iter().collect();
        let dim = stat_dim(stat);
        let value = self.proto(
            Proto {
                kind,
                term,
                dim,
                origin: Some(s),
            },
            sc,
        );
        Ok(Number { windows, ..value })
    }

    /// A metric in the author's words, completed.
    pub(super) fn metric_text(&self, s: &Selection, stat: &str) -> String {
        use std::fmt::Write as _;
        let mut text = if s.pooled {
            format!("pooled({}).{stat}", s.text)
        } else {
            format!("{}.{stat}", s.text)
        };
        if let Some(seg) = s.segment {
            text.push('@');
            text.push_str(&self.segment_name(seg));
        }
        if let Some(w) = s.over {
            let _ = write!(text, " over {}", crate::unit::show_dur(w.len_ns));
        }
        text
    }

    /// The name of a segment, as it is written.
    pub(super) fn segment_name(&self, s: Segment) -> String {
        if let Segment::Before(id) | Segment::After(id) | Segment::During(id) = s {
            return self
                .segments
                .get(id.0 as usize)
                .map_or_else(String::new, |p| p.def.text.clone());
        }
        let known = Segment::ALL.iter().find(|(k, _)| *k == s);
        known.map_or("", |(_, n)| n).to_owned()
    }

    /// Takes a metric into the rule's list.
    pub(super) fn proto(&mut self, p: Proto, sc: &mut Scope) -> Number {
        use super::super::hir::{MetricId, Value};
        let index = self.protos.len();
        let dim = p.dim;
        if p.origin.is_some() {
            sc.left.push(Left::Proto(index));
        }
        self.protos.push(p);
        Number {
            value: Value::Metric(MetricId(u32::try_from(index).unwrap_or(u32::MAX))),
            dim,
            bare: false,
            windows: Vec::new(),
        }
    }

    /// A statistic without a source: taken of what stands to its left.
    ///
    /// With a segment of its own it does not take over the window.
    pub(super) fn bare_statistic(&mut self, stat: Stat, own: Option<Segment>, span: Span, sc: &mut Scope) -> R<Number> {
        let shown = stat_text(stat);
        let origin = if let Some(s) = &sc.filter {
            s.clone()
        } else {
            let mut candidates: Vec<Selection> = Vec::new();
            for l in sc.left.iter().rev() {
                let s = match l {
                    Left::Selection(s) => Some(s.clone()),
                    Left::Proto(i) => self.protos.get(*i).and_then(|p| p.origin.clone()),
                };
                let Some(s) = s else { continue };
                let same = |c: &Selection| {
                    c.sel == s.sel
                        && c.keys == s.keys
                        && c.segment == s.segment
                        && c.over == s.over
                        && c.pooled == s.pooled
                };
                if !candidates.iter().any(same) {
                    candidates.push(s);
                }
            }
            match candidates.as_slice() {
                [one] => one.clone(),
                [] => {
                    let d = self
                        .diag(
                            Code::NoNeighbour,
                            span,
                            format!("`{shown}` has no metric to its left in this comparison"),
                        )
                        .label("a statistic of what?")
                        .help(format!("say of what: `cuda.launch.{shown}`"));
                    return self.fail(d);
                }
                [first, rest @ ..] => {
                    let list: Vec<String> = std::iter::once(first)
                        .chain(rest)
                        .map(|s| format!("`{}.{shown}`", s.text))
                        .collect();
                    let mut d = self
                        .diag(
                            Code::ManyNeighbours,
                            span,
                            format!("`{shown}` could belong to {} metrics", list.len()),
                        )
                        .help(format!("write {}", list.join(" or ")))
                        .edit(span, format!("{}.{shown}", first.text));
                    for s in std::iter::once(first).chain(rest).rev() {
                        d = d.also(s.span, "a candidate");
                    }
                    return self.fail(d);
                }
            }
        };
        let s = Selection {
            segment: own.or(origin.segment),
            over: if own.is_some() { None } else { origin.over },
            ..origin
        };
        let text = self.metric_text(&s, &shown);
        self.note(format!("`{}` is read as `{text}`", self.text(span)));
        if !self.inherited.iter().any(|(at, _)| *at == span) {
            self.inherited.push((span, text));
        }
        // What it takes over is a candidate already: it must not become a second one.
        let keep = sc.left.clone();
        let n = self.statistic(s, stat, span, sc);
        sc.left = keep;
        n
    }

    /// `system.field`
    pub(super) fn system_field(&mut self, name: &Name) -> R<SystemField> {
        if let Some(f) = SystemField::by_name(&name.text) {
            return Ok(f);
        }
        let known: Vec<&str> = SystemField::ALL.iter().map(|e| e.1).collect();
        let d = self
            .diag(
                Code::UnknownOp,
                name.span,
                format!("`system` has no column `{}`", name.text),
            )
            .suggest(name.span, &name.text, &known, "columns are");
        self.fail(d)
    }

    /// A statistic over snapshots.
    pub(super) fn system_stat(&mut self, f: SystemField, stat: Stat, span: Span, sc: &mut Scope) -> R<Number> {
        self.spend(span)?;
        let (name, dim) = f.def();
        let shown = stat_text(stat);
        if !matches!(
            stat,
            Stat::Min | Stat::Max | Stat::Avg | Stat::First | Stat::Last | Stat::Pct(..)
        ) {
            let d = self
                .diag(
                    Code::StatNotHere,
                    span,
                    format!("snapshots have no statistic `{shown}`"),
                )
                .help("statistics of a snapshot column are min, max, avg, first, last and percentiles");
            return self.fail(d);
        }
        let term = node_term(Source::System, format!("system.{name}.{shown}"), span);
        self.terms.push(term.clone());
        let kind = MetricKind::System {
            field: f,
            stat,
            segment: Segment::Trace,
        };
        Ok(self.proto(
            Proto {
                kind,
                term,
                dim,
                origin: None,
            },
            sc,
        ))
    }

    /// `trace.fact`
    pub(super) fn fact(&mut self, name: &Name, span: Span, sc: &mut Scope) -> R<Number> {
        self.spend(span)?;
        let Some(fact) = TraceFact::by_name(&name.text) else {
            let known: Vec<&str> = TraceFact::ALL.iter().map(|e| e.1).collect();
            let d = self
                .diag(
                    Code::UnknownOp,
                    name.span,
                    format!("the recording has no fact `{}`", name.text),
                )
                .suggest(name.span, &name.text, &known, "facts are");
            return self.fail(d);
        };
        let (text, dim) = fact.def();
        let term = node_term(Source::Trace, format!("trace.{text}"), span);
        self.terms.push(term.clone());
        Ok(self.proto(
            Proto {
                kind: MetricKind::Fact(fact),
                term,
                dim,
                origin: None,
            },
            sc,
        ))
    }

    /// A field by its name, on a selection that has it.
    pub(super) fn field(&mut self, s: &Selection, name: &str, span: Span) -> R<Field> {
        match Field::by_name(name) {
            Some(f) if s.has_field(f) => Ok(f),
            Some(_) => {
                let d = self
                    .diag(
                        Code::FieldNotHere,
                        span,
                        format!("events of `{}` have no field `{name}`", s.text),
                    )
                    .help(format!("their fields are {}", s.field_names().join(", ")));
                self.fail(d)
            }
            None => {
                let known = s.field_names();
                let d = self
                    .diag(Code::UnknownField, span, format!("unknown field `{name}`"))
                    .suggest(span, name, &known, &format!("fields of `{}`", s.text));
                self.fail(d)
            }
        }
    }

    /// Reports that nothing was found; for results that are known to be errors.
    pub(super) fn gone<T>(&self) -> R<T> {
        debug_assert!(!self.diagnostics.is_empty(), "a reason was reported");
        Err(Reported)
    }
}

fn node_term(source: Source, text: String, span: Span) -> Term {
    Term {
        source,
        ops: None,
        keys: None,
        per_op: false,
        text,
        span,
    }
}

/// Names that other tools use.
fn stat_habit(written: &str) -> Option<&'static str> {
    Some(match written {
        "mean" | "average" => "avg",
        "median" => "p50",
        "total" => "sum",
        "std" | "stdev" => "stddev",
        "longest" | "maximum" => "max",
        "shortest" | "minimum" => "min",
        "num" | "n" | "cnt" => "count",
        "bandwidth" => "throughput",
        "freq" | "frequency" => "rate",
        _ => return None,
    })
}
