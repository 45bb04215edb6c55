//! In-file tests.

use std::collections::BTreeSet;

use super::super::ast::{self, Expr, ExprKind, FixtureKind};
use super::super::diagnostic::{Code, Diagnostic};
use super::super::hir::{CmpOp, Expect, FixtureEvent, Literal, Outcome, Test};
use super::filter::plain_op;
use super::scope::{Checker, FileScope};
use super::select::op_names;
use super::{R, Reported};
use crate::source::SourceFile;
use crate::trace::catalogue::Source;

const OUTCOMES: &[&str] = &["fires", "quiet", "unknown", "skipped"];

/// Checks a test.
pub(super) fn test<'a>(
    t: &'a ast::Test,
    scope: &'a FileScope<'a>,
    (scopes, files): (&'a [FileScope<'a>], &'a [SourceFile]),
    rules: &[&str],
    params: &BTreeSet<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> R<Test> {
    let mut c = Checker::among(scope, scopes, files);
    let out = c.test(t, rules, params);
    let failed = c.diagnostics.iter().any(Diagnostic::is_error);
    diagnostics.append(&mut c.diagnostics);
    if failed { Err(Reported) } else { Ok(out) }
}

impl Checker<'_> {
    fn test(&mut self, t: &ast::Test, rules: &[&str], params: &BTreeSet<&str>) -> Test {
        if !rules.contains(&t.rule.text.as_str()) {
            let d = self
                .diag(
                    Code::TestRule,
                    t.rule.span,
                    format!("no rule is called `{}`", t.rule.text),
                )
                .suggest(t.rule.span, &t.rule.text, rules, "rules are");
            self.diagnostics.push(d);
        }
        if t.expects.is_empty() {
            let d = self
                .diag(Code::TestEmpty, t.title.span, "this test asserts nothing")
                .help("say what must come out: `expect fires`, `expect quiet`, `expect unknown`, `expect skipped`");
            self.diagnostics.push(d);
        }
        let mut out = Test {
            name: t.title.value.clone(),
            rule: t.rule.text.clone(),
            file: self.scope.file,
            span: t.span,
            trace: None,
            span_ns: 0,
            params: Vec::new(),
            events: Vec::new(),
            expects: Vec::new(),
        };
        // The span first: `every` without `to` runs to its end.
        for f in &t.fixtures {
            if let FixtureKind::Span(d) = &f.kind {
                if out.span_ns > 0 {
                    let d = self.diag(Code::TestFixture, f.span, "the span is given twice");
                    self.diagnostics.push(d);
                }
                out.span_ns = self.duration(d, "the span of a test").unwrap_or(1);
            }
        }
        for f in &t.fixtures {
            match &f.kind {
                FixtureKind::Span(_) => {}
                FixtureKind::Trace(path) => self.stored(t, f, path, &mut out),
                FixtureKind::Param(n, e) => {
                    if params.contains(n.text.as_str()) {
                        out.params.push((n.text.clone(), self.text(e.span)));
                    } else {
                        let known: Vec<&str> = params.iter().copied().collect();
                        let d = self
                            .diag(
                                Code::TestParam,
                                n.span,
                                format!("no rule file has a parameter `{}`", n.text),
                            )
                            .suggest(n.span, &n.text, &known, "parameters are");
                        self.diagnostics.push(d);
                    }
                }
                FixtureKind::At(d, e) => {
                    let at_ns = self.duration(d, "the start of an event");
                    let event = self.event(e, f.span);
                    if let (Ok(at_ns), Ok(event)) = (at_ns, event) {
                        out.events.push(FixtureEvent { at_ns, ..event });
                    }
                }
                FixtureKind::Every(d, range, e) => {
                    if let Ok(event) = self.repeated(d, range.as_ref(), e, f, out.span_ns) {
                        out.events.push(event);
                    }
                }
            }
        }
        for e in &t.expects {
            if let Ok(e) = self.expectation(e) {
                out.expects.push(e);
            }
        }
        out
    }

    /// A stored trace stands alone: what is in it cannot be added to.
    fn stored(&mut self, t: &ast::Test, f: &ast::Fixture, path: &ast::Text, out: &mut Test) {
        let other = t.fixtures.iter().find(|o| {
            let told = !matches!(o.kind, FixtureKind::Param(..));
            told && o.span != f.span
        });
        let d = if let Some(other) = other {
            self.diag(
                Code::TestFixture,
                f.span,
                "a stored trace is the whole fixture of its test",
            )
            .also(other.span, "this cannot stand beside it")
            .help("write two tests: one with the stored trace, one with events")
        } else if path.value.is_empty() {
            self.diag(Code::TestFixture, path.span, "this names no trace")
                .help("as in `trace \"traces/slow.db\"`, relative to this file")
        } else {
            out.trace = Some(path.value.clone());
            return;
        };
        self.diagnostics.push(d);
    }

    fn repeated(
        &mut self,
        d: &Expr,
        range: Option<&(Expr, Expr)>,
        e: &ast::Event,
        f: &ast::Fixture,
        span_ns: i64,
    ) -> R<FixtureEvent> {
        let every_ns = self.duration(d, "the distance of repeated events");
        let (at_ns, to_ns) = match range {
            Some((from, to)) => (
                self.duration(from, "the first start"),
                self.duration(to, "the end of the repetition"),
            ),
            None if span_ns == 0 => {
                let d = self
                    .diag(Code::TestFixture, f.span, "this repetition has no end")
                    .help("write `every 10ms from 0s to 2s …`, or give the test a `span`");
                return self.fail(d);
            }
            None => (Ok(0), Ok(span_ns)),
        };
        let event = self.event(e, f.span);
        let (every_ns, at_ns, to_ns, event) = (every_ns?, at_ns?, to_ns?, event?);
        if every_ns == 0 || to_ns <= at_ns {
            let d = self.diag(Code::TestFixture, f.span, "this repetition holds no event");
            return self.fail(d);
        }
        if (to_ns - at_ns) / every_ns > 1_000_000 {
            let d = self
                .diag(
                    Code::TestFixture,
                    f.span,
                    "this repetition holds more than a million events",
                )
                .help("repeat less often, or for a shorter time");
            return self.fail(d);
        }
        Ok(FixtureEvent {
            at_ns,
            every_ns: Some(every_ns),
            to_ns,
            ..event
        })
    }

    fn event(&mut self, e: &ast::Event, span: crate::source::Span) -> R<FixtureEvent> {
        let Some(first) = e.path.first() else {
            return Err(Reported);
        };
        let Some(source) = Source::by_name(&first.text) else {
            let known = Source::ALL.map(Source::name);
            let d = self
                .diag(Code::TestEvent, first.span, format!("unknown source `{}`", first.text))
                .suggest(first.span, &first.text, &known, "sources are");
            return self.fail(d);
        };
        // Sources of stored calls know their operations; what else can be written is the fixture
        // writer's to say.
        let strict = matches!(
            source,
            Source::Cuda
                | Source::Driver
                | Source::Graph
                | Source::Io
                | Source::Mem
                | Source::Net
                | Source::Tcp
                | Source::Nccl
        );
        match e.path.get(1) {
            Some(op) if strict && !op_names(source).iter().any(|n| n.eq_ignore_ascii_case(&op.text)) => {
                let d = self
                    .diag(
                        Code::TestEvent,
                        op.span,
                        format!("`{}` has no operation `{}`", source.name(), op.text),
                    )
                    .suggest(op.span, &op.text, &op_names(source), "operations are");
                return self.fail(d);
            }
            None if strict => {
                let d = self.diag(Code::TestEvent, first.span, "which operation?").help(format!(
                    "as in `{}.{}`",
                    source.name(),
                    op_names(source).last().copied().unwrap_or("")
                ));
                return self.fail(d);
            }
            _ => {}
        }
        let mut fields: Vec<(String, Literal)> = Vec::new();
        for (n, v) in &e.fields {
            if fields.iter().any(|(k, _)| *k == n.text) {
                let d = self.diag(Code::TestFixture, n.span, format!("`{}` is given twice", n.text));
                return self.fail(d);
            }
            fields.push((n.text.clone(), self.literal(v)?));
        }
        Ok(FixtureEvent {
            path: e.path.iter().map(|n| n.text.clone()).collect(),
            at_ns: 0,
            every_ns: None,
            to_ns: 0,
            fields,
            span,
        })
    }

    fn literal(&mut self, e: &Expr) -> R<Literal> {
        match &*e.kind {
            ExprKind::Str(s) => Ok(Literal::Text(s.clone())),
            ExprKind::Name(n, _) => Ok(Literal::Word(n.clone())),
            _ => {
                let n = self.constant(e)?;
                match n.as_const() {
                    Some(v) => Ok(Literal::Num(v, n.dim)),
                    None => self.not_a_number(e),
                }
            }
        }
    }

    fn expectation(&mut self, e: &ast::Expect) -> R<Expect> {
        let count = match e.count {
            None => None,
            Some(n) => {
                let whole = u32::try_from(n.numer()).ok().filter(|_| n.denom() == 1);
                if whole.is_some() {
                    whole
                } else {
                    let d = self.diag(Code::TestFixture, e.span, "how often is a whole number");
                    return self.fail(d);
                }
            }
        };
        let outcome = match (e.outcome.text.as_str(), count) {
            ("fires", count) => Outcome::Fires(count),
            ("quiet", None) => Outcome::Quiet,
            ("unknown", None) => Outcome::Unknown,
            ("skipped", None) => Outcome::Skipped,
            (w, Some(_)) if OUTCOMES.contains(&w) => {
                let d = self.diag(Code::TestFixture, e.span, "only `fires` can be counted");
                return self.fail(d);
            }
            (w, _) => {
                let d = self
                    .diag(Code::TestFixture, e.outcome.span, format!("unknown expectation `{w}`"))
                    .suggest(e.outcome.span, w, OUTCOMES, "expectations are");
                return self.fail(d);
            }
        };
        if !e.checks.is_empty() && !matches!(outcome, Outcome::Fires(_)) {
            let d = self
                .diag(
                    Code::TestFixture,
                    e.span,
                    "only a diagnosis can be looked at, and here none is expected",
                )
                .help("checks in { } go with `expect fires`");
            return self.fail(d);
        }
        let mut checks: Vec<(String, CmpOp, Literal)> = Vec::new();
        for (n, op, v) in &e.checks {
            let Some(op) = plain_op(*op) else {
                let d = self.diag(Code::BadOperator, n.span, "checks compare with a value, not a pattern");
                return self.fail(d);
            };
            checks.push((n.text.clone(), op, self.literal(v)?));
        }
        Ok(Expect {
            outcome,
            checks,
            span: e.span,
        })
    }
}
