//! Expressions back to text: the shortest form that reads as the same tree.

use std::fmt::Write as _;

use super::ast::{ArithOp, CompareOp, Expr, ExprKind, Member, SetRef, Side};
use super::parser::RESERVED_WORDS;
use super::token::{BYTE_UNITS, TIME_UNITS};
use crate::unit::{Dim, Num};

/// The level of what is never put in brackets.
const ATOM: u8 = 11;

/// How tightly a kind binds; larger is tighter.
fn level(k: &ExprKind) -> u8 {
    match k {
        ExprKind::Unless(..) => 0,
        ExprKind::Or(_) => 1,
        ExprKind::Then(..) => 2,
        ExprKind::Within(..) | ExprKind::Lasting(..) => 3,
        ExprKind::And(_) | ExprKind::Without(..) | ExprKind::During(..) => 4,
        ExprKind::Not(_) => 5,
        ExprKind::Compare(..) | ExprKind::In(..) => 6,
        ExprKind::Arith(ArithOp::Add | ArithOp::Sub, ..) => 7,
        ExprKind::Arith(..) => 8,
        ExprKind::Neg(_) => 9,
        ExprKind::Over(..) => 10,
        _ => ATOM,
    }
}

/// An expression as text.
pub fn expr(e: &Expr) -> String {
    let mut out = String::new();
    write(&mut out, e, 0);
    out
}

fn write(out: &mut String, e: &Expr, least: u8) {
    let own = level(&e.kind);
    if own < least {
        out.push('(');
        kind(out, &e.kind);
        out.push(')');
    } else {
        kind(out, &e.kind);
    }
}

fn list(out: &mut String, items: &[Expr], between: &str, least: u8) {
    for (i, e) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(between);
        }
        write(out, e, least);
    }
}

fn kind(out: &mut String, k: &ExprKind) {
    match k {
        ExprKind::Name(n, quoted) => name(out, n, *quoted),
        ExprKind::Stat(n, d) => stat(out, *n, *d),
        ExprKind::Number(n) => number(out, *n),
        ExprKind::Quantity(n, d) => quantity(out, *n, *d),
        ExprKind::Str(s) => string(out, s),
        ExprKind::Regex(r, i) => {
            let _ = write!(out, "/{}/{}", r.replace('/', "\\/"), if *i { "i" } else { "" });
        }
        ExprKind::Neg(a) => {
            out.push('-');
            write(out, a, 9);
        }
        ExprKind::Not(a) => {
            out.push_str("not ");
            write(out, a, 5);
        }
        ExprKind::Arith(op, a, b) => {
            let own = level(k);
            write(out, a, own);
            let _ = write!(out, " {} ", op.text());
            write(out, b, own + 1);
        }
        ExprKind::And(items) => {
            // `a without b and c` reads from the left; an `and` on the left would become one list.
            let first = items.first().filter(|e| !matches!(&*e.kind, ExprKind::And(_)));
            if let Some(first) = first {
                write(out, first, 4);
                out.push_str(" and ");
            }
            list(out, &items[usize::from(first.is_some())..], " and ", 5);
        }
        ExprKind::Without(a, b) => pair(out, (a, 4), " without ", (b, 5)),
        ExprKind::During(a, b) => pair(out, (a, 4), " during ", (b, 5)),
        ExprKind::Or(items) => list(out, items, " or ", 2),
        ExprKind::Unless(a, b) => pair(out, (a, 1), " unless ", (b, 1)),
        ExprKind::Then(items, hops) => then(out, items, hops),
        ExprKind::Within(a, d, side) => {
            pair(out, (a, 3), " within ", (d, ATOM));
            if *side != Side::Around {
                let _ = write!(out, " {}", side.text());
            }
        }
        ExprKind::Lasting(a, d) => pair(out, (a, 3), " lasting ", (d, ATOM)),
        ExprKind::Compare(op, _, a, b) => {
            write(out, a, 7);
            let _ = write!(out, " {} ", CompareOp::text(*op));
            write(out, b, 7);
        }
        ExprKind::In(negated, a, set) => {
            write(out, a, 7);
            out.push_str(if *negated { " not in " } else { " in " });
            match set {
                SetRef::Name(n) => name(out, &n.text, false),
                SetRef::Literal(items) => {
                    out.push('{');
                    list(out, items, ", ", 9);
                    out.push('}');
                }
            }
        }
        ExprKind::Dot(a, m) => {
            write(out, a, ATOM);
            out.push('.');
            match m {
                Member::Name(n) => member(out, &n.text),
                Member::Stat(n, d, _) => stat(out, *n, *d),
            }
        }
        ExprKind::Filter(a, items) => {
            write(out, a, ATOM);
            out.push('[');
            list(out, items, ", ", 0);
            out.push(']');
        }
        ExprKind::Call(a, items) => {
            match &*a.kind {
                ExprKind::Name(n, false) if n == "during" => out.push_str(n),
                _ => write(out, a, ATOM),
            }
            out.push('(');
            list(out, items, ", ", 0);
            out.push(')');
        }
        ExprKind::At(a, n, of) => {
            write(out, a, ATOM);
            out.push('@');
            member(out, &n.text);
            if let Some(e) = of {
                out.push('(');
                write(out, e, 0);
                out.push(')');
            }
        }
        ExprKind::Over(a, d, every) => {
            write(out, a, ATOM);
            out.push_str(" over ");
            write(out, d, ATOM);
            if let Some(e) = every {
                out.push_str(" every ");
                write(out, e, ATOM);
            }
        }
    }
}

/// Two operands around a word.
fn pair(out: &mut String, (a, left): (&Expr, u8), between: &str, (b, right): (&Expr, u8)) {
    write(out, a, left);
    out.push_str(between);
    write(out, b, right);
}

/// A chain. A group behind `then` stands in brackets, or its `within` would bound the way to it.
fn then(out: &mut String, items: &[Expr], hops: &[Option<Expr>]) {
    for (i, e) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(" then ");
        }
        let bare = i > 0 && matches!(&*e.kind, ExprKind::Within(..));
        write(out, e, if bare { 4 } else { 3 });
        if let Some(Some(d)) = i.checked_sub(1).and_then(|i| hops.get(i)) {
            out.push_str(" within ");
            write(out, d, ATOM);
        }
    }
}

/// Whether a text reads as a plain identifier.
fn is_plain(n: &str) -> bool {
    let digits = n.strip_prefix('p').unwrap_or("");
    n.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && n.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && (digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()))
}

fn name(out: &mut String, n: &str, quoted: bool) {
    if quoted || !is_plain(n) || RESERVED_WORDS.contains(&n) {
        let _ = write!(out, "`{n}`");
    } else {
        out.push_str(n);
    }
}

/// After a dot or `@` no word is reserved.
fn member(out: &mut String, n: &str) {
    if is_plain(n) {
        out.push_str(n);
    } else {
        let _ = write!(out, "`{n}`");
    }
}

fn stat(out: &mut String, n: u32, d: u32) {
    let scale = d / 100;
    if scale <= 1 {
        let _ = write!(out, "p{n}");
    } else {
        let width = scale.to_string().len() - 1;
        let _ = write!(out, "p{}.{:0width$}", n / scale, n % scale);
    }
}

fn string(out: &mut String, s: &str) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A decimal fraction, exact where nine places are enough.
fn number(out: &mut String, n: Num) {
    let scale = 1_000_000_000;
    match n.times(Num::int(scale)) {
        Some(v) if v.denom() == 1 && n.denom() != 1 => {
            let (whole, part) = (v.numer() / scale, v.numer() % scale);
            let digits = format!("{part:09}");
            let _ = write!(out, "{whole}.{}", digits.trim_end_matches('0'));
        }
        _ => {
            let _ = write!(out, "{}", n.floor());
        }
    }
}

/// The largest unit that leaves a whole number.
fn quantity(out: &mut String, n: Num, dim: Dim) {
    let best = |units: &[(&'static str, i128)], n: Num| {
        units
            .iter()
            .filter(|(u, _)| !matches!(*u, "µs" | "μs" | "m" | "kB"))
            .filter_map(|(u, v)| n.over(Num::int(*v)).map(|q| (q, *u, *v)))
            .filter(|(q, ..)| q.denom() == 1)
            .max_by_key(|(.., v)| *v)
            .map(|(q, u, _)| (q, u))
    };
    let (whole, rate) = if dim.time < 0 {
        (n.times(Num::int(1_000_000_000)).unwrap_or(n), "/s")
    } else {
        (n, "")
    };
    let found = match dim {
        Dim::TIME => best(TIME_UNITS, whole),
        Dim::BYTES | Dim::THROUGHPUT => best(BYTE_UNITS, whole),
        Dim::RATE => Some((whole, "")),
        _ => Some((whole, "x")),
    };
    let (q, unit) = found.unwrap_or((whole, if dim.bytes > 0 { "B" } else { "ns" }));
    number(out, q);
    let _ = write!(out, "{unit}{rate}");
}
