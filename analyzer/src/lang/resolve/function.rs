//! Functions of selections and of metrics: `covered`, `share`, `drop`, `gap`, …

use super::super::ast::{Expr, ExprKind, Member, Name};
use super::super::diagnostic::Code;
use super::super::hir::{Base, MetricKind, Scope as Whose, Segment, Selector, Stat, Trend, Value};
use super::R;
use super::expr::Typed;
use super::scope::{Checker, Number, Proto, Scope};
use super::select::Selection;
use crate::source::Span;
use crate::trace::catalogue::{Key, Source};
use crate::unit::Dim;

/// Names of functions.
pub(in crate::lang) const FUNCTIONS: &[&str] = &[
    "covered",
    "lift",
    "share",
    "drop",
    "rise",
    "change",
    "gap",
    "drained_gap",
    "slump",
    "pooled",
    "peer_median",
    "peer_max",
];

/// The share that a function of peers asks for: `peer_median`, `peer_max`, `peer_p90`.
fn peer_rank(name: &str) -> Option<(u32, u32)> {
    match name.strip_prefix("peer_")? {
        "median" => Some((1, 2)),
        "max" => Some((1, 1)),
        p => {
            let n: u32 = p.strip_prefix('p')?.parse().ok()?;
            (0 < n && n < 100).then_some((n, 100))
        }
    }
}

const SCOPES: &[(&str, Whose)] = &[
    ("thread", Whose::Thread),
    ("process", Whose::Process),
    ("node", Whose::Node),
];

impl Checker<'_> {
    /// `f(args)`: a function, `x.distinct(field)`, or the keys of a selection.
    pub(super) fn call(&mut self, f: &Expr, args: &[Expr], span: Span, sc: &mut Scope) -> R<Typed> {
        if let ExprKind::Name(name, false) = &*f.kind {
            if let Some(rank) = peer_rank(name) {
                return self.peer(name, rank, args, span, sc).map(Typed::Number);
            }
            if FUNCTIONS.contains(&name.as_str()) {
                return self.function(name, args, span, sc);
            }
            let known = self.find_let(name).is_some() || Source::by_name(name).is_some();
            if !known {
                let d = self
                    .diag(Code::UnknownFunction, f.span, format!("unknown function `{name}`"))
                    .suggest(f.span, name, FUNCTIONS, "functions are");
                return self.fail(d);
            }
        }
        if let ExprKind::Dot(x, Member::Name(m)) = &*f.kind
            && m.text == "distinct"
        {
            let Typed::Selection(s) = self.path(x, sc)? else {
                return self.arguments(f.span, "`distinct` belongs to a selection of events", "");
            };
            let s = self.settled(s)?;
            let [field] = args else {
                return self.arguments(
                    span,
                    "`distinct` takes one field",
                    &format!("as in `{}.distinct(tid)`", s.text),
                );
            };
            let name = self.text(field.span);
            let field = self.field(&s, &name, field.span)?;
            return self.statistic(s, Stat::Distinct(field), span, sc).map(Typed::Number);
        }
        match self.path(f, sc)? {
            Typed::Selection(s) => self.with_keys(s, args, span).map(Typed::Selection),
            other => {
                let what = other.what();
                let d = self
                    .diag(
                        Code::BadArguments,
                        span,
                        "brackets after a selection name its keys; here there is none",
                    )
                    .also(f.span, format!("this is {what}"))
                    .help("keys go before the statistic: `cuda.launch(pid).p99`");
                self.fail(d)
            }
        }
    }

    fn arguments<T>(&mut self, span: Span, message: &str, help: &str) -> R<T> {
        let mut d = self.diag(Code::BadArguments, span, message);
        if !help.is_empty() {
            d = d.help(help);
        }
        self.fail(d)
    }

    fn function(&mut self, name: &str, args: &[Expr], span: Span, sc: &mut Scope) -> R<Typed> {
        match name {
            "covered" | "lift" => self.covered(name, args, span, sc).map(Typed::Number),
            "share" => self.share(args, span, sc).map(Typed::Number),
            "drop" | "rise" | "change" => self.trend(name, args, span, sc).map(Typed::Number),
            "pooled" => {
                let [x] = args else {
                    return self.arguments(span, "`pooled` takes one source", "as in `pooled(cuda).p99`");
                };
                let s = self.events(x, sc)?;
                Ok(Typed::Selection(Selection {
                    pooled: true,
                    named: true,
                    ..s
                }))
            }
            _ => {
                let [x] = args else {
                    return self.arguments(
                        span,
                        &format!("`{name}` takes one selection of calls"),
                        &format!("as in `{name}(gpu)`"),
                    );
                };
                let s = self.events(x, sc)?;
                self.derived(name, &s, x, span).map(Typed::Selection)
            }
        }
    }

    /// An argument that must be a selection, without the parts that only statistics have.
    fn events(&mut self, x: &Expr, sc: &mut Scope) -> R<Selection> {
        // Arguments look at the trace anew: what stands left of the call is no neighbour of theirs.
        let mut inner = Scope {
            left: Vec::new(),
            filter: sc.filter.clone(),
        };
        match self.path(x, &mut inner)? {
            Typed::Selection(s) => self.settled(s),
            other => {
                let what = other.what();
                let d = self
                    .diag(Code::BadArguments, x.span, "a selection of events is needed here")
                    .label(format!("this is {what}"))
                    .help("as in `cuda.launch[duration > 1ms]`, without a statistic");
                self.fail(d)
            }
        }
    }

    /// `gap(x)`, `drained_gap(x)`, `slump(x)`.
    fn derived(&mut self, name: &str, s: &Selection, x: &Expr, span: Span) -> R<Selection> {
        let calls = matches!(&s.sel.base, Base::Ops(_))
            && matches!(
                s.sel.source,
                Source::Cuda | Source::Driver | Source::Graph | Source::Gpu | Source::Nccl
            );
        // Gaps have a meaning between events of any source that knows threads.
        let threaded = name == "gap" && matches!(&s.sel.base, Base::Ops(_)) && Key::Tid.on(s.sel.source);
        if !(calls || threaded) {
            let d = self
                .diag(
                    Code::BadArguments,
                    x.span,
                    format!("`{name}` looks between calls, and `{}` selects none", s.text),
                )
                .help(format!("as in `{name}(gpu)` or `{name}(cuda.launch)`"));
            return self.fail(d);
        }
        if let Some(what) = s.segment.map(|_| "a segment").or(s.keys.as_ref().map(|_| "keys")) {
            let d = self
                .diag(
                    Code::BadArguments,
                    x.span,
                    format!("{what} inside `{name}(…)` would mean nothing"),
                )
                .help(format!("put it after the call: `{name}(gpu)…`"));
            return self.fail(d);
        }
        let inner = Box::new(s.sel.clone());
        let base = match name {
            "gap" => Base::Gap(inner),
            "drained_gap" => Base::DrainedGap(inner),
            _ => Base::Slump(inner),
        };
        Ok(Selection {
            sel: Selector {
                source: s.sel.source,
                base,
                filters: Vec::new(),
            },
            bare: false,
            pooled: false,
            named: true,
            keys: None,
            segment: None,
            over: None,
            text: format!("{name}({})", s.text),
            span,
        })
    }

    /// `covered(A, B, scope)` and `lift(A, B, scope)`.
    fn covered(&mut self, name: &str, args: &[Expr], span: Span, sc: &mut Scope) -> R<Number> {
        self.spend(span)?;
        let (a, b, whose) = match args {
            [a, b] => (a, b, None),
            [a, b, s] => (a, b, Some(s)),
            _ => {
                return self.arguments(
                    span,
                    &format!("`{name}` takes two selections, and optionally thread, process or node"),
                    &format!("as in `{name}(cuda.launch[duration > 1ms], sched.runq)`"),
                );
            }
        };
        let x = self.events(a, sc);
        let y = self.events(b, sc);
        let scope = match whose {
            None => Whose::Thread,
            Some(e) => {
                let text = self.text(e.span);
                if let Some((_, s)) = SCOPES.iter().find(|(n, _)| *n == text) {
                    *s
                } else {
                    let known: Vec<&str> = SCOPES.iter().map(|(n, _)| *n).collect();
                    let d = self
                        .diag(Code::UnknownScope, e.span, format!("unknown scope `{text}`"))
                        .suggest(e.span, &text, &known, "scopes are");
                    return self.fail(d);
                }
            }
        };
        let (x, y) = (x?, y?);
        let needed = match scope {
            Whose::Thread => Some((Key::Tid, "thread")),
            Whose::Process => Some((Key::Pid, "process")),
            Whose::Node => None,
        };
        if let Some((key, word)) = needed {
            for (s, e) in [(&x, a), (&y, b)] {
                if key.on(s.sel.source) {
                    continue;
                }
                // Requests are served by all threads of a node: nothing closer is recorded.
                let d = self
                    .diag(
                        Code::BadArguments,
                        e.span,
                        format!("events of `{}` belong to no {word}", s.text),
                    )
                    .help(format!(
                        "compare on the whole node: `{name}({}, {}, node)`",
                        x.text, y.text
                    ));
                return self.fail(d);
            }
        }
        if y.segment.is_some() && y.segment != x.segment {
            let d = self
                .diag(
                    Code::SegmentNotHere,
                    b.span,
                    "the segment is that of the first selection",
                )
                .help(format!("write `{name}(…)@segment`"));
            return self.fail(d);
        }
        if whose.is_none() {
            self.note(format!("`{name}` counts only the same thread's `{}`", y.text));
        }
        let text = match whose {
            None => format!("{name}({}, {})", x.text, y.text),
            Some(e) => format!("{name}({}, {}, {})", x.text, y.text, self.text(e.span)),
        };
        let term = x.term(false, text, span);
        self.terms.push(term.clone());
        let kind = if name == "lift" {
            if x.segment.is_some() {
                return self.arguments(a.span, "`lift` compares with the whole life of the key", "");
            }
            MetricKind::Lift {
                a: x.sel,
                b: y.sel,
                scope,
            }
        } else {
            MetricKind::Covered {
                a: x.sel,
                b: y.sel,
                scope,
                segment: x.segment.unwrap_or_default(),
            }
        };
        Ok(self.proto(
            Proto {
                kind,
                term,
                dim: Dim::NONE,
                origin: None,
            },
            sc,
        ))
    }

    /// `share(x)`.
    fn share(&mut self, args: &[Expr], span: Span, sc: &mut Scope) -> R<Number> {
        self.spend(span)?;
        let example = "as in `share(cuda.launch[duration > 1ms])`";
        let [x] = args else {
            return self.arguments(span, "`share` takes one filtered selection", example);
        };
        let s = self.events(x, sc)?;
        if s.sel.filters.is_empty() {
            return self.arguments(
                x.span,
                "`share` of a selection without a filter is always 100 %",
                example,
            );
        }
        let term = s.term(false, format!("share({})", s.text), span);
        self.terms.push(term.clone());
        let kind = MetricKind::Share {
            segment: s.segment.unwrap_or_default(),
            sel: s.sel,
        };
        Ok(self.proto(
            Proto {
                kind,
                term,
                dim: Dim::NONE,
                origin: None,
            },
            sc,
        ))
    }

    /// `peer_median(m)`, `peer_max(m)`, `peer_p90(m)`.
    fn peer(&mut self, name: &str, rank: (u32, u32), args: &[Expr], span: Span, sc: &mut Scope) -> R<Number> {
        self.spend(span)?;
        let example = format!("as in `cuda.sync.p99 > 2*{name}(cuda.sync.p99) per pid across pid`");
        let [x] = args else {
            return self.arguments(span, &format!("`{name}` takes one statistic"), &example);
        };
        if self.across.is_empty() {
            let d = self
                .diag(Code::Across, span, "the rule does not say who its peers are")
                .help("name the keys in which they differ: `per gpu across gpu`, `per rank across (node, rank)`");
            return self.fail(d);
        }
        let mut inner = Scope {
            left: Vec::new(),
            filter: sc.filter.clone(),
        };
        let found = self.typed(x, &mut inner)?;
        let metric = match &found {
            Typed::Number(Number {
                value: Value::Metric(id),
                ..
            }) => self.protos.get(id.0 as usize).map(|p| (*id, p.clone())),
            _ => None,
        };
        let statistic = |k: &MetricKind| {
            matches!(
                k,
                MetricKind::Stat { over: None, .. } | MetricKind::Share { .. } | MetricKind::Trend { .. }
            )
        };
        let Some((of, proto)) = metric.filter(|(_, p)| statistic(&p.kind)) else {
            let what = found.what();
            let d = self
                .diag(
                    Code::BadArguments,
                    x.span,
                    format!("`{name}` compares one statistic of events"),
                )
                .label(format!("this is {what}"))
                .help(example);
            return self.fail(d);
        };
        let term = super::scope::Term {
            text: format!("{name}({})", proto.term.text),
            span,
            ..proto.term
        };
        let kind = MetricKind::Peer {
            of,
            rank,
            across: self.across.iter().map(|(k, _)| *k).collect(),
        };
        Ok(self.proto(
            Proto {
                kind,
                term,
                dim: proto.dim,
                origin: None,
            },
            sc,
        ))
    }

    /// A segment among the arguments of a function: `warmup`, `before(mem.oom)`.
    fn segment_argument(&mut self, e: &Expr) -> R<Segment> {
        let named = |n: &str, at: Span| Name {
            text: n.to_owned(),
            span: at,
        };
        match &*e.kind {
            ExprKind::Name(n, _) => self.segment(&named(n, e.span), None),
            ExprKind::Call(f, args) => match (&*f.kind, args.as_slice()) {
                (ExprKind::Name(n, _), [x]) => self.segment(&named(n, f.span), Some(x)),
                _ => self.arguments(
                    e.span,
                    "a segment is needed here",
                    "as in `warmup` or `before(mem.oom)`",
                ),
            },
            _ => self.arguments(
                e.span,
                "a segment is needed here",
                "as in `warmup` or `before(mem.oom)`",
            ),
        }
    }

    /// `drop(m)`, `rise(m)`, `change(m)`, each also of two segments: `drop(m, A, B)`.
    fn trend(&mut self, name: &str, args: &[Expr], span: Span, sc: &mut Scope) -> R<Number> {
        self.spend(span)?;
        let example = format!("as in `{name}(gpu.launch.rate)`");
        let (x, from, to) = match args {
            [x] => (x, Segment::FirstHalf, Segment::SecondHalf),
            [x, a, b] => {
                let (a, b) = (self.segment_argument(a), self.segment_argument(b));
                (x, a?, b?)
            }
            _ => {
                let what = format!("`{name}` takes one statistic, and optionally two segments to compare");
                return self.arguments(
                    span,
                    &what,
                    &format!("{example} or `{name}(gpu.launch.rate, warmup, steady)`"),
                );
            }
        };
        let mut inner = Scope {
            left: Vec::new(),
            filter: sc.filter.clone(),
        };
        let first = self.protos.len();
        let found = self.typed(x, &mut inner)?;
        let proto = match &found {
            Typed::Number(Number {
                value: Value::Metric(id),
                ..
            }) => self.protos.get(id.0 as usize).cloned(),
            _ => None,
        };
        let Some(Proto {
            kind:
                MetricKind::Stat {
                    sel,
                    stat,
                    segment,
                    over,
                },
            term,
            ..
        }) = proto
        else {
            let what = found.what();
            let d = self
                .diag(
                    Code::BadArguments,
                    x.span,
                    format!("`{name}` compares one statistic of events in two segments"),
                )
                .label(format!("this is {what}"))
                .help(example);
            return self.fail(d);
        };
        if over.is_some() || segment != Segment::Trace {
            let d = self
                .diag(
                    Code::BadArguments,
                    x.span,
                    format!("the statistic in `{name}` has no segment or window of its own"),
                )
                .help(format!(
                    "name the segments behind it: `{name}(gpu.launch.rate, warmup, steady)`"
                ));
            return self.fail(d);
        }
        // The statistic itself is not asked for, only the trend: take it out again.
        if self.protos.len() == first + 1 {
            self.protos.truncate(first);
            self.terms.pop();
        }
        let halves = args.len() == 1;
        let (a, b) = (self.segment_name(from), self.segment_name(to));
        let text = if halves {
            format!("{name}({})", term.text)
        } else {
            format!("{name}({}, {a}, {b})", term.text)
        };
        let term = super::scope::Term { text, span, ..term };
        self.terms.push(term.clone());
        if halves {
            self.note(format!(
                "`{}` compares the second half of the key's life with the first",
                term.text
            ));
        }
        let trend = match name {
            "drop" => Trend::Drop,
            "rise" => Trend::Rise,
            _ => Trend::Change,
        };
        Ok(self.proto(
            Proto {
                kind: MetricKind::Trend {
                    trend,
                    sel,
                    stat,
                    from,
                    to,
                },
                term,
                dim: Dim::NONE,
                origin: None,
            },
            sc,
        ))
    }
}
