//! Items: definitions and rules.

use nom::Parser;
use nom::branch::alt;
use nom::combinator::opt;
use nom::multi::separated_list1;
use nom::sequence::preceded;

use super::super::ast::{
    Change, Clause, ClauseKind, Expr, Import, Item, Let, Name, Override, Param, Rule, Segment, Set, Text,
};
use super::super::diagnostic::{Code, Diagnostic};
use super::super::token::{Kind, Punct};
use super::expr::{close, expr, set_literal};
use super::input::{Fault, Res, Tokens, expect, name, number, punct, settle, string, word};
use super::{CLAUSE_WORDS, ITEM_WORDS, test_block};
use crate::source::Span;

/// `item = import | param | let | set | segment | rule | override | test`
pub(super) fn item(t: Tokens<'_>) -> Res<'_, Item> {
    if t.is_word("edition") {
        let d = Diagnostic::new(
            Code::Edition,
            t.cx.file,
            t.span(),
            "`edition` stands once, at the top of a file",
        );
        return Err(Fault::said(t, d));
    }
    alt((
        rule.map(|r| Item::Rule(Box::new(r))),
        let_.map(Item::Let),
        param.map(Item::Param),
        set.map(Item::Set),
        segment.map(Item::Segment),
        import.map(Item::Import),
        override_.map(Item::Override),
        test_block::test.map(Item::Test),
    ))
    .parse(t)
    .map_err(|e| match e {
        nom::Err::Error(_) => unknown_item(t),
        other => other,
    })
}

fn unknown_item(t: Tokens<'_>) -> nom::Err<Fault> {
    let written = t.cx.text(t.span());
    let d = Diagnostic::new(
        Code::Expected,
        t.cx.file,
        t.span(),
        format!(
            "expected a rule or definition, found `{}`",
            written.chars().take(24).collect::<String>()
        ),
    )
    .label("an item starts here");
    let d = match written {
        "rule" | "if" | "alert" => d.help("a rule is written `when CONDITION => NAME`"),
        "}" => d.help("this brace closes nothing"),
        _ => d.suggest(t.span(), written, &ITEM_WORDS[..5], "items start with"),
    };
    Fault::said(t, d)
}

/// From the first token of an item to the last one read.
fn whole(from: Tokens<'_>, to: Tokens<'_>) -> Span {
    let mut span = from.span();
    let mut t = from;
    while t.span().start < to.span().start {
        span = span.to(t.span());
        t = t.skip(1);
    }
    span
}

/// `let = "let" NAME "=" expr`
pub(super) fn let_(start: Tokens<'_>) -> Res<'_, Let> {
    let (t, _) = word("let")(start)?;
    let (t, name) = expect("a name after `let`", name).parse(t)?;
    let (t, _) = expect("`=`", punct(Punct::Eq)).parse(t)?;
    let (t, expr) = expect("what the name stands for", expr).parse(t)?;
    let span = whole(start, t);
    Ok((t, Let { name, expr, span }))
}

/// `param = "param" NAME ":" NAME "=" expr [ "range" expr ".." expr ]`
fn param(start: Tokens<'_>) -> Res<'_, Param> {
    let (t, _) = word("param")(start)?;
    let (t, param) = expect("a name after `param`", name).parse(t)?;
    let (t, _) = expect(
        "`:` and a type, as in `param slow: Duration = 5ms`",
        punct(Punct::Colon),
    )
    .parse(t)?;
    let (t, ty) = expect("a type", name).parse(t)?;
    let (t, _) = expect("`=` and a default value", punct(Punct::Eq)).parse(t)?;
    let (t, value) = expect("a value", expr).parse(t)?;
    let (t, range) = match word("range")(t) {
        Err(_) => (t, None),
        Ok((t, _)) => {
            let (t, low) = expect("the smallest value", expr).parse(t)?;
            let (t, _) = expect("`..`", punct(Punct::DotDot)).parse(t)?;
            let (t, high) = expect("the largest value", expr).parse(t)?;
            (t, Some((low, high)))
        }
    };
    let span = whole(start, t);
    Ok((
        t,
        Param {
            name: param,
            ty,
            value,
            range,
            span,
        },
    ))
}

/// `import = "import" STRING [ "as" NAME ]`
fn import(start: Tokens<'_>) -> Res<'_, Import> {
    let (t, _) = word("import")(start)?;
    let (t, path) = expect("the path of a file, a text in double quotes", string).parse(t)?;
    let (t, name) = opt(preceded(word("as"), expect("a name after `as`", name))).parse(t)?;
    let span = whole(start, t);
    Ok((t, Import { path, name, span }))
}

/// `override = "override" ( "param" NAME "=" expr | NAME ( "disable" | "{" { clause } "}" ) )`
fn override_(start: Tokens<'_>) -> Res<'_, Override> {
    let (t, _) = word("override")(start)?;
    let (t, target, change) = if let Ok((t, _)) = word("param")(t) {
        let (t, target) = expect("a parameter after `param`", name).parse(t)?;
        let (t, _) = expect("`=` and the value", punct(Punct::Eq)).parse(t)?;
        let (t, value) = expect("a value", expr).parse(t)?;
        (t, target, Change::Param(value))
    } else {
        let (t, target) = expect("the name of a rule, or `param` and a parameter", name).parse(t)?;
        if let Ok((t, _)) = word("disable")(t) {
            (t, target, Change::Disable)
        } else {
            let (t, open) = expect("`{` and clauses, or `disable`", punct(Punct::LBrace)).parse(t)?;
            let (t, clauses) = body(t, open)?;
            (t, target, Change::Clauses(clauses))
        }
    };
    let span = whole(start, t);
    Ok((t, Override { target, change, span }))
}

/// `segment = "segment" NAME "=" expr`
fn segment(start: Tokens<'_>) -> Res<'_, Segment> {
    let (t, _) = word("segment")(start)?;
    let (t, name) = expect("a name after `segment`", name).parse(t)?;
    let (t, _) = expect("`=`", punct(Punct::Eq)).parse(t)?;
    let (t, expr) = expect("what the segment covers", expr).parse(t)?;
    let span = whole(start, t);
    Ok((t, Segment { name, expr, span }))
}

/// `set = "set" NAME "=" "{" literal { "," literal } "}"`
fn set(start: Tokens<'_>) -> Res<'_, Set> {
    let (t, _) = word("set")(start)?;
    let (t, name) = expect("a name after `set`", name).parse(t)?;
    let (t, _) = expect("`=`", punct(Punct::Eq)).parse(t)?;
    let (t, members) = expect("`{` and the members", set_literal).parse(t)?;
    let span = whole(start, t);
    Ok((t, Set { name, members, span }))
}

/// `rule = "when" expr [ "per" keys [ "across" keys ] ] "=>" NAME [ "{" { clause } "}" ]`
fn rule(start: Tokens<'_>) -> Res<'_, Rule> {
    let (t, at) = word("when")(start)?;
    let (t, cond) = expect("a condition after `when`", expr).parse(t)?;
    let (t, per) = opt(preceded(word("per"), expect("keys after `per`", keys))).parse(t)?;
    let (t, across) = match (&per, word("across")(t)) {
        (Some(_), Ok((t, _))) => expect("keys after `across`", keys).parse(t)?,
        _ => (t, Vec::new()),
    };
    let (t, _) = expect(
        "`=>` and the rule's name, or more of the condition",
        punct(Punct::Arrow),
    )
    .parse(t)?;
    let (t, name) = expect("the rule's name", name).parse(t)?;
    let (t, clauses) = match punct(Punct::LBrace)(t) {
        Ok((rest, open)) => body(rest, open)?,
        Err(_) => (t, Vec::new()),
    };
    let span = whole(start, t);
    Ok((
        t,
        Rule {
            name,
            cond,
            per: per.unwrap_or_default(),
            across,
            clauses,
            doc: t.cx.doc(at),
            span,
        },
    ))
}

/// `keys = NAME | "(" NAME { "," NAME } ")"`
fn keys(t: Tokens<'_>) -> Res<'_, Vec<Name>> {
    match punct(Punct::LParen)(t) {
        Err(_) => name.map(|n| vec![n]).parse(t),
        Ok((t, open)) => {
            let (t, list) = expect("a key", separated_list1(punct(Punct::Comma), expect("a key", name))).parse(t)?;
            let (t, _) = close(t, open, Punct::RParen)?;
            Ok((t, list))
        }
    }
}

/// The clauses of a rule. One that cannot be read is reported, and reading resumes at the next.
fn body(mut t: Tokens<'_>, open: Span) -> Res<'_, Vec<Clause>> {
    let mut clauses = Vec::new();
    loop {
        if let Ok((t, _)) = punct(Punct::RBrace)(t) {
            return Ok((t, clauses));
        }
        let lost = t.first().is_some_and(|k| k.first_on_line) && (t.is_word("when") || t.is_word("test"));
        if t.at_end() || lost || t.cx.full() {
            return close(t, open, Punct::RBrace).map(|(t, _)| (t, clauses));
        }
        match settle(clause(t)) {
            Ok((rest, c)) => {
                clauses.push(c);
                t = rest;
            }
            Err(f) => {
                let at = f.at;
                t.cx.report(t.cx.diagnostic(f));
                t = next_clause(t, at);
            }
        }
    }
}

fn next_clause(start: Tokens<'_>, fault_at: u32) -> Tokens<'_> {
    let mut t = start;
    let mut depth = 0_i32;
    let mut moved = false;
    let (mut excepting, mut after_text) = (false, false);
    while let Some(token) = t.first() {
        let reached = moved && token.span.start >= fault_at;
        let is_name = |words: &[&str]| matches!(&token.kind, Kind::Name(n) if words.contains(&&**n));
        let clause = depth <= 0 && is_name(CLAUSE_WORDS);
        let item = token.first_on_line && is_name(&["when", "test"]) && !after_text;
        if token.kind == Kind::End
            || reached && (clause || item)
            || depth <= 0 && token.kind == Kind::Punct(Punct::RBrace)
        {
            break;
        }
        match token.kind {
            Kind::Punct(Punct::LBrace | Punct::LBracket | Punct::LParen) => depth += 1,
            Kind::Punct(Punct::RBrace | Punct::RBracket | Punct::RParen) => depth -= 1,
            _ => {}
        }
        after_text = excepting && matches!(token.kind, Kind::Str(_));
        excepting = matches!(&token.kind, Kind::Name(n) if &**n == "except");
        t = t.skip(1);
        moved = true;
    }
    t
}

/// `clause = let | "severity" … | "impact" … | "message" … | "fix" … | "except" … | words`
fn clause(start: Tokens<'_>) -> Res<'_, Clause> {
    let Some(Kind::Name(first)) = start.first().map(|k| &k.kind) else {
        return Err(nom::Err::Failure(Fault::expected(start, "a clause or `}`")));
    };
    let at = start.span();
    let t = start.skip(1);
    let (t, kind) = match &**first {
        "let" => let_.map(ClauseKind::Let).parse(start)?,
        "severity" => separated_list1(punct(Punct::Comma), expect("a level, or `else` and a level", arm))
            .map(ClauseKind::Severity)
            .parse(t)?,
        "impact" => expect("a duration: the time lost", expr)
            .map(ClauseKind::Impact)
            .parse(t)?,
        "message" => text_if(t).map(|(t, (s, e))| (t, ClauseKind::Message(s, e)))?,
        "fix" => text_if(t).map(|(t, (s, e))| (t, ClauseKind::Fix(s, e)))?,
        "except" => except(t)?,
        "min_count" => expect("a whole number", number)
            .map(|(n, _)| ClauseKind::MinCount(n))
            .parse(t)?,
        w if CLAUSE_WORDS.contains(&w) => {
            let (t, list) = words(t)?;
            let n = Name {
                text: w.to_owned(),
                span: at,
            };
            (t, ClauseKind::Words(n, list))
        }
        w => {
            let d = Diagnostic::new(Code::UnknownClause, t.cx.file, at, format!("unknown clause `{w}`"));
            let d = match w {
                "msg" | "text" | "summary" => d.help("did you mean `message`?").edit(at, "message"),
                "description" | "doc" | "docs" | "why" => d.help("did you mean `about`?").edit(at, "about"),
                "level" | "priority" => d.help("did you mean `severity`?").edit(at, "severity"),
                "advice" | "hint" | "remedy" => d.help("did you mean `fix`?").edit(at, "fix"),
                _ => d.suggest(at, w, CLAUSE_WORDS, "clauses are"),
            };
            return Err(Fault::said(start, d));
        }
    };
    let span = whole(start, t);
    Ok((t, Clause { kind, span }))
}

/// `arm = LEVEL [ "if" expr ] | "else" LEVEL`
fn arm(t: Tokens<'_>) -> Res<'_, (Name, Option<Expr>)> {
    if let Ok((t, _)) = word("else")(t) {
        let (t, level) = expect("a level after `else`", name).parse(t)?;
        return Ok((t, (level, None)));
    }
    if t.first().is_some_and(|k| k.first_on_line) && CLAUSE_WORDS.iter().any(|w| t.is_word(w)) {
        return Err(nom::Err::Error(Fault::expected(t, "a level")));
    }
    let (t, level) = name(t)?;
    let (t, cond) = when_given(t)?;
    Ok((t, (level, cond)))
}

/// `[ "if" expr ]`
fn when_given(t: Tokens<'_>) -> Res<'_, Option<Expr>> {
    opt(preceded(word("if"), expect("a condition after `if`", expr))).parse(t)
}

fn text_if(t: Tokens<'_>) -> Res<'_, (Text, Option<Expr>)> {
    let (t, s) = expect("a text in double quotes", string).parse(t)?;
    let (t, e) = when_given(t)?;
    Ok((t, (s, e)))
}

/// `except = "except" STRING "when" expr [ "until" DATE ]`
fn except(t: Tokens<'_>) -> Res<'_, ClauseKind> {
    let (t, why) = expect("the reason, a text in double quotes", string).parse(t)?;
    let (t, _) = expect("`when` and the exception's condition", word("when")).parse(t)?;
    let (t, cond) = expect("a condition", expr).parse(t)?;
    let (t, until) = opt(preceded(word("until"), expect("a date such as 2027-01-31", date))).parse(t)?;
    Ok((t, ClauseKind::Except(why, cond, until)))
}

fn date(t: Tokens<'_>) -> Res<'_, i64> {
    match t.first().map(|k| &k.kind) {
        Some(Kind::Date(d)) => Ok((t.skip(1), *d)),
        _ => Err(nom::Err::Error(Fault::expected(t, "a date"))),
    }
}

/// `words = text | "[" text { "," text } "]"`
fn words(t: Tokens<'_>) -> Res<'_, Vec<Text>> {
    let one = |t| alt((string, name.map(text_of))).parse(t);
    match punct(Punct::LBracket)(t) {
        Err(_) => expect("a text, a name, or a list of them in [ ]", one)
            .map(|s| vec![s])
            .parse(t),
        Ok((t, open)) => {
            let (t, list) = expect(
                "a text or a name",
                separated_list1(punct(Punct::Comma), expect("a text or a name", one)),
            )
            .parse(t)?;
            let (t, _) = close(t, open, Punct::RBracket)?;
            Ok((t, list))
        }
    }
}

fn text_of(n: Name) -> Text {
    Text {
        value: n.text,
        span: n.span,
    }
}
