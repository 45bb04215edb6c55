//! Expressions, by precedence climbing: one function a level, loosest first.

use nom::branch::alt;
use nom::combinator::opt;
use nom::multi::{separated_list0, separated_list1};
use nom::sequence::preceded;
use nom::{Err, Parser};

use super::super::ast::{ArithOp, CompareOp, Expr, ExprKind, Member, SetRef, Side};
use super::super::diagnostic::{Code, Diagnostic};
use super::super::limits;
use super::super::token::{Kind, Punct, unit};
use super::deeper;
use super::input::{Fault, Res, Tokens, any_name, expect, name, punct, word};
use crate::source::Span;

/// Builds a node, unless the tree would become too high.
fn node(t: Tokens<'_>, kind: ExprKind, span: Span) -> Res<'_, Expr> {
    let e = Expr::new(kind, span);
    if e.height <= limits::HEIGHT {
        return Ok((t, e));
    }
    Err(Fault::said(
        t,
        Diagnostic::new(Code::TooDeep, t.cx.file, span, "this expression is too long")
            .help("give parts of it a name with `let`"),
    ))
}

/// `expr = or [ "unless" or ]`
pub(super) fn expr(t: Tokens<'_>) -> Res<'_, Expr> {
    deeper(t, |t| {
        let (t, a) = or(t)?;
        let (t, guard) = opt(preceded(word("unless"), expect("a condition after `unless`", or))).parse(t)?;
        match guard {
            None => Ok((t, a)),
            Some(g) => {
                let span = a.span.to(g.span);
                node(t, ExprKind::Unless(a, g), span)
            }
        }
    })
}

/// A list of operands as one node; a single one stays itself.
fn several(t: Tokens<'_>, list: Vec<Expr>, make: fn(Vec<Expr>) -> ExprKind) -> Res<'_, Expr> {
    let span = list.iter().map(|e| e.span).reduce(Span::to).unwrap_or_else(|| t.span());
    match <[Expr; 1]>::try_from(list) {
        Ok([one]) => Ok((t, one)),
        Err(list) => node(t, make(list), span),
    }
}

/// `or = seq { "or" seq }`
fn or(t: Tokens<'_>) -> Res<'_, Expr> {
    let (t, list) = operands(t, "or", seq, "a condition after `or`")?;
    several(t, list, ExprKind::Or)
}

/// Operands around a word; after the word an operand must follow.
fn operands<'a>(
    t: Tokens<'a>,
    between: &'static str,
    operand: fn(Tokens<'a>) -> Res<'a, Expr>,
    what: &'static str,
) -> Res<'a, Vec<Expr>> {
    let (mut t, first) = operand(t)?;
    let mut list = vec![first];
    while let Ok((rest, _)) = word(between)(t) {
        let (rest, next) = expect(what, operand).parse(rest)?;
        list.push(next);
        t = rest;
    }
    Ok((t, list))
}

/// `seq = grp { "then" grp }`. The `within` that ends a later element bounds the way to it.
fn seq(t: Tokens<'_>) -> Res<'_, Expr> {
    let (mut t, first) = grp(t)?;
    let mut span = first.span;
    let (mut list, mut hops) = (vec![first], Vec::new());
    while let Ok((rest, _)) = word("then")(t) {
        let (rest, next) = expect("a condition after `then`", grp).parse(rest)?;
        span = span.to(next.span);
        let bracketed = t.cx.text(next.span).starts_with('(') && t.cx.text(next.span).ends_with(')');
        let (next, hop) = match *next.kind {
            ExprKind::Within(a, d, Side::Around) if !bracketed => (a, Some(d)),
            ExprKind::Within(_, d, side) if !bracketed => return said_already(rest, d.span, side),
            kind => (Expr::new(kind, next.span), None),
        };
        list.push(next);
        hops.push(hop);
        t = rest;
    }
    if hops.is_empty() {
        return several(t, list, ExprKind::And);
    }
    node(t, ExprKind::Then(list, hops), span)
}

fn said_already(t: Tokens<'_>, d: Span, side: Side) -> Res<'_, Expr> {
    let diagnostic = Diagnostic::new(Code::Direction, t.cx.file, d, "`then` says the direction already")
        .label(format!("leave out the `{}` behind this", side.text()))
        .help("write `A then B within 1s`; brackets make a group of its own: `A then (B and C within 1s after)`");
    Err(Fault::said(t, diagnostic))
}

/// `grp = conj { "within" dur [ "before" | "after" ] | "lasting" dur }`
fn grp(t: Tokens<'_>) -> Res<'_, Expr> {
    let (mut t, mut a) = conj(t)?;
    loop {
        if let Ok((rest, _)) = word("lasting")(t) {
            let (rest, d) = expect("a duration after `lasting`", dur).parse(rest)?;
            let span = a.span.to(d.span);
            (t, a) = node(rest, ExprKind::Lasting(a, d), span)?;
            continue;
        }
        let Ok((rest, _)) = word("within")(t) else {
            return Ok((t, a));
        };
        let (rest, d) = expect("a duration after `within`", dur).parse(rest)?;
        let sides = [Side::Before, Side::After];
        let (rest, side, end) = match sides.into_iter().find(|s| rest.is_word(s.text())) {
            Some(side) => (rest.skip(1), side, rest.span()),
            None => (rest, Side::Around, d.span),
        };
        let span = a.span.to(end);
        (t, a) = node(rest, ExprKind::Within(a, d, side), span)?;
    }
}

/// `conj = neg { ( "and" | "without" | "during" ) neg }`
fn conj(t: Tokens<'_>) -> Res<'_, Expr> {
    let (mut t, first) = neg(t)?;
    let mut list = vec![first];
    loop {
        let (make, what) = if t.is_word("and") {
            (None, "a condition after `and`")
        } else if t.is_word("without") {
            let make = ExprKind::Without as fn(Expr, Expr) -> ExprKind;
            (Some(make), "a condition after `without`")
        } else if t.is_word("during") {
            let make = ExprKind::During as fn(Expr, Expr) -> ExprKind;
            (Some(make), "a condition after `during`")
        } else {
            return several(t, list, ExprKind::And);
        };
        let (rest, next) = expect(what, neg).parse(t.skip(1))?;
        if let Some(make) = make {
            let (_, a) = several(t, list, ExprKind::And)?;
            let span = a.span.to(next.span);
            let (_, whole) = node(rest, make(a, next), span)?;
            list = vec![whole];
        } else {
            list.push(next);
        }
        t = rest;
    }
}

/// `neg = "not" neg | cmp`
fn neg(t: Tokens<'_>) -> Res<'_, Expr> {
    let Ok((rest, at)) = word("not")(t) else {
        return cmp(t);
    };
    deeper(rest, |t| {
        let (t, a) = expect("a condition after `not`", neg).parse(t)?;
        let span = at.to(a.span);
        node(t, ExprKind::Not(a), span)
    })
}

fn compare_op(t: Tokens<'_>) -> Option<CompareOp> {
    Some(match &t.first()?.kind {
        Kind::Punct(Punct::Gt) => CompareOp::Gt,
        Kind::Punct(Punct::Ge) => CompareOp::Ge,
        Kind::Punct(Punct::Lt) => CompareOp::Lt,
        Kind::Punct(Punct::Le) => CompareOp::Le,
        Kind::Punct(Punct::Eq) => CompareOp::Eq,
        Kind::Punct(Punct::Ne) => CompareOp::Ne,
        Kind::Punct(Punct::Match) => CompareOp::Match,
        Kind::Punct(Punct::NotMatch) => CompareOp::NotMatch,
        _ => return None,
    })
}

/// One comparison operator.
pub(super) fn comparison(t: Tokens<'_>) -> Res<'_, (CompareOp, Span)> {
    match compare_op(t) {
        Some(op) => Ok((t.skip(1), (op, t.span()))),
        None => Err(Err::Error(Fault::expected(t, "a comparison"))),
    }
}

/// `cmp = add [ op add | [ "not" ] "in" setref ]`
fn cmp(start: Tokens<'_>) -> Res<'_, Expr> {
    let (t, a) = add(start)?;
    let negated = t.is_word("not") && t.skip(1).is_word("in");
    if negated || t.is_word("in") {
        let (t, set) = expect("a set after `in`", setref).parse(t.skip(1 + usize::from(negated)))?;
        let span = Span {
            start: a.span.start,
            end: last_end(start, t),
        };
        return node(t, ExprKind::In(negated, a, set), span);
    }
    let Ok((rest, (op, at))) = comparison(t) else {
        return Ok((t, a));
    };
    let (t, b) = expect("a value after the comparison", add).parse(rest)?;
    if let Some(second) = compare_op(t) {
        let d = Diagnostic::new(Code::ChainedCompare, t.cx.file, t.span(), "comparisons do not chain")
            .label(format!("a second `{}`", second.text()))
            .also(at, "the first comparison")
            .help(format!("write `a {} b and b {} c`", op.text(), second.text()));
        return Err(Fault::said(t, d));
    }
    let span = a.span.to(b.span);
    node(t, ExprKind::Compare(op, at, a, b), span)
}

/// `setref = NAME | "{" literal { "," literal } "}"`
fn setref(t: Tokens<'_>) -> Res<'_, SetRef> {
    if t.is_punct(Punct::LBrace) {
        let (t, list) = set_literal(t)?;
        return Ok((t, SetRef::Literal(list)));
    }
    let (t, n) = name(t)?;
    Ok((t, SetRef::Name(n)))
}

/// The members of a set, in braces.
pub(super) fn set_literal(t: Tokens<'_>) -> Res<'_, Vec<Expr>> {
    let (t, open) = punct(Punct::LBrace)(t)?;
    let (t, list) = expect(
        "a number, text or word",
        separated_list1(punct(Punct::Comma), expect("a number, text or word", literal)),
    )
    .parse(t)?;
    let (t, _) = close(t, open, Punct::RBrace)?;
    Ok((t, list))
}

/// `literal = [ "-" ] NUMBER | QUANTITY | RATE | STRING | NAME`
pub(super) fn literal(t: Tokens<'_>) -> Res<'_, Expr> {
    if let Ok((rest, at)) = punct(Punct::Minus)(t) {
        let (t, n) = expect("a number after `-`", number_like).parse(rest)?;
        let span = at.to(n.span);
        return node(t, ExprKind::Neg(n), span);
    }
    alt((number_like, text_like, word_like)).parse(t)
}

fn word_like(t: Tokens<'_>) -> Res<'_, Expr> {
    let (t, n) = name(t)?;
    node(t, ExprKind::Name(n.text, true), n.span)
}

fn number_like(t: Tokens<'_>) -> Res<'_, Expr> {
    let span = t.span();
    match t.first().map(|k| &k.kind) {
        Some(Kind::Number(n)) => {
            let rest = t.skip(1);
            if let Some(Kind::Name(word)) = rest.first().filter(|k| !k.first_on_line).map(|k| &k.kind)
                && unit(word).is_some()
            {
                let whole = span.to(rest.span());
                let digits = t.cx.text(span);
                let d = Diagnostic::new(
                    Code::UnitApart,
                    t.cx.file,
                    whole,
                    "a space stands between the number and its unit",
                )
                .help(format!("write `{digits}{word}`"))
                .edit(whole, format!("{digits}{word}"));
                return Err(Fault::said(rest, d));
            }
            node(rest, ExprKind::Number(*n), span)
        }
        Some(Kind::Quantity(n, d)) => node(t.skip(1), ExprKind::Quantity(*n, *d), span),
        _ => Err(Err::Error(Fault::expected(t, "a number"))),
    }
}

fn text_like(t: Tokens<'_>) -> Res<'_, Expr> {
    let span = t.span();
    match t.first().map(|k| &k.kind) {
        Some(Kind::Str(s)) => node(t.skip(1), ExprKind::Str(s.to_string()), span),
        Some(Kind::Regex(s, i)) => node(t.skip(1), ExprKind::Regex(s.to_string(), *i), span),
        _ => Err(Err::Error(Fault::expected(t, "a text"))),
    }
}

/// `dur = QUANTITY | NAME`
pub(super) fn dur(t: Tokens<'_>) -> Res<'_, Expr> {
    alt((number_like, plain_name)).parse(t)
}

fn plain_name(t: Tokens<'_>) -> Res<'_, Expr> {
    let quoted = matches!(t.first().map(|k| &k.kind), Some(Kind::Quoted(_)));
    let (t, n) = name(t)?;
    node(t, ExprKind::Name(n.text, quoted), n.span)
}

/// `add = mul { ( "+" | "-" ) mul }`
pub(super) fn add(t: Tokens<'_>) -> Res<'_, Expr> {
    arith(t, mul, &[(Punct::Plus, ArithOp::Add), (Punct::Minus, ArithOp::Sub)])
}

/// `mul = un { ( "*" | "/" ) un }`
fn mul(t: Tokens<'_>) -> Res<'_, Expr> {
    arith(t, un, &[(Punct::Star, ArithOp::Mul), (Punct::Slash, ArithOp::Div)])
}

fn arith<'a>(t: Tokens<'a>, operand: fn(Tokens<'a>) -> Res<'a, Expr>, ops: &[(Punct, ArithOp)]) -> Res<'a, Expr> {
    let (mut t, mut a) = operand(t)?;
    while let Some((_, op)) = ops.iter().find(|(p, _)| t.is_punct(*p)) {
        let (rest, b) = expect("a value after the operator", operand).parse(t.skip(1))?;
        let span = a.span.to(b.span);
        (t, a) = node(rest, ExprKind::Arith(*op, a, b), span)?;
    }
    Ok((t, a))
}

/// `un = "-" un | win`
fn un(t: Tokens<'_>) -> Res<'_, Expr> {
    let Ok((rest, at)) = punct(Punct::Minus)(t) else {
        return win(t);
    };
    deeper(rest, |t| {
        let (t, a) = expect("a value after `-`", un).parse(t)?;
        let span = at.to(a.span);
        node(t, ExprKind::Neg(a), span)
    })
}

/// `win = post [ "over" dur [ "every" dur ] ]`
fn win(t: Tokens<'_>) -> Res<'_, Expr> {
    let (t, a) = post(t)?;
    let Ok((rest, _)) = word("over")(t) else {
        return Ok((t, a));
    };
    let (t, d) = expect("a duration after `over`", dur).parse(rest)?;
    let (t, every) = opt(preceded(word("every"), expect("a duration after `every`", dur))).parse(t)?;
    let span = a.span.to(every.as_ref().map_or(d.span, |e| e.span));
    node(t, ExprKind::Over(a, d, every), span)
}

/// `post = atom { "." ( NAME | STAT ) | "[" expr { "," expr } "]" | "(" [ args ] ")" | "@" NAME [ "(" expr ")" ] }`
fn post(t: Tokens<'_>) -> Res<'_, Expr> {
    let (mut t, mut a) = atom(t)?;
    // Numbers and texts have no parts: what follows one ends it.
    if !matches!(&*a.kind, ExprKind::Name(..)) && !takes_parts(t, &a) {
        return Ok((t, a));
    }
    loop {
        let open = t.span();
        let rest = t.skip(1);
        let start = a.span.start;
        let (next, kind) = if t.is_punct(Punct::Dot) {
            let (rest, m) = expect("an operation or a statistic after the dot", member).parse(rest)?;
            (rest, ExprKind::Dot(a, m))
        } else if t.is_punct(Punct::LBracket) {
            let (rest, list) = expect(
                "a filter",
                separated_list1(punct(Punct::Comma), expect("a filter", expr)),
            )
            .parse(rest)?;
            let (rest, _) = close(rest, open, Punct::RBracket)?;
            (rest, ExprKind::Filter(a, list))
        } else if t.is_punct(Punct::LParen) {
            let (rest, list) = args(rest)?;
            let (rest, _) = close(rest, open, Punct::RParen)?;
            (rest, ExprKind::Call(a, list))
        } else if t.is_punct(Punct::At) {
            let (after, n) = expect("a segment after `@`", any_name).parse(rest)?;
            let (after, of) = match punct(Punct::LParen)(after) {
                Err(_) => (after, None),
                Ok((inner, open)) => {
                    let (inner, of) = expect("what the segment lies before, after or in", expr).parse(inner)?;
                    let (inner, _) = close(inner, open, Punct::RParen)?;
                    (inner, Some(of))
                }
            };
            (after, ExprKind::At(a, n, of))
        } else {
            return Ok((t, a));
        };
        // The last token read ends the node.
        let span = Span {
            start,
            end: last_end(t, next),
        };
        (t, a) = node(next, kind, span)?;
    }
}

/// Whether something that is no name takes parts: bare statistics and bracketed expressions do.
fn takes_parts(t: Tokens<'_>, a: &Expr) -> bool {
    matches!(&*a.kind, ExprKind::Stat(..)) || t.cx.text(a.span).starts_with('(')
}

/// End of the last token between two positions.
fn last_end(from: Tokens<'_>, to: Tokens<'_>) -> u32 {
    let mut end = from.span().end;
    let mut t = from;
    while t.span().start < to.span().start {
        end = t.span().end;
        t = t.skip(1);
    }
    end
}

/// `args = expr { "," expr }`
fn args(t: Tokens<'_>) -> Res<'_, Vec<Expr>> {
    if t.is_punct(Punct::RParen) {
        return Ok((t, Vec::new()));
    }
    separated_list0(punct(Punct::Comma), expect("an argument", expr)).parse(t)
}

fn member(t: Tokens<'_>) -> Res<'_, Member> {
    if let Some(Kind::Stat(n, d)) = t.first().map(|k| &k.kind) {
        return Ok((t.skip(1), Member::Stat(*n, *d, t.span())));
    }
    let (t, n) = any_name(t)?;
    Ok((t, Member::Name(n)))
}

/// `atom = NAME | STAT | NUMBER | QUANTITY | RATE | STRING | REGEX | "during" | "(" expr ")"`
fn atom(t: Tokens<'_>) -> Res<'_, Expr> {
    if let Ok((rest, open)) = punct(Punct::LParen)(t) {
        let (rest, inner) = expect("an expression after `(`", expr).parse(rest)?;
        let (t, end) = close(rest, open, Punct::RParen)?;
        // Kept as it is, with the brackets in its span, so that messages point at all of it.
        return Ok((
            t,
            Expr {
                span: open.to(end),
                ..inner
            },
        ));
    }
    if let Some(Kind::Stat(n, d)) = t.first().map(|k| &k.kind) {
        return node(t.skip(1), ExprKind::Stat(*n, *d), t.span());
    }
    // Among the arguments of a function a segment is named like a function of its own.
    if t.is_word("during") && t.skip(1).is_punct(Punct::LParen) {
        return node(t.skip(1), ExprKind::Name("during".to_owned(), false), t.span());
    }
    alt((number_like, text_like, plain_name)).parse(t)
}

/// The closing bracket, or a diagnostic that shows the opening one.
pub(super) fn close(t: Tokens<'_>, open: Span, p: Punct) -> Res<'_, Span> {
    punct(p)(t).map_err(|_| {
        let opened = t.cx.text(open);
        let found = if t.at_end() {
            "the end of the file".to_owned()
        } else {
            format!("`{}`", t.cx.text(t.span()).chars().take(24).collect::<String>())
        };
        let d = Diagnostic::new(
            Code::Unclosed,
            t.cx.file,
            t.cx.place(t.span()),
            format!("expected `{}`, found {found}", p.text()),
        )
        .label(format!("expected `{}`", p.text()))
        .also(open, format!("to close this `{opened}`"));
        Fault::said(t, d)
    })
}
