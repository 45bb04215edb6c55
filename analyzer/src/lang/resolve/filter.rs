//! Filters: conditions on one event.

use super::super::ast::{CompareOp, Expr, ExprKind, SetRef};
use super::super::diagnostic::Code;
use super::super::hir::{CmpOp, Filter, Pattern, Value};
use super::super::limits;
use super::super::suggest::nearest;
use super::R;
use super::scope::{Checker, Scope};
use super::select::Selection;
use crate::source::Span;
use crate::trace::catalogue::{Field, FieldType, Op};
use crate::unit::{Dim, Num};

/// A member of a set, or the right-hand side of a comparison with a field.
enum Word {
    Num(i64),
    Text(String),
}

/// How a field is used in a filter.
pub(super) fn usage(f: Field) -> String {
    let n = f.def().name;
    match f.def().ty {
        FieldType::Num(Dim::TIME) => format!("compare it: `{n} > 5ms`"),
        FieldType::Num(Dim::BYTES) => format!("compare it: `{n} > 1MiB`"),
        FieldType::Num(_) => format!("compare it: `{n} > 10`"),
        FieldType::Id => format!("compare it with a number: `{n} = 7`, `{n} != 7`, `{n} in {{7, 8}}`"),
        FieldType::Enum(words) => format!(
            "compare it with a word: `{n} = {}`; words are {}",
            words[0],
            words.join(", ")
        ),
        FieldType::Text => format!("compare it with a text: `{n} = \"…\"`, or a pattern: `{n} =~ /…/`"),
        FieldType::Flag => format!("it stands alone: `{n}`, or `not {n}`"),
    }
}

fn cmp_op(op: CompareOp) -> Option<CmpOp> {
    Some(match op {
        CompareOp::Gt => CmpOp::Gt,
        CompareOp::Ge => CmpOp::Ge,
        CompareOp::Lt => CmpOp::Lt,
        CompareOp::Le => CmpOp::Le,
        CompareOp::Eq => CmpOp::Eq,
        CompareOp::Ne => CmpOp::Ne,
        CompareOp::Match | CompareOp::NotMatch => return None,
    })
}

pub(super) fn plain_op(op: CompareOp) -> Option<CmpOp> {
    cmp_op(op)
}

impl Checker<'_> {
    /// A selection with more filters; `text` is the filter with its brackets.
    pub(super) fn filtered(&mut self, s: Selection, list: &[Expr], text: &str, span: Span) -> R<Selection> {
        let mut s = self.settled(s)?;
        let mut failed = None;
        // A statistic inside speaks of the selection with the filters before it.
        let mut seen = s.clone();
        for e in list {
            match self.filter(e, &seen) {
                Ok(Filter::All(parts)) => seen.sel.filters.extend(parts),
                Ok(f) => seen.sel.filters.push(f),
                Err(r) => failed = Some(r),
            }
            seen.text = self.with_filter(&seen.text, e);
        }
        s.sel.filters = seen.sel.filters;
        if let Some(r) = failed {
            return Err(r);
        }
        s.text.push_str(text);
        s.span = span;
        // Operations can still be named afterwards only where the source stood bare.
        Ok(s)
    }

    /// The text of a selection with one more filter.
    fn with_filter(&self, so_far: &str, e: &Expr) -> String {
        let f = self.text(e.span);
        match so_far.strip_suffix(']') {
            Some(open) => format!("{open}, {f}]"),
            None => format!("{so_far}[{f}]"),
        }
    }

    fn filter(&mut self, e: &Expr, s: &Selection) -> R<Filter> {
        self.spend(e.span)?;
        match &*e.kind {
            ExprKind::And(list) => {
                let mut seen = s.clone();
                let mut parts = Vec::new();
                for e in list {
                    let f = self.filter(e, &seen)?;
                    seen.sel.filters.push(f.clone());
                    seen.text = self.with_filter(&seen.text, e);
                    parts.push(f);
                }
                Ok(Filter::All(parts))
            }
            ExprKind::Or(list) => {
                let parts: R<Vec<Filter>> = list.iter().map(|e| self.filter(e, s)).collect();
                Ok(Filter::Any(parts?))
            }
            ExprKind::Not(a) => Ok(Filter::Not(Box::new(self.filter(a, s)?))),
            ExprKind::Name(n, _) => self.flag(n, e.span, s),
            ExprKind::Compare(op, at, a, b) => self.filter_compare(*op, *at, (a, b), e.span, s),
            ExprKind::In(negated, a, set) => self.membership(*negated, a, set, s),
            ExprKind::Unless(..) | ExprKind::Within(..) => {
                let d = self.diag(
                    Code::BadOperator,
                    e.span,
                    "a filter looks at one event: `within` and `unless` have no place in it",
                );
                self.fail(d)
            }
            _ => {
                let d = self
                    .diag(Code::NotACondition, e.span, "this is not a condition on an event")
                    .help("a filter compares fields: `[duration > 1ms, not first_use]`");
                self.fail(d)
            }
        }
    }

    fn flag(&mut self, n: &str, span: Span, s: &Selection) -> R<Filter> {
        if Field::by_name(n).is_none()
            && let Some(l) = self.find_let(n)
        {
            let s = s.clone();
            return self.inside(l, span, |c, e| c.filter(e, &s));
        }
        if Field::by_name(n).is_none() && self.scope.broken.contains(n) {
            return Err(super::Reported);
        }
        let f = self.field(s, n, span)?;
        if f.def().ty == FieldType::Flag {
            return Ok(Filter::Flag(f));
        }
        let d = self
            .diag(Code::NotACondition, span, format!("`{n}` alone is not a condition"))
            .help(usage(f));
        self.fail(d)
    }

    /// The field that an expression names, if it names one that is not a number.
    fn plain_field(&mut self, e: &Expr, s: &Selection) -> R<Option<Field>> {
        let ExprKind::Name(n, _) = &*e.kind else {
            return Ok(None);
        };
        if Field::by_name(n).is_none() {
            return Ok(None);
        }
        let f = self.field(s, n, e.span)?;
        Ok(Some(f).filter(|f| !matches!(f.def().ty, FieldType::Num(_))))
    }

    fn filter_compare(
        &mut self,
        op: CompareOp,
        at: Span,
        (a, b): (&Expr, &Expr),
        span: Span,
        s: &Selection,
    ) -> R<Filter> {
        if let Some(f) = self.plain_field(a, s)? {
            return self.field_compare(f, op, at, b, span, s);
        }
        if let Some(f) = self.plain_field(b, s)? {
            if matches!(op, CompareOp::Eq | CompareOp::Ne) {
                return self.field_compare(f, op, at, a, span, s);
            }
            return self.wrong_operator(f, at, op.text());
        }
        let Some(cmp) = cmp_op(op) else {
            let d = self
                .diag(Code::BadOperator, at, "patterns are matched against texts")
                .help("text fields are process, thread and op");
            return self.fail(d);
        };
        let mut sc = Scope {
            left: Vec::new(),
            filter: Some(s.clone()),
        };
        // A name that nothing knows is most often a misspelt field: say so once.
        let left = self.number(a, &mut sc)?;
        let right = self.number(b, &mut sc)?;
        if left.dim != right.dim {
            if right.bare {
                return self.bare_or_mismatch(b, &right, left.dim, a.span, "the left side");
            }
            if left.bare {
                return self.bare_or_mismatch(a, &left, right.dim, b.span, "the right side");
            }
            let d = self
                .diag(
                    Code::Mismatch,
                    b.span,
                    format!("cannot compare {} with {}", left.dim, right.dim),
                )
                .label(format!("this is {}", right.dim))
                .also(a.span, format!("this is {}", left.dim));
            return self.fail(d);
        }
        if left.as_const().is_some() && right.as_const().is_some() {
            let d = self
                .diag(Code::Constant, span, "this filter is the same for every event")
                .help("name a field, as in `duration > 1ms`");
            return self.fail(d);
        }
        Ok(Filter::Cmp(left.value, cmp, right.value))
    }

    fn wrong_operator<T>(&mut self, f: Field, at: Span, op: &str) -> R<T> {
        let d = self
            .diag(
                Code::BadOperator,
                at,
                format!("`{op}` does not suit the field `{}`", f.def().name),
            )
            .help(usage(f));
        self.fail(d)
    }

    fn field_compare(&mut self, f: Field, op: CompareOp, at: Span, b: &Expr, span: Span, s: &Selection) -> R<Filter> {
        let negated = matches!(op, CompareOp::Ne | CompareOp::NotMatch);
        let equal = matches!(op, CompareOp::Eq | CompareOp::Ne);
        let matching = matches!(op, CompareOp::Match | CompareOp::NotMatch);
        match f.def().ty {
            FieldType::Flag => {
                let value = self.text(b.span);
                let yes = matches!(value.as_str(), "true" | "1" | "yes") != negated;
                let n = f.def().name;
                let right = if yes { n.to_owned() } else { format!("not {n}") };
                let d = self
                    .diag(Code::BadOperator, at, format!("the flag `{n}` is not compared"))
                    .help(format!("write `{right}`"))
                    .edit(span, right);
                self.fail(d)
            }
            FieldType::Id if equal => {
                let n = self.id(f, b)?;
                let cmp = if negated { CmpOp::Ne } else { CmpOp::Eq };
                Ok(Filter::Cmp(Value::Field(f), cmp, Value::Num(Num::int(n.into()))))
            }
            FieldType::Enum(words) if equal => {
                let word = self.enum_word(f, words, b)?;
                Ok(Filter::Enum {
                    field: f,
                    word,
                    negated,
                })
            }
            FieldType::Text if equal => {
                let text = self.text_value(f, b, s)?;
                Ok(Filter::Text {
                    field: f,
                    any_of: vec![text],
                    negated,
                })
            }
            FieldType::Text if matching => {
                let pattern = self.pattern(b)?;
                Ok(Filter::Match {
                    field: f,
                    pattern,
                    negated,
                })
            }
            _ => self.wrong_operator(f, at, op.text()),
        }
    }

    /// A literal: the constant it stands for.
    fn word(e: &Expr) -> Option<Word> {
        match &*e.kind {
            ExprKind::Str(t) | ExprKind::Name(t, _) => Some(Word::Text(t.clone())),
            ExprKind::Number(n) if n.denom() == 1 => i64::try_from(n.numer()).ok().map(Word::Num),
            ExprKind::Neg(a) => match &*a.kind {
                ExprKind::Number(n) if n.denom() == 1 => i64::try_from(-n.numer()).ok().map(Word::Num),
                _ => None,
            },
            _ => None,
        }
    }

    fn id(&mut self, f: Field, e: &Expr) -> R<i64> {
        match Self::word(e) {
            Some(Word::Num(n)) => return Ok(n),
            Some(Word::Text(t)) if f == Field::Ret && t == "success" => return Ok(0),
            Some(Word::Text(t)) => {
                // A parameter may hold the number.
                if let Some(Ok((v, Dim::NONE))) = self.param_of(None, &t)
                    && v.denom() == 1
                    && let Ok(n) = i64::try_from(v.numer())
                {
                    self.scope.mark_used(&t);
                    return Ok(n);
                }
            }
            None => {}
        }
        let d = self
            .diag(
                Code::NotANumber,
                e.span,
                format!("`{}` compares with a whole number", f.def().name),
            )
            .help(usage(f));
        self.fail(d)
    }

    fn enum_word(&mut self, f: Field, words: &[&str], e: &Expr) -> R<u8> {
        let text = match Self::word(e) {
            Some(Word::Text(t)) => t,
            _ => self.text(e.span),
        };
        let found = words.iter().position(|w| w.eq_ignore_ascii_case(&text));
        if let Some(i) = found.and_then(|i| u8::try_from(i).ok()) {
            return Ok(i);
        }
        let d = self
            .diag(
                Code::UnknownWord,
                e.span,
                format!("`{}` is never `{text}`", f.def().name),
            )
            .suggest(e.span, &text, words, "its words are");
        self.fail(d)
    }

    fn text_value(&mut self, f: Field, e: &Expr, s: &Selection) -> R<String> {
        let text = match &*e.kind {
            ExprKind::Str(t) => t.clone(),
            ExprKind::Regex(..) => {
                let d = self
                    .diag(Code::BadOperator, e.span, "a pattern is matched with `=~`")
                    .help(usage(f));
                return self.fail(d);
            }
            _ => {
                let written = self.text(e.span);
                let d = self
                    .diag(
                        Code::BadOperator,
                        e.span,
                        format!("`{}` compares with a text", f.def().name),
                    )
                    .help(format!("write `\"{written}\"`"))
                    .edit(e.span, format!("\"{written}\""));
                return self.fail(d);
            }
        };
        if f != Field::Op {
            return Ok(text);
        }
        if let Some(op) = Op::by_name(s.sel.source, &text) {
            return Ok(op.def().name.to_owned());
        }
        let known: Vec<&str> = Op::all()
            .filter(|o| s.sel.source.holds(o.def().source))
            .map(|o| o.def().name)
            .collect();
        let d = self.diag(
            Code::UnknownOp,
            e.span,
            format!("`{}` has no operation `{text}`", s.sel.source.name()),
        );
        let d = match nearest(&text, &known) {
            Some(near) => d
                .help(format!("did you mean \"{near}\"?"))
                .edit(e.span, format!("\"{near}\"")),
            None => d.help(format!(
                "families are named before the filter: `{}.launch[…]`; `op` holds API names",
                s.sel.source.name()
            )),
        };
        self.fail(d)
    }

    fn pattern(&mut self, e: &Expr) -> R<Pattern> {
        let ExprKind::Regex(text, ignore_case) = &*e.kind else {
            let written = self.text(e.span);
            let plain = written.trim_matches('"').replace('/', "\\/");
            let d = self
                .diag(Code::BadOperator, e.span, "a pattern stands between slashes")
                .help(format!("write `/{plain}/`"))
                .edit(e.span, format!("/{plain}/"));
            return self.fail(d);
        };
        if text.len() > limits::REGEX_BYTES {
            let d = self.diag(
                Code::BadRegex,
                e.span,
                format!("this pattern is longer than {} bytes", limits::REGEX_BYTES),
            );
            return self.fail(d);
        }
        let full = if *ignore_case {
            format!("(?i){text}")
        } else {
            text.clone()
        };
        let built = regex::RegexBuilder::new(&full)
            .size_limit(limits::REGEX_COMPILED)
            .dfa_size_limit(limits::REGEX_COMPILED * 4)
            .nest_limit(32)
            .build();
        match built {
            Ok(r) => Ok(Pattern(r)),
            Err(regex::Error::CompiledTooBig(_)) => {
                let d = self
                    .diag(Code::BadRegex, e.span, "this pattern is too large once compiled")
                    .help("use smaller repetitions");
                self.fail(d)
            }
            Err(err) => {
                let text = err.to_string();
                let why = text
                    .lines()
                    .rev()
                    .find_map(|l| l.strip_prefix("error: "))
                    .unwrap_or("it cannot be read")
                    .to_owned();
                let d = self
                    .diag(Code::BadRegex, e.span, "this pattern cannot be used")
                    .label(why)
                    .help("patterns have no look-around or back-references, so that matching takes linear time");
                self.fail(d)
            }
        }
    }

    fn membership(&mut self, negated: bool, a: &Expr, set: &SetRef, s: &Selection) -> R<Filter> {
        let Some(f) = self.plain_field(a, s)? else {
            let d = self
                .diag(
                    Code::BadOperator,
                    a.span,
                    "`in` asks whether an identity, word or text is one of a set",
                )
                .help("as in `op in {\"cudaMalloc\", \"cudaFree\"}`; compare numbers with `>` and `<`");
            return self.fail(d);
        };
        let members: Vec<Expr> = match set {
            SetRef::Literal(list) => list.clone(),
            SetRef::Name(n) => {
                let home = self.home(None, |s| s.sets.contains_key(n.text.as_str()));
                if let Some((home, set)) = home.and_then(|h| Some((h, h.sets.get(n.text.as_str())?))) {
                    home.mark_used(&n.text);
                    set.members.clone()
                } else {
                    if self.scope.broken.contains(n.text.as_str()) {
                        return Err(super::Reported);
                    }
                    let known: Vec<&str> = self.scope.sets.keys().copied().collect();
                    let d = self
                        .diag(Code::UnknownSet, n.span, format!("unknown set `{}`", n.text))
                        .suggest(n.span, &n.text, &known, "sets are");
                    let d = if known.is_empty() {
                        d.help(format!("define it: `set {} = {{…}}`", n.text))
                    } else {
                        d
                    };
                    return self.fail(d);
                }
            }
        };
        let not = |f: Filter| if negated { Filter::Not(Box::new(f)) } else { f };
        match f.def().ty {
            FieldType::Id => {
                let ids: R<Vec<i64>> = members.iter().map(|e| self.id(f, e)).collect();
                let mut any_of = ids?;
                any_of.sort_unstable();
                any_of.dedup();
                Ok(not(Filter::OneOf { field: f, any_of }))
            }
            FieldType::Enum(words) => {
                let list: R<Vec<Filter>> = members
                    .iter()
                    .map(|e| {
                        self.enum_word(f, words, e).map(|word| Filter::Enum {
                            field: f,
                            word,
                            negated: false,
                        })
                    })
                    .collect();
                Ok(not(Filter::Any(list?)))
            }
            FieldType::Text => {
                let texts: R<Vec<String>> = members.iter().map(|e| self.text_value(f, e, s)).collect();
                let mut any_of = texts?;
                any_of.sort_unstable();
                any_of.dedup();
                Ok(Filter::Text {
                    field: f,
                    any_of,
                    negated,
                })
            }
            FieldType::Flag | FieldType::Num(_) => self.wrong_operator(f, a.span, "in"),
        }
    }
}
