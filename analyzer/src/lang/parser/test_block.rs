//! In-file tests.

use nom::Parser;
use nom::combinator::opt;
use nom::multi::separated_list1;

use super::super::ast::{CompareOp, Event, Expect, Expr, Fixture, FixtureKind, Name, Test};
use super::super::diagnostic::{Code, Diagnostic};
use super::super::token::{Kind, Punct};
use super::expr::{close, comparison, dur, expr, literal};
use super::input::{Fault, Res, Tokens, any_name, expect, name, number, punct, string, word};
use crate::source::Span;

/// Words that start a line of a test.
pub const TEST_WORDS: &[&str] = &["span", "param", "at", "every", "trace", "expect"];

fn whole(from: Tokens<'_>, to: Tokens<'_>) -> Span {
    let mut span = from.span();
    let mut t = from;
    while t.span().start < to.span().start {
        span = span.to(t.span());
        t = t.skip(1);
    }
    span
}

/// `test = "test" STRING "for" NAME "{" { fixture | expect } "}"`
pub(super) fn test(start: Tokens<'_>) -> Res<'_, Test> {
    let (t, _) = word("test")(start)?;
    let (t, title) = expect("what the test shows, in double quotes", string).parse(t)?;
    let (t, _) = expect("`for` and the rule's name", word("for")).parse(t)?;
    let (t, rule) = expect("the rule's name", name).parse(t)?;
    let (mut t, open) = expect("`{`", punct(Punct::LBrace)).parse(t)?;
    let (mut fixtures, mut expects) = (Vec::new(), Vec::new());
    loop {
        if let Ok((t, _)) = punct(Punct::RBrace)(t) {
            let span = whole(start, t);
            return Ok((
                t,
                Test {
                    title,
                    rule,
                    fixtures,
                    expects,
                    span,
                },
            ));
        }
        if t.at_end() {
            close(t, open, Punct::RBrace)?;
        }
        if t.is_word("expect") {
            let (rest, e) = expect_(t)?;
            expects.push(e);
            t = rest;
        } else {
            let (rest, f) = fixture(t)?;
            fixtures.push(f);
            t = rest;
        }
    }
}

/// `fixture = "trace" STRING | "span" dur | "param" NAME "=" expr | "at" dur event | "every" dur [ "from" dur "to" dur ] event`
fn fixture(start: Tokens<'_>) -> Res<'_, Fixture> {
    let t = start.skip(1);
    let first = match start.first().map(|k| &k.kind) {
        Some(Kind::Name(n)) => &**n,
        _ => "",
    };
    let (t, kind) = match first {
        "span" => expect("a duration", dur).map(FixtureKind::Span).parse(t)?,
        "param" => {
            let (t, n) = expect("a parameter's name", name).parse(t)?;
            let (t, _) = expect("`=`", punct(Punct::Eq)).parse(t)?;
            let (t, e) = expect("a value", expr).parse(t)?;
            (t, FixtureKind::Param(n, e))
        }
        "at" => {
            let (t, d) = expect("a duration: when the event starts", dur).parse(t)?;
            let (t, e) = expect("an event such as `cuda.cudaMalloc`", event).parse(t)?;
            (t, FixtureKind::At(d, e))
        }
        "every" => {
            let (t, d) = expect("a duration: the distance of the starts", dur).parse(t)?;
            let (t, from_to) = match word("from")(t) {
                Err(_) => (t, None),
                Ok((t, _)) => {
                    let (t, from) = expect("a duration", dur).parse(t)?;
                    let (t, _) = expect("`to` and a duration", word("to")).parse(t)?;
                    let (t, to) = expect("a duration", dur).parse(t)?;
                    (t, Some((from, to)))
                }
            };
            let (t, e) = expect("an event such as `cuda.cudaMalloc`", event).parse(t)?;
            (t, FixtureKind::Every(d, from_to, e))
        }
        "trace" => expect("the path of a trace, in double quotes", string)
            .map(FixtureKind::Trace)
            .parse(t)?,
        _ => {
            let written = t.cx.text(start.span());
            let d = Diagnostic::new(
                Code::Expected,
                t.cx.file,
                start.span(),
                format!(
                    "expected a fixture or `expect`, found `{}`",
                    written.chars().take(24).collect::<String>()
                ),
            )
            .suggest(start.span(), written, TEST_WORDS, "lines of a test start with");
            return Err(Fault::said(start, d));
        }
    };
    let span = whole(start, t);
    Ok((t, Fixture { kind, span }))
}

/// `event = NAME { "." NAME } { NAME "=" literal }`
fn event(t: Tokens<'_>) -> Res<'_, Event> {
    let (mut t, path) = separated_list1(punct(Punct::Dot), any_name).parse(t)?;
    let mut fields = Vec::new();
    while let (Some(Kind::Name(_) | Kind::Quoted(_)), Some(Kind::Punct(Punct::Eq))) =
        (t.first().map(|k| &k.kind), t.second().map(|k| &k.kind))
    {
        let (rest, n) = any_name(t)?;
        let (rest, e) = expect("a number, text or word", literal).parse(rest.skip(1))?;
        fields.push((n, e));
        t = rest;
    }
    Ok((t, Event { path, fields }))
}

/// `expect = "expect" NAME [ INT ] [ "{" check { "," check } "}" ]`
fn expect_(start: Tokens<'_>) -> Res<'_, Expect> {
    let (t, _) = word("expect")(start)?;
    let (t, outcome) = expect("`fires`, `quiet`, `unknown` or `skipped`", name).parse(t)?;
    let (t, count) = opt(number).parse(t)?;
    let (t, checks) = match punct(Punct::LBrace)(t) {
        Err(_) => (t, Vec::new()),
        Ok((t, open)) => {
            let (t, list) =
                separated_list1(punct(Punct::Comma), expect("a check such as `pid = 7`", check)).parse(t)?;
            let (t, _) = close(t, open, Punct::RBrace)?;
            (t, list)
        }
    };
    let span = whole(start, t);
    Ok((
        t,
        Expect {
            outcome,
            count: count.map(|(n, _)| n),
            checks,
            span,
        },
    ))
}

/// `check = NAME op literal`
fn check(t: Tokens<'_>) -> Res<'_, (Name, CompareOp, Expr)> {
    let (t, n) = any_name(t)?;
    let (t, (op, _)) = expect("a comparison", comparison).parse(t)?;
    let (t, e) = expect("a number, text or word", literal).parse(t)?;
    Ok((t, (n, op, e)))
}
