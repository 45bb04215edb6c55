//! A rule: its condition, its key, and its clauses.

use std::collections::BTreeMap;

use super::super::ast::{self, ClauseKind, Name};
use super::super::diagnostic::{Code, Diagnostic};
use super::super::hir::{Cond, Except, MetricId, Rule, Severity, Template};
use super::change::Changed;
use super::expr::Typed;
use super::keys::{MIN_COUNT, Remap};
use super::scope::{Checker, FileScope, Scope, fold};
use super::{Metrics, R};
use crate::source::{SourceFile, Span};
use crate::unit::Dim;

/// Checks a rule. On error its diagnostics are complete as far as one error does not hide another.
pub(super) fn rule<'a>(
    r: &'a ast::Rule,
    scope: &'a FileScope<'a>,
    (scopes, files): (&'a [FileScope<'a>], &'a [SourceFile]),
    changed: Option<&Changed>,
    diagnostics: &mut Vec<Diagnostic>,
    metrics: &mut Metrics,
) -> R<Rule> {
    let mut c = Checker::among(scope, scopes, files);
    let out = c.rule(r, changed.and_then(|o| o.min_count), metrics);
    let out = out.map(|r| match changed {
        Some(o) => o.apply(r),
        None => r,
    });
    c.unused_locals();
    diagnostics.append(&mut c.diagnostics);
    out
}

/// Texts with the conditions under which they count.
type Texts = Vec<(Template, Option<Cond>)>;

/// Simple clauses, collected before anything else is looked at.
struct Words<'a> {
    by_name: BTreeMap<&'a str, (&'a [ast::Text], Span)>,
}

impl Words<'_> {
    fn one(&self, name: &str) -> Option<&str> {
        self.by_name
            .get(name)
            .and_then(|(list, _)| list.first())
            .map(|t| t.value.as_str())
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.by_name
            .get(name)
            .map(|(list, _)| list.iter().map(|t| t.value.clone()).collect())
            .unwrap_or_default()
    }
}

impl<'a> Checker<'a> {
    fn rule(&mut self, r: &'a ast::Rule, least: Option<u64>, metrics: &mut Metrics) -> R<Rule> {
        let words = self.words(r);
        let min_count = least.or(self.min_count(r)?);
        self.locals(r);

        self.across_keys(&r.across)?;
        let cond = self.cond(&r.cond);
        // The clauses are checked even where the condition is wrong: one run reports every error.
        let cond = match cond {
            Ok(cond) => self.rule_key(&r.per).map(|key| (cond, key)),
            Err(e) => Err(e),
        };
        let mut done = Vec::new();
        let known_key = cond.as_ref().ok().map(|(_, key)| key.keys.clone());
        let severity = self.severity(r);
        let impact = self.impact(r);
        let messages = self.templates(r, known_key.as_deref(), "message");
        let fixes = self.templates(r, known_key.as_deref(), "fix");
        let excepts = self.excepts(r);

        let (mut cond, key) = cond?;
        self.settle(&key, min_count, &mut done, metrics)?;
        let (mut severity, mut impact, mut messages, mut fixes, mut excepts) =
            (severity?, impact?, messages?, fixes?, excepts?);
        let map = Remap(&done, &[]);
        map.cond(&mut cond);
        for (_, c) in &mut severity {
            if let Some(c) = c {
                map.cond(c);
            }
        }
        if let Some(v) = &mut impact {
            map.value(v);
        }
        for (t, c) in messages.iter_mut().chain(&mut fixes) {
            map.template(t);
            if let Some(c) = c {
                map.cond(c);
            }
        }
        for e in &mut excepts {
            map.cond(&mut e.cond);
        }

        if r.per.is_empty() {
            let keys: Vec<&str> = key.keys.iter().map(|k| k.name()).collect();
            self.note(format!("the key is ({})", keys.join(", ")));
        }
        if severity.is_empty() {
            self.note("severity is medium".to_owned());
        }
        if messages.is_empty() {
            self.note("the message is made from the condition and its values".to_owned());
        }
        if impact.is_none() {
            self.note("impact is the excess of the first conjunct's witnesses over their median".to_owned());
        }
        let needs_some = |id: &MetricId| {
            metrics
                .list
                .get(id.0 as usize)
                .is_some_and(|m| m.min_count == MIN_COUNT)
        };
        if min_count.is_none() && done.iter().any(needs_some) {
            self.note(format!(
                "percentiles, means and trends of fewer than {MIN_COUNT} samples are unknown"
            ));
        }
        let text = fold(self.source.text.get(r.cond.span.range()).unwrap_or(""));
        let own_id = r.name.text.to_lowercase().replace('_', "-");
        let about = match words.one("about") {
            Some(a) => a.to_owned(),
            None => r.doc.clone(),
        };
        Ok(Rule {
            name: r.name.text.clone(),
            id: words.one("id").map_or(own_id, str::to_owned),
            title: words.one("title").unwrap_or("").to_owned(),
            about,
            refs: words.list("refs"),
            tags: words.list("tags"),
            owner: words.one("owner").unwrap_or("").to_owned(),
            refuted_by: words.one("refuted_by").unwrap_or("").to_owned(),
            explains: words.list("explains"),
            min_count: min_count.unwrap_or(MIN_COUNT),
            file: self.scope.file,
            span: r.span,
            text,
            key: key.keys,
            key_given: !r.per.is_empty(),
            cond,
            severity,
            impact,
            messages,
            fixes,
            excepts,
            defaults: std::mem::take(&mut self.defaults),
            inherited: std::mem::take(&mut self.inherited),
        })
    }

    fn words(&mut self, r: &'a ast::Rule) -> Words<'a> {
        let mut by_name: BTreeMap<&str, (&[ast::Text], Span)> = BTreeMap::new();
        let mut single: BTreeMap<&str, Span> = BTreeMap::new();
        for c in &r.clauses {
            let name = match &c.kind {
                ClauseKind::Words(n, list) => {
                    let one = !matches!(n.text.as_str(), "refs" | "tags" | "explains");
                    if one && list.len() > 1 {
                        let d = self.diag(
                            Code::DuplicateClause,
                            list[1].span,
                            format!("`{}` takes one text", n.text),
                        );
                        self.diagnostics.push(d);
                    }
                    by_name.entry(n.text.as_str()).or_insert((list, c.span));
                    n.text.as_str()
                }
                ClauseKind::Severity(_) => "severity",
                ClauseKind::Impact(_) => "impact",
                ClauseKind::MinCount(_) => "min_count",
                ClauseKind::Let(_) | ClauseKind::Message(..) | ClauseKind::Fix(..) | ClauseKind::Except(..) => continue,
            };
            if let Some(first) = single.insert(name, c.span) {
                let d = self
                    .diag(Code::DuplicateClause, c.span, format!("`{name}` is given twice"))
                    .label("the second one")
                    .also(first, "the first one")
                    .help("keep one of them");
                self.diagnostics.push(d);
            }
        }
        Words { by_name }
    }

    fn min_count(&mut self, r: &ast::Rule) -> R<Option<u64>> {
        for c in &r.clauses {
            if let ClauseKind::MinCount(n) = &c.kind {
                if n.denom() == 1
                    && let Ok(v) = u64::try_from(n.numer())
                    && v > 0
                {
                    return Ok(Some(v));
                }
                let d = self
                    .diag(Code::NotANumber, c.span, "`min_count` is a whole number above zero")
                    .help("as in `min_count 100`");
                return self.fail(d);
            }
        }
        Ok(None)
    }

    fn locals(&mut self, r: &'a ast::Rule) {
        for c in &r.clauses {
            let ClauseKind::Let(l) = &c.kind else { continue };
            if let Some(first) = self.locals.iter().find(|o| o.name.text == l.name.text) {
                let d = self
                    .diag(
                        Code::Duplicate,
                        l.name.span,
                        format!("the name `{}` is defined twice", l.name.text),
                    )
                    .label("the second one")
                    .also(first.name.span, "the first one")
                    .help("give one of them another name");
                self.diagnostics.push(d);
                continue;
            }
            let hidden = self.scope.lets.get(l.name.text.as_str()).map(|o| o.name.span);
            if let Some(outer) = hidden {
                let d = self
                    .diag(
                        Code::Shadowed,
                        l.name.span,
                        format!("`{}` hides the `let` of the file", l.name.text),
                    )
                    .also(outer, "hidden here")
                    .help("give it another name");
                self.diagnostics.push(d);
            }
            self.locals.push(l);
        }
    }

    fn unused_locals(&mut self) {
        for (i, l) in self.locals.clone().into_iter().enumerate() {
            if !self.used_locals.contains(&i) && !l.name.text.starts_with('_') {
                let d = self
                    .diag(
                        Code::UnusedLet,
                        l.name.span,
                        format!("the `let` `{}` is never used", l.name.text),
                    )
                    .help("remove it, or start its name with `_`")
                    .edit(
                        Span {
                            end: l.name.span.start,
                            ..l.name.span
                        },
                        "_",
                    );
                self.diagnostics.push(d);
            }
        }
    }

    fn severity(&mut self, r: &ast::Rule) -> R<Vec<(Severity, Option<Cond>)>> {
        let mut out = Vec::new();
        let mut failed = None;
        for c in &r.clauses {
            let ClauseKind::Severity(arms) = &c.kind else { continue };
            for (i, (level, cond)) in arms.iter().enumerate() {
                match self.arm(level, cond.as_ref(), i + 1 == arms.len()) {
                    Ok(a) => out.push(a),
                    Err(e) => failed = Some(e),
                }
            }
        }
        failed.map_or(Ok(out), Err)
    }

    fn arm(&mut self, level: &Name, cond: Option<&ast::Expr>, last: bool) -> R<(Severity, Option<Cond>)> {
        let Some(s) = Severity::by_name(&level.text) else {
            let known = Severity::ALL.map(|(_, n)| n);
            let d = self
                .diag(
                    Code::UnknownWord,
                    level.span,
                    format!("unknown severity `{}`", level.text),
                )
                .suggest(level.span, &level.text, &known, "levels are");
            return self.fail(d);
        };
        if cond.is_none() && !last {
            let d = self
                .diag(
                    Code::Constant,
                    level.span,
                    "this arm always holds, so those after it never count",
                )
                .help("write `severity high if …, else medium`");
            return self.fail(d);
        }
        let cond = match cond {
            Some(e) => Some(self.cond(e)?),
            None => None,
        };
        Ok((s, cond))
    }

    fn impact(&mut self, r: &ast::Rule) -> R<Option<super::super::hir::Value>> {
        for c in &r.clauses {
            let ClauseKind::Impact(e) = &c.kind else { continue };
            let n = match self.typed(e, &mut Scope::default())? {
                Typed::Number(n) => n,
                other => {
                    let d = self
                        .diag(Code::NotANumber, e.span, "the impact is a duration: the time lost")
                        .label(format!("this is {}", other.what()))
                        .help("as in `impact cuda.sync.sum`");
                    return self.fail(d);
                }
            };
            if n.dim != Dim::TIME {
                return self.bare_or_mismatch(e, &n, Dim::TIME, e.span, "the impact");
            }
            if !n.windows.is_empty() {
                let d = self.diag(Code::WindowNotHere, e.span, "the impact has no windows");
                return self.fail(d);
            }
            return Ok(Some(n.value));
        }
        Ok(None)
    }

    fn templates(&mut self, r: &ast::Rule, key: Option<&[crate::trace::catalogue::Key]>, which: &str) -> R<Texts> {
        let mut out = Vec::new();
        let mut failed = None;
        for c in &r.clauses {
            let (text, cond) = match &c.kind {
                ClauseKind::Message(t, e) if which == "message" => (t, e),
                ClauseKind::Fix(t, e) if which == "fix" => (t, e),
                _ => continue,
            };
            let t = self.template(text, key);
            let cond = match cond {
                Some(e) => self.cond(e).map(Some),
                None => Ok(None),
            };
            match (t, cond) {
                (Ok(t), Ok(c)) => out.push((t, c)),
                (Err(e), _) | (_, Err(e)) => failed = Some(e),
            }
        }
        failed.map_or(Ok(out), Err)
    }

    fn excepts(&mut self, r: &ast::Rule) -> R<Vec<Except>> {
        let mut out = Vec::new();
        let mut failed = None;
        for c in &r.clauses {
            let ClauseKind::Except(why, e, until) = &c.kind else {
                continue;
            };
            match self.cond(e) {
                Ok(cond) => out.push(Except {
                    why: why.value.clone(),
                    cond,
                    until: *until,
                }),
                Err(e) => failed = Some(e),
            }
        }
        failed.map_or(Ok(out), Err)
    }
}
