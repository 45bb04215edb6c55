//! Expressions back to text: the shortest form that reads as the same tree.

use std::fmt::Write as _;

use super::ast::{ArithOp, CompareOp, Expr, ExprKind, Member, SetRef};
use super::parser::RESERVED_WORDS;
use super::token::{BYTE_UNITS, TIME_UNITS};
use crate::unit::{Dim, Num};

/// How tightly a kind binds; larger is tighter.
fn level(k: &ExprKind) -> u8 {
    match k {
        ExprKind::Unless(..) => 0,
        ExprKind::Or(_) => 1,
        ExprKind::Within(..) => 2,
        ExprKind::And(_) => 3,
        ExprKind::Not(_) => 4,
        ExprKind::Compare(..) | ExprKind::In(..) => 5,
        ExprKind::Arith(ArithOp::Add | ArithOp::Sub, ..) => 6,
        ExprKind::Arith(..) => 7,
        ExprKind::Neg(_) => 8,
        ExprKind::Over(..) => 9,
        _ => 10,
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
            write(out, a, 8);
        }
        ExprKind::Not(a) => {
            out.push_str("not ");
            write(out, a, 4);
        }
        ExprKind::Arith(op, a, b) => {
            let own = level(k);
            write(out, a, own);
            let _ = write!(out, " {} ", op.text());
            write(out, b, own + 1);
        }
        ExprKind::And(items) => list(out, items, " and ", 4),
        ExprKind::Or(items) => list(out, items, " or ", 2),
        ExprKind::Unless(a, b) => {
            write(out, a, 1);
            out.push_str(" unless ");
            write(out, b, 1);
        }
        ExprKind::Within(a, d) => {
            write(out, a, 2);
            out.push_str(" within ");
            write(out, d, 10);
        }
        ExprKind::Compare(op, _, a, b) => {
            write(out, a, 6);
            let _ = write!(out, " {} ", CompareOp::text(*op));
            write(out, b, 6);
        }
        ExprKind::In(negated, a, set) => {
            write(out, a, 6);
            out.push_str(if *negated { " not in " } else { " in " });
            match set {
                SetRef::Name(n) => name(out, &n.text, false),
                SetRef::Literal(items) => {
                    out.push('{');
                    list(out, items, ", ", 8);
                    out.push('}');
                }
            }
        }
        ExprKind::Dot(a, m) => {
            write(out, a, 10);
            out.push('.');
            match m {
                Member::Name(n) => member(out, &n.text),
                Member::Stat(n, d, _) => stat(out, *n, *d),
            }
        }
        ExprKind::Filter(a, items) => {
            write(out, a, 10);
            out.push('[');
            list(out, items, ", ", 0);
            out.push(']');
        }
        ExprKind::Call(a, items) => {
            write(out, a, 10);
            out.push('(');
            list(out, items, ", ", 0);
            out.push(')');
        }
        ExprKind::At(a, n) => {
            write(out, a, 10);
            out.push('@');
            member(out, &n.text);
        }
        ExprKind::Over(a, d, every) => {
            write(out, a, 10);
            out.push_str(" over ");
            write(out, d, 10);
            if let Some(e) = every {
                out.push_str(" every ");
                write(out, e, 10);
            }
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
