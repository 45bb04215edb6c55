//! What holds for any text and any tree.

mod files;

use std::time::{Duration, Instant};

use ingero::lang::ast::{ArithOp, CompareOp, Expr, ExprKind, Item, Member, Name, SetRef, Side};
use ingero::lang::compile;
use ingero::lang::parser::parse;
use ingero::lang::print;
use ingero::lang::token::lex;
use ingero::source::{SourceFile, SourceId, Span};
use ingero::unit::{Dim, Num};
use proptest::prelude::*;

fn at() -> Span {
    Span::default()
}

fn name(text: &str) -> Name {
    Name {
        text: text.to_owned(),
        span: at(),
    }
}

fn node(kind: ExprKind) -> Expr {
    Expr::new(kind, at())
}

fn atom() -> impl Strategy<Value = Expr> {
    prop_oneof![
        prop::sample::select(vec!["cuda", "sched", "when", "a b", "p99", "x_1"])
            .prop_map(|n| node(ExprKind::Name(n.to_owned(), !matches!(n, "cuda" | "sched" | "x_1")))),
        (1_u32..100).prop_map(|p| node(ExprKind::Stat(p, 100))),
        (991_u32..1000).prop_map(|p| node(ExprKind::Stat(p, 1000))),
        (0_i128..1_000_000).prop_map(|n| node(ExprKind::Number(Num::int(n)))),
        (1_i128..10_000_000_000).prop_map(|n| node(ExprKind::Quantity(Num::int(n), Dim::TIME))),
        (1_i128..10_000_000_000).prop_map(|n| node(ExprKind::Quantity(Num::int(n), Dim::BYTES))),
        "[ -~]{0,8}".prop_map(|s| node(ExprKind::Str(s))),
    ]
}

fn quantity() -> Expr {
    node(ExprKind::Quantity(Num::int(5_000_000), Dim::TIME))
}

fn tree() -> impl Strategy<Value = Expr> {
    atom().prop_recursive(4, 40, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        let some = prop::collection::vec(inner.clone(), 2..4);
        let path = prop::sample::select(vec!["cuda", "gpu"]).prop_map(|n| node(ExprKind::Name(n.to_owned(), false)));
        let op = prop::sample::select(vec![ArithOp::Add, ArithOp::Sub, ArithOp::Mul, ArithOp::Div]);
        let cmp = prop::sample::select(vec![CompareOp::Gt, CompareOp::Le, CompareOp::Eq, CompareOp::Ne]);
        prop_oneof![
            inner.clone().prop_map(|a| node(ExprKind::Not(a))),
            inner.clone().prop_map(|a| node(ExprKind::Neg(a))),
            (op, two.clone()).prop_map(|(op, (a, b))| node(ExprKind::Arith(op, a, b))),
            (cmp, two.clone()).prop_map(|(op, (a, b))| node(ExprKind::Compare(op, at(), a, b))),
            some.clone().prop_map(|l| node(ExprKind::And(l))),
            some.clone().prop_map(|l| node(ExprKind::Or(l))),
            two.clone().prop_map(|(a, b)| node(ExprKind::Unless(a, b))),
            two.clone().prop_map(|(a, b)| node(ExprKind::Without(a, b))),
            two.prop_map(|(a, b)| node(ExprKind::During(a, b))),
            inner.clone().prop_map(|a| node(ExprKind::Lasting(a, quantity()))),
            (
                inner.clone(),
                prop::sample::select(vec![Side::Around, Side::Before, Side::After])
            )
                .prop_map(|(a, side)| node(ExprKind::Within(a, quantity(), side))),
            (some.clone(), prop::collection::vec(any::<bool>(), 3)).prop_map(|(l, hops)| {
                let hops = hops[1..l.len()].iter().map(|h| h.then(quantity)).collect();
                node(ExprKind::Then(l, hops))
            }),
            (any::<bool>(), inner.clone()).prop_map(|(n, a)| node(ExprKind::In(n, a, SetRef::Name(name("s"))))),
            (path.clone(), some.clone()).prop_map(|(a, l)| node(ExprKind::Filter(a, l))),
            (path.clone(), some).prop_map(|(a, l)| node(ExprKind::Call(a, l))),
            (path.clone(), any::<bool>()).prop_map(|(a, p)| {
                let m = if p {
                    Member::Stat(99, 100, at())
                } else {
                    Member::Name(name("over"))
                };
                node(ExprKind::Dot(a, m))
            }),
            path.clone().prop_map(|a| node(ExprKind::At(a, name("steady"), None))),
            (path.clone(), inner).prop_map(|(a, x)| node(ExprKind::At(a, name("before"), Some(x)))),
            (path, any::<bool>()).prop_map(|(a, e)| node(ExprKind::Over(a, quantity(), e.then(quantity)))),
        ]
    })
}

/// The tree of `when E => X`, as text without places.
fn reread(text: &str) -> Result<Expr, String> {
    let source = SourceFile::new("t", format!("when {text} => X"));
    let lexed = lex(SourceId(0), &source.text);
    let (file, diagnostics) = parse(SourceId(0), &source, &lexed);
    match (
        file.items.into_iter().next(),
        lexed.diagnostics.is_empty() && diagnostics.is_empty(),
    ) {
        (Some(Item::Rule(r)), true) => Ok(r.cond),
        _ => Err(format!("{text}\n{:?}\n{diagnostics:?}", lexed.diagnostics)),
    }
}

/// A tree without its places.
fn shape(e: &Expr) -> String {
    without_places(&format!("{e:?}"))
}

/// What a tree looks like for programmers, without the places in it.
fn without_places(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(i) = rest.find("Span {") {
        out.push_str(&rest[..i]);
        rest = &rest[i..];
        rest = &rest[rest.find('}').map_or(rest.len(), |j| j + 1)..];
    }
    out + rest
}

fn soup() -> impl Strategy<Value = String> {
    let words = vec![
        "when",
        "cuda",
        ".",
        "p99",
        "p50",
        ">",
        "5*",
        "5ms",
        "and",
        "or",
        "not",
        "within",
        "then",
        "without",
        "during",
        "lasting",
        "after",
        "100ms",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "=>",
        "A",
        "sched.off_cpu",
        "covered(",
        ",",
        "let",
        "x",
        "=",
        "param",
        ":",
        "Duration",
        "set",
        "test",
        "\"t\"",
        "for",
        "at",
        "1s",
        "every",
        "expect",
        "fires",
        "severity",
        "high",
        "if",
        "message",
        "\"{pid} {x}\"",
        "over",
        "@steady",
        "drop(",
        "gap(",
        "gpu",
        "in",
        "=~",
        "/a/",
        "-",
        "unless",
        "per",
        "pid",
        "duration",
        "system",
        "trace.lost",
        "\n",
        "80%",
        "200/s",
        "first_use",
        "fix",
        "share(",
        "`q`",
        "#",
        "##",
        "2027-01-31",
    ];
    prop::collection::vec(prop::sample::select(words), 0..60).prop_map(|w| w.join(" "))
}

fn checks_fast(text: &str) {
    let start = Instant::now();
    let out = compile(&[SourceFile::new("t", text)], &[]);
    let shown = ingero::lang::render::plain(&out.diagnostics, &out.program.files);
    assert_eq!(shown.is_empty(), out.diagnostics.is_empty());
    for r in &out.program.rules {
        assert!(!ingero::lang::explain::rule(&out.program, r).is_empty());
    }
    assert!(start.elapsed() < Duration::from_secs(10), "slow: {text:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_checked_without_panic(text in "\\PC{0,200}") {
        checks_fast(&text);
    }

    #[test]
    fn any_characters_are_checked_without_panic(text in any::<String>()) {
        checks_fast(&text);
        checks_fast(&format!("when mem.oom => A {{ message \"{text}\" }}"));
    }

    #[test]
    fn any_words_are_checked_without_panic(text in soup()) {
        checks_fast(&text);
        checks_fast(&format!("when {text} => A"));
    }

    #[test]
    fn printed_trees_read_back(e in tree()) {
        let text = print::expr(&e);
        let again = reread(&text);
        prop_assert!(again.is_ok(), "{:?}", again);
        if let Ok(again) = again {
            prop_assert_eq!(shape(&again), shape(&e), "{}", text);
        }
    }
}

fn lines(n: usize, line: impl Fn(usize) -> String) -> String {
    (0..n).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn large_and_deep_texts_end_quickly() {
    let start = Instant::now();
    let lets = lines(40, |i| format!("let a{} = a{i}.p99 + a{i}.p99", i + 1));
    let values = lines(40, |i| format!("let v{} = v{i} + v{i}", i + 1));
    for text in [
        "(".repeat(1 << 19),
        "x[".repeat(1 << 18),
        "when a".to_owned() + &"+a".repeat(1 << 18),
        "when ".to_owned() + &"not ".repeat(1 << 17),
        "when cuda.p99 > 5ms ".to_owned() + &"and cuda.p99 > 5ms ".repeat(20_000) + "=> A",
        "when x => A\n".repeat(40_000),
        lines(30_000, |i| format!("when x => A{i}")),
        "let a = {\n".repeat(60_000),
        "\"".repeat(1 << 20),
        "when mem.oom => A { ".to_owned() + &"fix 3\n".repeat(50_000) + "}",
        format!("let a0 = cuda.launch\n{lets}\nwhen a40 > 5ms => A"),
        format!("let v0 = cuda.launch.p99\n{values}\nwhen v12 > 5ms => A\nwhen v40 > 5ms => B"),
        " ".repeat((1 << 20) + 1),
    ] {
        let out = compile(&[SourceFile::new("t", text)], &[]);
        let errors = out.diagnostics.len();
        assert!(errors > 0 && errors <= 220, "{errors}");
    }
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
}
