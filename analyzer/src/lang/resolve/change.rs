//! `override`: what a file changes of the rules and parameters of others.

use std::collections::BTreeMap;

use super::super::ast::{Change, ClauseKind, File, Item, Override};
use super::super::diagnostic::{Code, Diagnostic};
use super::super::hir::{Rule, Severity};
use crate::source::{SourceId, Span};

/// What becomes of a rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Changed {
    pub(super) disabled: bool,
    pub(super) min_count: Option<u64>,
    severity: Option<Severity>,
    owner: Option<String>,
    tags: Option<Vec<String>>,
}

impl Changed {
    /// The rule with what replaces its own clauses.
    pub(super) fn apply(&self, mut rule: Rule) -> Rule {
        if let Some(s) = self.severity {
            rule.severity = vec![(s, None)];
        }
        if let Some(o) = &self.owner {
            rule.owner.clone_from(o);
        }
        if let Some(t) = &self.tags {
            rule.tags.clone_from(t);
        }
        rule
    }
}

/// The changes of all files, by rule.
pub(super) struct Changes<'a> {
    pub(super) rules: BTreeMap<&'a str, Changed>,
    /// Values of parameters: the file that says so, and where its text stands.
    pub(super) params: BTreeMap<&'a str, (SourceId, Span)>,
}

/// Gathers every `override`. `rules` and `params` are the names that other files define.
pub(super) fn gather<'a>(
    trees: &[(SourceId, &'a File)],
    imported: impl Fn(SourceId) -> Vec<SourceId>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Changes<'a> {
    let mut out = Changes {
        rules: BTreeMap::new(),
        params: BTreeMap::new(),
    };
    for (file, tree) in trees {
        let others = imported(*file);
        let items = || {
            trees
                .iter()
                .filter(|(id, _)| others.contains(id))
                .flat_map(|(_, t)| &t.items)
        };
        let rules: Vec<&str> = items().filter_map(rule_name).collect();
        let params: Vec<&str> = items().filter_map(param_name).collect();
        for item in &tree.items {
            let Item::Override(o) = item else { continue };
            let (known, what) = match o.change {
                Change::Param(_) => (&params, "parameter"),
                _ => (&rules, "rule"),
            };
            let name = o.target.text.as_str();
            if !known.contains(&name) {
                diagnostics.push(nobody(*file, o, known, what));
                continue;
            }
            let first = match &o.change {
                Change::Param(e) => out.params.insert(name, (*file, e.span)).is_none(),
                _ => out.rules.insert(name, changed(*file, o, diagnostics)).is_none(),
            };
            if !first {
                let message = format!("`{name}` is overridden twice");
                diagnostics
                    .push(Diagnostic::new(Code::Override, *file, o.target.span, message).help("keep one of them"));
            }
        }
    }
    out
}

fn rule_name(item: &Item) -> Option<&str> {
    match item {
        Item::Rule(r) => Some(&r.name.text),
        _ => None,
    }
}

fn param_name(item: &Item) -> Option<&str> {
    match item {
        Item::Param(p) => Some(&p.name.text),
        _ => None,
    }
}

fn nobody(file: SourceId, o: &Override, known: &[&str], what: &str) -> Diagnostic {
    let name = &o.target.text;
    let d = Diagnostic::new(
        Code::Override,
        file,
        o.target.span,
        format!("no imported file has a {what} `{name}`"),
    );
    if known.is_empty() {
        return d.help("import the file that defines it: `import \"std/host\"`");
    }
    d.suggest(o.target.span, name, known, &format!("imported {what}s are"))
}

fn changed(file: SourceId, o: &Override, diagnostics: &mut Vec<Diagnostic>) -> Changed {
    let mut out = Changed::default();
    let Change::Clauses(clauses) = &o.change else {
        out.disabled = true;
        return out;
    };
    for c in clauses {
        let understood = match &c.kind {
            ClauseKind::Severity(arms) => match arms.as_slice() {
                [(level, None)] => {
                    out.severity = Severity::by_name(&level.text);
                    out.severity.is_some()
                }
                _ => false,
            },
            ClauseKind::MinCount(n) => {
                let whole = (n.denom() == 1).then(|| u64::try_from(n.numer()).ok()).flatten();
                out.min_count = whole.filter(|n| *n > 0);
                out.min_count.is_some()
            }
            ClauseKind::Words(n, list) if n.text == "owner" => {
                out.owner = list.first().map(|t| t.value.clone());
                list.len() == 1
            }
            ClauseKind::Words(n, list) if n.text == "tags" => {
                out.tags = Some(list.iter().map(|t| t.value.clone()).collect());
                true
            }
            _ => false,
        };
        if !understood {
            let d = Diagnostic::new(Code::Override, file, c.span, "an override cannot change this");
            diagnostics.push(d.help(
                "it can say `severity LEVEL`, `min_count N`, `owner` and `tags`; for more, disable the rule and write your own",
            ));
        }
    }
    out
}
