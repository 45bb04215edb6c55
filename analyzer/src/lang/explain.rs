//! A rule in English: what it asks, how it is computed, and every default that applied.

use std::fmt::Write as _;

use super::hir::{
    Arith, Base, CmpOp, Cond, Filter, Metric, MetricKind, Part, Program, Rule, Scope, Segment, SegmentId, Selector,
    Side, Stat, Template, Trend, Value,
};
use crate::trace::catalogue::{FieldType, Key, Op, Source};
use crate::unit::{Dim, Num, Style, show, show_dur};

/// The rule in words, its plan, and its defaults.
pub fn rule(program: &Program, rule: &Rule) -> String {
    let w = Words { program };
    let mut out = String::new();
    let _ = writeln!(out, "{}  ({})", rule.name, rule.id);
    for text in [&rule.title, &rule.about] {
        if !text.is_empty() {
            let _ = writeln!(out, "{text}");
        }
    }
    let _ = writeln!(out, "\n  when {}\n", rule.text);
    let _ = writeln!(out, "For every {}, it fires when", keys(&rule.key));
    w.cond(&mut out, &rule.cond, 1);

    let _ = writeln!(out, "\nSeverity");
    if rule.severity.is_empty() {
        let _ = writeln!(out, "  medium");
    }
    for (s, c) in &rule.severity {
        match c {
            None => {
                let _ = writeln!(out, "  {}", s.name());
            }
            Some(c) => {
                let _ = writeln!(out, "  {} when", s.name());
                w.cond(&mut out, c, 2);
            }
        }
    }
    if let Some(v) = &rule.impact {
        let _ = writeln!(out, "Impact\n  {}", w.value(v, Dim::TIME));
    }
    w.texts(&mut out, "Message", &rule.messages);
    w.texts(&mut out, "Fix", &rule.fixes);
    for e in &rule.excepts {
        let until = e
            .until
            .map(|d| format!(", for traces that end by {}", crate::unit::show_day(d)));
        let _ = writeln!(out, "Except ({}{}) when", e.why, until.unwrap_or_default());
        w.cond(&mut out, &e.cond, 1);
    }
    if !rule.refuted_by.is_empty() {
        let _ = writeln!(out, "Refuted by\n  {}", rule.refuted_by);
    }
    if !rule.explains.is_empty() {
        let _ = writeln!(out, "Explains overlapping {}", rule.explains.join(", "));
    }
    w.plan(&mut out, rule);
    if !rule.defaults.is_empty() {
        let _ = writeln!(out, "\nFilled in");
        for d in &rule.defaults {
            let _ = writeln!(out, "  - {d}");
        }
    }
    out
}

/// A condition in words, several lines: equal ones read the same.
pub(super) fn condition(program: &Program, c: &Cond) -> String {
    let mut out = String::new();
    Words { program }.cond(&mut out, c, 0);
    out
}

/// A selection in words, on one line.
pub(super) fn selection(program: &Program, s: &Selector) -> String {
    Words { program }.selector(s)
}

/// A filter in words.
pub(super) fn filter(program: &Program, f: &Filter) -> String {
    Words { program }.filter(f)
}

/// `(node, pid, op)` in words.
fn keys(list: &[Key]) -> String {
    let words: Vec<&str> = list
        .iter()
        .map(|k| match k {
            Key::Node => "node",
            Key::Pid => "process",
            Key::Tid => "thread",
            Key::Op => "operation",
            Key::Stream => "stream",
            Key::Gpu => "GPU",
            Key::Rank => "rank",
            Key::Cgroup => "cgroup",
            Key::Process => "process name",
            Key::SizeClass => "size class",
            Key::Tree => "process tree",
            Key::Comm => "thread name",
        })
        .collect();
    words.join(" and ")
}

fn stat(s: Stat) -> String {
    match s {
        Stat::Count => "the number".to_owned(),
        Stat::Rate => "the number per second".to_owned(),
        Stat::Sum => "the summed duration".to_owned(),
        Stat::Bytes => "the summed bytes".to_owned(),
        Stat::Throughput => "the bytes per time".to_owned(),
        Stat::Min => "the shortest duration".to_owned(),
        Stat::Max => "the longest duration".to_owned(),
        Stat::Avg => "the mean duration".to_owned(),
        Stat::Pct(1, 2) | Stat::Pct(50, 100) => "the median duration".to_owned(),
        Stat::Pct(n, d) => {
            let n = Num::ratio(i128::from(n) * 100, i128::from(d)).unwrap_or(Num::ZERO);
            format!("the duration that {} % do not exceed", crate::unit::digits(n.to_f64()))
        }
        Stat::Stddev => "the standard deviation of the durations".to_owned(),
        Stat::Busy => "the share of time with at least one in progress".to_owned(),
        Stat::Distinct(f) => format!("the number of different values of `{}`", f.def().name),
        Stat::First => "the first duration".to_owned(),
        Stat::Last => "the last duration".to_owned(),
    }
}

fn relation(op: CmpOp) -> &'static str {
    match op {
        CmpOp::Gt => "is more than",
        CmpOp::Ge => "is at least",
        CmpOp::Lt => "is less than",
        CmpOp::Le => "is at most",
        CmpOp::Eq => "is",
        CmpOp::Ne => "is not",
    }
}

struct Words<'a> {
    program: &'a Program,
}

impl Words<'_> {
    fn metric(&self, id: super::hir::MetricId) -> Option<&Metric> {
        self.program.metrics.get(id.0 as usize)
    }

    fn segment(&self, s: Segment) -> String {
        let text = |id: SegmentId| self.program.segments.get(id.0 as usize).map_or("", |d| d.text.as_str());
        match s {
            Segment::Trace => String::new(),
            Segment::FirstHalf => " in the first half of the key's life".to_owned(),
            Segment::SecondHalf => " in the second half of the key's life".to_owned(),
            Segment::Warmup => " during warm-up".to_owned(),
            Segment::Steady => " in steady state".to_owned(),
            Segment::Before(id) | Segment::After(id) | Segment::During(id) => format!(" in the part {}", text(id)),
        }
    }

    fn cond(&self, out: &mut String, c: &Cond, depth: usize) {
        let pad = "  ".repeat(depth);
        match c {
            Cond::Compare {
                op, left, right, dim, ..
            } => {
                let (l, r) = (self.value(left, *dim), self.value(right, *dim));
                let _ = writeln!(out, "{pad}{l} {} {r}", relation(*op));
            }
            Cond::Exists { sel, .. } => {
                let _ = writeln!(out, "{pad}there is one of {}", self.selector(sel));
            }
            Cond::State { sel, op, bound, .. } => {
                let _ = writeln!(
                    out,
                    "{pad}one of {} (near the other terms: their sum in one thread) {} {}",
                    self.selector(sel),
                    relation(*op),
                    self.value(bound, Dim::TIME)
                );
            }
            Cond::Not(a) => {
                let _ = writeln!(out, "{pad}it does not hold that");
                self.cond(out, a, depth + 1);
            }
            Cond::And(list) => self.group(out, "all of", list, depth),
            Cond::Or(list) => self.group(out, "any of", list, depth),
            Cond::Unless(a, b) => {
                self.cond(out, a, depth);
                let _ = writeln!(out, "{pad}unless");
                self.cond(out, b, depth + 1);
            }
            Cond::Within {
                terms, within_ns, side, ..
            } => {
                let d = show_dur(*within_ns);
                let head = match side {
                    Side::Around => format!("all of these, with witnesses no further than {d} from each other:"),
                    Side::Before => {
                        format!("the first of these, and each other before it, ending at most {d} earlier:")
                    }
                    Side::After => format!("the first of these, and each other after it, at most {d} after it ends:"),
                };
                self.group(out, &head, terms, depth);
            }
            Cond::Then { terms, hops, .. } => {
                for (i, c) in terms.iter().enumerate() {
                    if let Some(hop) = i.checked_sub(1).and_then(|i| hops.get(i)) {
                        let _ = match hop {
                            Some(d) => writeln!(out, "{pad}then, at most {} after that ends", show_dur(*d)),
                            None => writeln!(out, "{pad}then, at any time later"),
                        };
                    }
                    self.cond(out, c, depth + usize::from(i > 0));
                }
            }
            Cond::Without {
                cond,
                absent,
                within_ns,
                side,
                ..
            } => {
                self.cond(out, cond, depth);
                let place = match side {
                    Side::Around => "before or after it",
                    Side::Before => "before it",
                    Side::After => "after it",
                };
                let _ = writeln!(
                    out,
                    "{pad}and in the {} {place}, as far as was observed, not",
                    show_dur(*within_ns)
                );
                self.cond(out, absent, depth + 1);
            }
            Cond::During { inner, outer, .. } => {
                self.cond(out, inner, depth);
                let _ = writeln!(out, "{pad}inside the time in which");
                self.cond(out, outer, depth + 1);
            }
            Cond::Lasting { cond, at_least_ns, .. } => {
                let _ = writeln!(out, "{pad}for at least {} without a break", show_dur(*at_least_ns));
                self.cond(out, cond, depth + 1);
            }
        }
    }

    fn group(&self, out: &mut String, head: &str, list: &[Cond], depth: usize) {
        let _ = writeln!(out, "{}{head}", "  ".repeat(depth));
        for c in list {
            self.cond(out, c, depth + 1);
        }
    }

    fn value(&self, v: &Value, dim: Dim) -> String {
        match v {
            Value::Num(n) => show(*n, dim, Style::Auto),
            Value::Metric(id) => self.metric(*id).map_or_else(String::new, |m| self.kind(&m.kind)),
            Value::Field(f) => format!("its {}", f.def().name),
            Value::Neg(a) => format!("-({})", self.value(a, dim)),
            Value::Arith(op, a, b) => {
                let sign = match op {
                    Arith::Add => "+",
                    Arith::Sub => "-",
                    Arith::Mul => "x",
                    Arith::Div => "/",
                };
                // A factor has no unit, whatever the product has.
                let part = |v: &Value| match v {
                    Value::Num(n) if matches!(op, Arith::Mul | Arith::Div) => show(*n, Dim::NONE, Style::Auto),
                    v => self.value(v, dim),
                };
                format!("{} {sign} {}", part(a), part(b))
            }
        }
    }

    fn kind(&self, k: &MetricKind) -> String {
        match k {
            MetricKind::Stat {
                sel,
                stat: s,
                segment: seg,
                over,
            } => {
                let windows = over.map_or_else(String::new, |w| {
                    format!(" in windows of {} every {}", show_dur(w.len_ns), show_dur(w.every_ns))
                });
                format!("{} of {}{}{windows}", stat(*s), self.selector(sel), self.segment(*seg))
            }
            MetricKind::Covered {
                a,
                b,
                scope,
                segment: seg,
            } => format!(
                "the share of the time of {} that lies inside {} {}{}",
                self.selector(a),
                self.selector(b),
                whose(*scope),
                self.segment(*seg)
            ),
            MetricKind::Lift { a, b, scope } => format!(
                "how many times more of the time of {} lies inside {} {} than chance would put there",
                self.selector(a),
                self.selector(b),
                whose(*scope)
            ),
            MetricKind::Share { sel, segment: seg } => format!(
                "the share that {} have of all such events{}",
                self.selector(sel),
                self.segment(*seg)
            ),
            MetricKind::Trend {
                trend,
                sel,
                stat: s,
                from,
                to,
            } if (*from, *to) != (Segment::FirstHalf, Segment::SecondHalf) => {
                let word = match trend {
                    Trend::Drop => "how far the value falls below the baseline of",
                    Trend::Rise => "how far the value rises above the baseline of",
                    Trend::Change => "how far the value differs from the baseline of",
                };
                let (from, to) = (self.segment(*from), self.segment(*to));
                let what = format!("{} of {}", stat(*s), self.selector(sel));
                format!("{word} {what}: the baseline{from}, the value{to}")
            }
            MetricKind::Trend {
                trend, sel, stat: s, ..
            } => {
                let word = match trend {
                    Trend::Drop => "how far the second half falls below the first in",
                    Trend::Rise => "how far the second half rises above the first in",
                    Trend::Change => "how far the second half differs from the first in",
                };
                format!("{word} {} of {}", stat(*s), self.selector(sel))
            }
            MetricKind::System {
                field,
                stat: s,
                segment: seg,
            } => {
                let word = super::resolve::stat_text(*s);
                format!(
                    "the {word} of `system.{}` over the snapshots{}",
                    field.def().0,
                    self.segment(*seg)
                )
            }
            MetricKind::Fact(f) => format!("the recording's `{}`", f.def().0),
            MetricKind::Peer { of, rank, across } => {
                let which = match *rank {
                    (n, d) if n == d => "the largest".to_owned(),
                    (1, 2) => "the median".to_owned(),
                    (n, d) => format!("the {} percentile", super::resolve::stat_text(Stat::Pct(n, d))),
                };
                let what = self.metric(*of).map_or_else(String::new, |m| self.kind(&m.kind));
                let keys = keys(across);
                format!("{which} of its peers (all else equal, another {keys}) in {what}")
            }
        }
    }

    fn selector(&self, s: &Selector) -> String {
        let base = match &s.base {
            Base::Ops(ops) => operations(s.source, ops),
            Base::State(st) => format!("stints of sched.{}", st.name()),
            Base::Gap(x) => format!("gaps between {}", self.selector(x)),
            Base::DrainedGap(x) => format!("gaps after a sync that emptied the queue, between {}", self.selector(x)),
            Base::Slump(x) => format!("slumps of {}", self.selector(x)),
            Base::BusySeconds => "busy seconds".to_owned(),
        };
        if s.filters.is_empty() {
            return base;
        }
        let filters: Vec<String> = s.filters.iter().map(|f| self.filter(f)).collect();
        format!("{base} [{}]", filters.join(", "))
    }

    fn filter(&self, f: &Filter) -> String {
        let not = |n: bool| if n { "is not" } else { "is" };
        match f {
            Filter::Cmp(a, op, b) => {
                let dim = self.dim(a).or_else(|| self.dim(b)).unwrap_or(Dim::NONE);
                match (a, b) {
                    (Value::Field(f), Value::Num(n)) if f.def().ty == FieldType::Id => {
                        format!("{} {} {}", f.def().name, op.text(), n.floor())
                    }
                    _ => format!("{} {} {}", self.side(a, dim), op.text(), self.side(b, dim)),
                }
            }
            Filter::Enum { field, word, negated } => {
                let text = match field.def().ty {
                    FieldType::Enum(words) => words.get(usize::from(*word)).copied().unwrap_or("?"),
                    _ => "?",
                };
                format!("{} {} {text}", field.def().name, not(*negated))
            }
            Filter::Text { field, any_of, negated } => {
                format!("{} {} {}", field.def().name, not(*negated), any_of.join(" or "))
            }
            Filter::Match {
                field,
                pattern,
                negated,
            } => format!(
                "{} {} /{}/",
                field.def().name,
                if *negated { "does not match" } else { "matches" },
                pattern.0.as_str()
            ),
            Filter::OneOf { field, any_of } => {
                let ids: Vec<String> = any_of.iter().map(ToString::to_string).collect();
                format!("{} is {}", field.def().name, ids.join(" or "))
            }
            Filter::Flag(f) => f.def().name.to_owned(),
            Filter::Not(a) => format!("not {}", self.filter(a)),
            Filter::All(list) => self.filters(list, " and "),
            Filter::Any(list) => self.filters(list, " or "),
        }
    }

    fn filters(&self, list: &[Filter], between: &str) -> String {
        let parts: Vec<String> = list.iter().map(|f| self.filter(f)).collect();
        format!("({})", parts.join(between))
    }

    /// A side of a filter: statistics by their text, since they speak of the same selection.
    fn side(&self, v: &Value, dim: Dim) -> String {
        match v {
            Value::Metric(id) => self.metric(*id).map_or_else(String::new, |m| m.text.clone()),
            Value::Field(f) => f.def().name.to_owned(),
            Value::Arith(op, a, b) => {
                let (sign, inner) = match op {
                    Arith::Add => ("+", dim),
                    Arith::Sub => ("-", dim),
                    Arith::Mul => ("x", Dim::NONE),
                    Arith::Div => ("/", Dim::NONE),
                };
                format!("{} {sign} {}", self.side(a, inner), self.side(b, inner))
            }
            v => self.value(v, dim),
        }
    }

    fn dim(&self, v: &Value) -> Option<Dim> {
        match v {
            Value::Field(f) => match f.def().ty {
                FieldType::Num(d) => Some(d),
                _ => None,
            },
            Value::Metric(id) => self.metric(*id).map(|m| m.dim),
            Value::Neg(a) => self.dim(a),
            Value::Num(_) => None,
            Value::Arith(Arith::Add | Arith::Sub, a, b) => self.dim(a).or_else(|| self.dim(b)),
            Value::Arith(Arith::Mul, a, b) => {
                let none = Dim::NONE;
                Some(self.dim(a).unwrap_or(none).times(self.dim(b).unwrap_or(none)))
            }
            Value::Arith(Arith::Div, a, b) => {
                let none = Dim::NONE;
                Some(self.dim(a).unwrap_or(none).per(self.dim(b).unwrap_or(none)))
            }
        }
    }

    fn texts(&self, out: &mut String, head: &str, list: &[(Template, Option<Cond>)]) {
        for (t, c) in list {
            let _ = writeln!(out, "{head}\n  {}", self.template(t));
            if let Some(c) = c {
                let _ = writeln!(out, "  if");
                self.cond(out, c, 2);
            }
        }
    }

    fn template(&self, t: &Template) -> String {
        let mut out = String::new();
        for p in &t.parts {
            match p {
                Part::Text(s) => out.push_str(s),
                Part::Key(k) => {
                    let _ = write!(out, "{{{}}}", k.name());
                }
                Part::Value(v, dim, style) => {
                    let format = match style {
                        Style::Auto => "",
                        Style::Times => ":x",
                        Style::Percent => ":%",
                    };
                    let _ = write!(out, "{{{}{format}}}", self.side(v, *dim));
                }
            }
        }
        out
    }

    /// The statistics that the rule needs, each once, in the order of their numbers.
    fn plan(&self, out: &mut String, rule: &Rule) {
        let mut ids = std::collections::BTreeSet::new();
        let mut conds: Vec<&Cond> = vec![&rule.cond];
        conds.extend(rule.severity.iter().filter_map(|s| s.1.as_ref()));
        conds.extend(rule.excepts.iter().map(|e| &e.cond));
        for (t, c) in rule.messages.iter().chain(&rule.fixes) {
            conds.extend(c);
            for p in &t.parts {
                if let Part::Value(v, ..) = p {
                    self.collect(v, &mut ids);
                }
            }
        }
        rule.impact.iter().for_each(|v| self.collect(v, &mut ids));
        let mut scans = Vec::new();
        while let Some(c) = conds.pop() {
            match c {
                Cond::Compare { left, right, .. } => {
                    self.collect(left, &mut ids);
                    self.collect(right, &mut ids);
                }
                Cond::Exists { sel, .. } => {
                    scans.push(sel);
                    self.collect_sel(sel, &mut ids);
                }
                Cond::State { sel, bound, .. } => {
                    scans.push(sel);
                    self.collect_sel(sel, &mut ids);
                    self.collect(bound, &mut ids);
                }
                other => conds.extend(other.parts()),
            }
        }
        let _ = writeln!(out, "\nPlan");
        for id in ids {
            let Some(m) = self.metric(id) else { continue };
            let names: Vec<&str> = m.key.iter().map(|k| k.name()).collect();
            let _ = writeln!(
                out,
                "  #{} {}  per ({}){}",
                id.0,
                m.text,
                names.join(", "),
                if m.min_count > 1 {
                    format!(", from {} samples", m.min_count)
                } else {
                    String::new()
                }
            );
        }
        for s in scans.into_iter().rev() {
            let _ = writeln!(out, "  scan {}", self.selector(s));
        }
    }

    fn collect(&self, v: &Value, ids: &mut std::collections::BTreeSet<super::hir::MetricId>) {
        match v {
            Value::Metric(id) => {
                if !ids.insert(*id) {
                    return;
                }
                match self.metric(*id).map(|m| &m.kind) {
                    Some(
                        MetricKind::Stat { sel, .. } | MetricKind::Share { sel, .. } | MetricKind::Trend { sel, .. },
                    ) => self.collect_sel(sel, ids),
                    Some(MetricKind::Covered { a, b, .. } | MetricKind::Lift { a, b, .. }) => {
                        self.collect_sel(a, ids);
                        self.collect_sel(b, ids);
                    }
                    Some(MetricKind::Peer { of, .. }) => self.collect(&Value::Metric(*of), ids),
                    _ => {}
                }
            }
            Value::Neg(a) => self.collect(a, ids),
            Value::Arith(_, a, b) => {
                self.collect(a, ids);
                self.collect(b, ids);
            }
            Value::Num(_) | Value::Field(_) => {}
        }
    }

    fn collect_sel(&self, s: &Selector, ids: &mut std::collections::BTreeSet<super::hir::MetricId>) {
        let mut filters: Vec<&Filter> = s.filters.iter().collect();
        while let Some(f) = filters.pop() {
            match f {
                Filter::Cmp(a, _, b) => {
                    self.collect(a, ids);
                    self.collect(b, ids);
                }
                Filter::Not(a) => filters.push(a),
                Filter::All(l) | Filter::Any(l) => filters.extend(l),
                _ => {}
            }
        }
        if let Base::Gap(x) | Base::DrainedGap(x) | Base::Slump(x) = &s.base {
            self.collect_sel(x, ids);
        }
    }
}

/// Operations by their family's name where they are one, else each.
fn operations(source: Source, ops: &[Op]) -> String {
    let name = source.name();
    if ops.len() > 1 && ops == source.bare_ops() {
        return format!("{name} calls of any kind");
    }
    let family = ops
        .first()
        .and_then(|o| o.def().families.iter().find(|f| Op::family(source, f) == ops));
    if let Some(f) = family {
        return format!("{name}.{f}");
    }
    let names: Vec<&str> = ops.iter().map(|o| o.def().name).collect();
    format!("{name}.{}", names.join("/"))
}

fn whose(s: Scope) -> &'static str {
    match s {
        Scope::Thread => "of the same thread",
        Scope::Process => "of the same process",
        Scope::Node => "of the same node",
    }
}
