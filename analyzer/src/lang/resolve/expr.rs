//! Expressions to typed ones: numbers, selections, conditions.

use super::super::ast::{ArithOp, Expr, ExprKind, Member, Name};
use super::super::diagnostic::{Code, Diagnostic};
use super::super::hir::{Arith, Cond, MetricKind, Stat, Value, Window};
use super::super::suggest::nearest;
use super::R;
use super::function::FUNCTIONS;
use super::scope::{Checker, Left, Number, Scope};
use super::select::{STATS, Selection, stat_by_name, stat_text};
use crate::source::Span;
use crate::trace::catalogue::{FieldType, Source, SystemField};
use crate::unit::{Dim, Num};

/// What an expression turned out to be.
#[derive(Clone, Debug)]
pub(super) enum Typed {
    /// A number.
    Number(Number),
    /// Events, or stints.
    Selection(Selection),
    /// The source `system` itself.
    System,
    /// A column of the snapshots, its statistic still open.
    SystemField(SystemField),
    /// The source `trace` itself.
    Trace,
    /// A condition.
    Cond(Cond),
    /// A quoted text.
    Text,
    /// A pattern.
    Pattern,
}

impl Typed {
    /// For messages: "this is …".
    pub(super) fn what(&self) -> String {
        match self {
            Self::Number(n) => n.dim.to_string(),
            Self::Selection(s) if s.is_state() => format!("the stints of `{}`", s.text),
            Self::Selection(s) => format!("the events of `{}`", s.text),
            Self::System => "the snapshots of the host".to_owned(),
            Self::SystemField(f) => format!("the column `system.{}`, without a statistic", f.def().0),
            Self::Trace => "the recording itself".to_owned(),
            Self::Cond(_) => "a condition".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Pattern => "a pattern".to_owned(),
        }
    }
}

impl Checker<'_> {
    /// What an expression is.
    pub(super) fn typed(&mut self, e: &Expr, sc: &mut Scope) -> R<Typed> {
        self.spend(e.span)?;
        match &*e.kind {
            ExprKind::Number(n) => Ok(Typed::Number(Number {
                bare: true,
                ..Number::constant(*n, Dim::NONE)
            })),
            ExprKind::Quantity(n, d) => Ok(Typed::Number(Number::constant(*n, *d))),
            ExprKind::Str(_) => Ok(Typed::Text),
            ExprKind::Regex(..) => Ok(Typed::Pattern),
            ExprKind::Stat(n, d) => self
                .bare_statistic(Stat::Pct(*n, *d), None, e.span, sc)
                .map(Typed::Number),
            ExprKind::Name(n, quoted) => self.name(n, *quoted, e.span, sc),
            ExprKind::Neg(a) => {
                let mut n = self.number(a, sc)?;
                n.value = match n.value {
                    Value::Num(v) => match v.negated() {
                        Some(v) => Value::Num(v),
                        None => return self.no_result(e.span, "this number is too large"),
                    },
                    v => Value::Neg(Box::new(v)),
                };
                Ok(Typed::Number(n))
            }
            ExprKind::Arith(op, a, b) => self.arith(*op, a, b, e.span, sc).map(Typed::Number),
            ExprKind::Dot(a, m) => self.dot(a, m, e.span, sc),
            ExprKind::Filter(a, list) => {
                let s = match self.path(a, sc)? {
                    Typed::Selection(s) => s,
                    other => {
                        let what = other.what();
                        let d = self
                            .diag(
                                Code::BadOperator,
                                e.span,
                                "a filter `[…]` belongs to a selection of events",
                            )
                            .also(a.span, format!("this is {what}"))
                            .help("filter before the statistic: `cuda.launch[duration > 1ms].count`");
                        return self.fail(d);
                    }
                };
                let text = self.text(Span {
                    start: a.span.end,
                    end: e.span.end,
                });
                self.filtered(s, list, &text, e.span).map(Typed::Selection)
            }
            ExprKind::Call(f, args) => self.call(f, args, e.span, sc),
            ExprKind::At(a, name, of) => self.at(a, (name, of.as_ref()), e.span, sc),
            ExprKind::Over(a, len, every) => self.over(a, len, every.as_ref(), e.span, sc).map(Typed::Number),
            ExprKind::Not(_)
            | ExprKind::And(_)
            | ExprKind::Or(_)
            | ExprKind::Unless(..)
            | ExprKind::Then(..)
            | ExprKind::Within(..)
            | ExprKind::Lasting(..)
            | ExprKind::Without(..)
            | ExprKind::During(..)
            | ExprKind::Compare(..)
            | ExprKind::In(..) => self.cond(e).map(Typed::Cond),
        }
    }

    /// What stands before a dot, bracket or call: a name there is a source even inside a filter.
    pub(super) fn path(&mut self, e: &Expr, sc: &mut Scope) -> R<Typed> {
        if let ExprKind::Name(n, _) = &*e.kind
            && sc.filter.is_some()
            && let Some(source) = Source::by_name(n)
            && !self.scope.lets.contains_key(n.as_str())
        {
            return Ok(Self::source(source, e.span));
        }
        self.typed(e, sc)
    }

    fn source(source: Source, span: Span) -> Typed {
        match source {
            Source::System => Typed::System,
            Source::Trace => Typed::Trace,
            s => Typed::Selection(Self::bare_source(s, span)),
        }
    }

    /// A number, or a diagnostic that says what it is instead.
    pub(super) fn number(&mut self, e: &Expr, sc: &mut Scope) -> R<Number> {
        match self.typed(e, sc)? {
            Typed::Number(n) => Ok(n),
            other => self.not_number(e, &other),
        }
    }

    pub(super) fn not_a_number<T>(&mut self, e: &Expr) -> R<T> {
        let d = self.diag(Code::NotANumber, e.span, "a number is needed here");
        self.fail(d)
    }

    fn not_number<T>(&mut self, e: &Expr, found: &Typed) -> R<T> {
        let d = self
            .diag(Code::NotANumber, e.span, "a number is needed here")
            .label(format!("this is {}", found.what()));
        let d = match found {
            Typed::Selection(s) => d.help(format!(
                "ask for a statistic: `{0}.count`, `{0}.sum`, `{0}.p99`",
                s.text
            )),
            Typed::SystemField(f) => d.help(format!(
                "ask for a statistic: `system.{0}.min`, `system.{0}.max`, `system.{0}.avg`",
                f.def().0
            )),
            Typed::System => d.help(format!("name a column: {}", list(&SystemField::ALL.map(|f| f.1)))),
            _ => d,
        };
        self.fail(d)
    }

    pub(super) fn no_result<T>(&mut self, span: Span, why: &str) -> R<T> {
        let d = self.diag(Code::Arithmetic, span, why);
        self.fail(d)
    }

    fn name(&mut self, n: &str, quoted: bool, span: Span, sc: &mut Scope) -> R<Typed> {
        if let Some(s) = sc.filter.clone()
            && crate::trace::catalogue::Field::by_name(n).is_some()
        {
            let f = self.field(&s, n, span)?;
            if let FieldType::Num(dim) = f.def().ty {
                return Ok(Typed::Number(Number {
                    value: Value::Field(f),
                    dim,
                    bare: false,
                    windows: Vec::new(),
                }));
            }
            let d = self
                .diag(Code::NotANumber, span, format!("the field `{n}` is not a number"))
                .help(super::filter::usage(f));
            return self.fail(d);
        }
        if let Some(l) = self.find_let(n) {
            let filter = sc.filter.clone();
            let mut inner = Scope {
                left: Vec::new(),
                filter,
            };
            let found = self.inside(l, span, |c, e| c.typed(e, &mut inner))?;
            sc.left.extend(inner.left);
            return Ok(placed_at(found, span));
        }
        if let Some(value) = self.param_of(None, n) {
            return value.map(|(v, d)| Typed::Number(Number::constant(v, d)));
        }
        if let Some(source) = Source::by_name(n) {
            return Ok(Self::source(source, span));
        }
        if !quoted && let Some(stat) = stat_by_name(n) {
            return self.bare_statistic(stat, None, span, sc).map(Typed::Number);
        }
        if self.scope.broken.contains(n) {
            return Err(super::Reported);
        }
        self.unknown_name(n, span, sc)
    }

    fn unknown_name<T>(&mut self, n: &str, span: Span, sc: &Scope) -> R<T> {
        let (code, what) = if sc.filter.is_some() {
            (Code::UnknownField, "field")
        } else {
            (Code::UnknownName, "name")
        };
        let d = self.diag(code, span, format!("unknown {what} `{n}`"));
        if self.scope.sets.contains_key(n) {
            let d = d.help(format!("`{n}` is a set: write `op in {n}` in a filter"));
            return self.fail(d);
        }
        if FUNCTIONS.contains(&n) {
            let d = d.help(format!("`{n}` is a function: write `{n}(…)`"));
            return self.fail(d);
        }
        let sources = Source::ALL.map(Source::name);
        let mut known: Vec<&str> = Vec::new();
        if let Some(s) = &sc.filter {
            known.extend(s.field_names());
        }
        known.extend(self.locals.iter().map(|l| l.name.text.as_str()));
        known.extend(self.scope.lets.keys());
        known.extend(self.scope.params.keys());
        known.extend(self.imported_names(""));
        known.extend(sources);
        known.extend(STATS.iter().map(|(n, _)| *n));
        if nearest(n, &known).is_some() {
            let d = d.suggest(span, n, &known, "");
            return self.fail(d);
        }
        // An operation without its source: say where it lives.
        if let Some(s) = Source::ALL
            .into_iter()
            .find(|s| super::select::op_names(*s).iter().any(|o| o.eq_ignore_ascii_case(n)))
        {
            let full = format!("{}.{n}", s.name());
            let d = d.help(format!("did you mean `{full}`?")).edit(span, full);
            return self.fail(d);
        }
        let d = match &sc.filter {
            Some(s) => d.help(format!("fields of `{}`: {}", s.text, s.field_names().join(", "))),
            None => d.help(format!("sources are {}", list(&sources))),
        };
        self.fail(d)
    }

    /// `alias.name`: a `let` or parameter of an imported file.
    fn imported(&mut self, alias: &str, n: &Name, span: Span, sc: &mut Scope) -> R<Typed> {
        if let Some(l) = self.let_of(Some(alias), &n.text) {
            let mut inner = Scope {
                left: Vec::new(),
                filter: sc.filter.clone(),
            };
            let found = self.inside(l, span, |c, e| c.typed(e, &mut inner))?;
            sc.left.extend(inner.left);
            return Ok(placed_at(found, span));
        }
        match self.param_of(Some(alias), &n.text) {
            Some(value) => value.map(|(v, d)| Typed::Number(Number::constant(v, d))),
            None => {
                let known = self.imported_names(alias);
                let d = self
                    .diag(
                        Code::UnknownName,
                        n.span,
                        format!("`{alias}` has no `let` or parameter `{}`", n.text),
                    )
                    .suggest(n.span, &n.text, &known, "it has");
                self.fail(d)
            }
        }
    }

    fn dot(&mut self, a: &Expr, m: &Member, span: Span, sc: &mut Scope) -> R<Typed> {
        if let (ExprKind::Name(alias, _), Member::Name(n)) = (&*a.kind, m)
            && self
                .scope
                .imports
                .iter()
                .any(|(a, _)| a.as_deref() == Some(alias.as_str()))
            && self.find_let(alias).is_none()
        {
            return self.imported(alias, n, span, sc);
        }
        let on = self.path(a, sc)?;
        let (name, stat, at) = match m {
            Member::Stat(n, d, at) => (None, Some(Stat::Pct(*n, *d)), *at),
            Member::Name(n) => (Some(n), stat_by_name(&n.text), n.span),
        };
        match on {
            Typed::Selection(s) => {
                if let Some(n) = name
                    && let Some(s) = Self::operation(&s, n)
                {
                    return Ok(Typed::Selection(s));
                }
                match (stat, name) {
                    (Some(stat), _) => self.statistic(s, stat, span, sc).map(Typed::Number),
                    (None, Some(n)) => self.unknown_member(&s, n),
                    (None, None) => self.gone(),
                }
            }
            Typed::System => {
                if let Some(n) = name {
                    self.system_field(n).map(Typed::SystemField)
                } else {
                    let d = self
                        .diag(Code::UnknownOp, at, "name a column before the statistic")
                        .help(format!("columns are {}", list(&SystemField::ALL.map(|f| f.1))));
                    self.fail(d)
                }
            }
            Typed::SystemField(f) => match (stat, name) {
                (Some(stat), _) => self.system_stat(f, stat, span, sc).map(Typed::Number),
                (None, Some(n)) => {
                    let known = ["min", "max", "avg", "first", "last", "p50", "p99"];
                    let d = self
                        .diag(Code::UnknownStat, n.span, format!("unknown statistic `{}`", n.text))
                        .suggest(n.span, &n.text, &known, "statistics are");
                    self.fail(d)
                }
                (None, None) => self.gone(),
            },
            Typed::Trace => {
                let written = Name {
                    text: self.text(at),
                    span: at,
                };
                self.fact(name.unwrap_or(&written), span, sc).map(Typed::Number)
            }
            other => {
                let d = self
                    .diag(Code::UnknownStat, at, "nothing can follow here with a dot")
                    .also(a.span, format!("this is {}", other.what()))
                    .help("a statistic ends a path: `source.operation[filter].statistic@segment`");
                self.fail(d)
            }
        }
    }

    fn at(&mut self, a: &Expr, (name, of): (&Name, Option<&Expr>), span: Span, sc: &mut Scope) -> R<Typed> {
        let segment = self.segment(name, of)?;
        // A bare statistic with its own segment.
        let bare = match &*a.kind {
            ExprKind::Stat(n, d) => Some(Stat::Pct(*n, *d)),
            ExprKind::Name(n, false) if sc.filter.is_none() => {
                let defined = self.find_let(n).is_some() || self.param_of(None, n).is_some();
                stat_by_name(n).filter(|_| !defined)
            }
            _ => None,
        };
        if let Some(stat) = bare {
            return self.bare_statistic(stat, Some(segment), span, sc).map(Typed::Number);
        }
        match self.path(a, sc)? {
            Typed::Selection(s) => {
                if s.segment.is_some() {
                    return self.segment_not_here(name.span, "a segment is given already");
                }
                Ok(Typed::Selection(Selection {
                    segment: Some(segment),
                    span,
                    ..s
                }))
            }
            Typed::Number(n) => {
                let Value::Metric(id) = n.value else {
                    return self.segment_not_here(name.span, "a segment belongs to a statistic");
                };
                let written = self.segment_name(segment);
                let proto = &mut self.protos[id.0 as usize];
                let slot = match &mut proto.kind {
                    MetricKind::Stat { segment, .. }
                    | MetricKind::Covered { segment, .. }
                    | MetricKind::Share { segment, .. }
                    | MetricKind::System { segment, .. } => segment,
                    MetricKind::Lift { .. } => {
                        return self.segment_not_here(name.span, "`lift` compares with the whole life of the key");
                    }
                    MetricKind::Trend { .. } => {
                        return self.segment_not_here(
                            name.span,
                            "`drop`, `rise` and `change` name their segments as arguments",
                        );
                    }
                    MetricKind::Peer { .. } => {
                        return self.segment_not_here(name.span, "the segment goes to the statistic of the peers");
                    }
                    MetricKind::Fact(_) => {
                        return self.segment_not_here(name.span, "this is a fact about the whole recording");
                    }
                };
                let windowed = matches!(proto.origin, Some(Selection { over: Some(_), .. }));
                let given = proto.origin.as_ref().is_some_and(|o| o.segment.is_some());
                if windowed {
                    return self.segment_not_here(name.span, "the segment goes before `over`");
                }
                if given {
                    return self.segment_not_here(name.span, "a segment is given already");
                }
                *slot = segment;
                proto.term.text = format!("{}@{written}", proto.term.text);
                if let Some(o) = &mut proto.origin {
                    o.segment = Some(segment);
                }
                Ok(Typed::Number(n))
            }
            other => {
                let what = other.what();
                self.segment_not_here(name.span, &format!("a segment belongs to a statistic; this is {what}"))
            }
        }
    }

    fn segment_not_here<T>(&mut self, span: Span, why: &str) -> R<T> {
        let d = self.diag(Code::SegmentNotHere, span, why);
        self.fail(d)
    }

    fn over(&mut self, a: &Expr, len: &Expr, every: Option<&Expr>, span: Span, sc: &mut Scope) -> R<Number> {
        let n = match self.typed(a, sc)? {
            Typed::Number(n) => n,
            other => {
                let d = self
                    .diag(Code::WindowNotHere, span, "`over` belongs to a statistic")
                    .also(a.span, format!("this is {}", other.what()))
                    .help("as in `cuda.malloc.rate over 1s > 200/s`");
                return self.fail(d);
            }
        };
        let len_ns = self.duration(len, "the length of a window")?;
        let every_ns = match every {
            Some(e) => self.duration(e, "the step of a window")?,
            None => (len_ns / 10).max(1),
        };
        if len_ns == 0 || every_ns == 0 {
            return self.no_result(span, "windows and steps are longer than zero");
        }
        if every_ns > len_ns {
            let d = self
                .diag(
                    Code::Windows,
                    every.map_or(span, |e| e.span),
                    "the step is longer than the window: parts of the trace would never be looked at",
                )
                .also(len.span, "the window");
            return self.fail(d);
        }
        let window = Window { len_ns, every_ns };
        let Value::Metric(id) = n.value else {
            let d = self
                .diag(
                    Code::WindowNotHere,
                    span,
                    "`over` belongs to one statistic, not to arithmetic",
                )
                .help("write `over` after each statistic");
            return self.fail(d);
        };
        let proto = &mut self.protos[id.0 as usize];
        let what = match &mut proto.kind {
            MetricKind::Stat { over: Some(_), .. } => Some("a window is given already"),
            MetricKind::Stat { over, .. } if sc.filter.is_none() => {
                *over = Some(window);
                None
            }
            MetricKind::Stat { .. } => Some("a filter looks at one event; windows have no place in it"),
            MetricKind::Trend { .. } => Some("`drop`, `rise` and `change` compare two segments"),
            _ => Some("this has no windows"),
        };
        if let Some(why) = what {
            let d = self.diag(Code::WindowNotHere, span, why);
            return self.fail(d);
        }
        if let Some(o) = &mut proto.origin {
            o.over = Some(window);
            let stat = match &proto.kind {
                MetricKind::Stat { stat, .. } => stat_text(*stat),
                _ => String::new(),
            };
            let o = o.clone();
            let text = self.metric_text(&o, &stat);
            self.protos[id.0 as usize].term.text = text;
        }
        if every.is_none() {
            let text = format!(
                "windows of {} move in steps of a tenth, {}",
                crate::unit::show_dur(len_ns),
                crate::unit::show_dur(every_ns)
            );
            self.note(text);
        }
        Ok(Number {
            windows: vec![window],
            ..n
        })
    }

    fn arith(&mut self, op: ArithOp, a: &Expr, b: &Expr, span: Span, sc: &mut Scope) -> R<Number> {
        let left = self.number(a, sc);
        let right = self.number(b, sc);
        let (left, right) = (left?, right?);
        let dim = match op {
            ArithOp::Mul => left.dim.times(right.dim),
            ArithOp::Div => left.dim.per(right.dim),
            ArithOp::Add | ArithOp::Sub if left.dim == right.dim => left.dim,
            ArithOp::Add | ArithOp::Sub => {
                if left.bare {
                    return self.bare_or_mismatch(a, &left, right.dim, b.span, "the other side");
                }
                if right.bare {
                    return self.bare_or_mismatch(b, &right, left.dim, a.span, "the other side");
                }
                let verb = if op == ArithOp::Add { "add" } else { "subtract" };
                let d = self
                    .diag(
                        Code::Mismatch,
                        b.span,
                        format!("cannot {verb} {} and {}", left.dim, right.dim),
                    )
                    .label(format!("this is {}", right.dim))
                    .also(a.span, format!("this is {}", left.dim));
                return self.fail(d);
            }
        };
        let value = if let (Some(x), Some(y)) = (left.as_const(), right.as_const()) {
            let v = match op {
                ArithOp::Add => x.plus(y),
                ArithOp::Sub => x.minus(y),
                ArithOp::Mul => x.times(y),
                ArithOp::Div => x.over(y),
            };
            match v {
                Some(v) => Value::Num(v),
                None if y == Num::ZERO => return self.no_result(b.span, "this divides by zero"),
                None => return self.no_result(span, "this number is too large"),
            }
        } else {
            let hir = match op {
                ArithOp::Add => Arith::Add,
                ArithOp::Sub => Arith::Sub,
                ArithOp::Mul => Arith::Mul,
                ArithOp::Div => Arith::Div,
            };
            if op == ArithOp::Div && right.as_const() == Some(Num::ZERO) {
                return self.no_result(b.span, "this divides by zero");
            }
            Value::Arith(hir, Box::new(left.value), Box::new(right.value))
        };
        let mut windows = left.windows;
        for w in right.windows {
            if !windows.contains(&w) {
                windows.push(w);
            }
        }
        Ok(Number {
            bare: left.bare && right.bare,
            value,
            dim,
            windows,
        })
    }

    /// A number whose dimension is not the one wanted.
    pub(super) fn bare_or_mismatch<T>(&mut self, e: &Expr, n: &Number, wanted: Dim, other: Span, what: &str) -> R<T> {
        if n.bare && n.dim == Dim::NONE {
            let d = self.bare_number(e, wanted);
            let d = if other == e.span {
                d
            } else {
                d.also(other, format!("this is {wanted}"))
            };
            return self.fail(d);
        }
        let d = self
            .diag(
                Code::Mismatch,
                e.span,
                format!("{what} is {wanted}, and this is {}", n.dim),
            )
            .label(format!("this is {}", n.dim));
        self.fail(d)
    }

    /// A bare number where a unit is needed, with the units that would fit.
    pub(super) fn bare_number(&self, e: &Expr, wanted: Dim) -> Diagnostic {
        let n = self.text(e.span);
        let n = n.trim_matches(|c| c == '(' || c == ')');
        let offers = match wanted {
            Dim::TIME => format!("{n}ms? {n}s? {n}*p50?"),
            Dim::BYTES => format!("{n}KiB? {n}MiB? {n}GiB?"),
            Dim::RATE => format!("{n}/s? {n}/min?"),
            Dim::THROUGHPUT => format!("{n}MiB/s? {n}GiB/s?"),
            _ => "give it a unit".to_owned(),
        };
        self.diag(Code::BareNumber, e.span, format!("a bare number is never {wanted}"))
            .label("which unit?")
            .help(offers)
    }

    /// Notes a selection as a candidate for bare statistics to its right.
    pub(super) fn candidate(sc: &mut Scope, t: &Typed) {
        if let Typed::Selection(s) = t {
            sc.left.push(Left::Selection(s.clone()));
        }
    }
}

/// What a `let` stands for, where its name stands: it may come from another file.
fn placed_at(found: Typed, span: Span) -> Typed {
    match found {
        Typed::Selection(s) => Typed::Selection(Selection { span, ..s }),
        Typed::Cond(mut c) => {
            c.set_span(span);
            Typed::Cond(c)
        }
        other => other,
    }
}

/// Names with commas.
pub(super) fn list(names: &[&str]) -> String {
    names.join(", ")
}
