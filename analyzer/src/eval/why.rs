//! Why a rule does not fire: for each of its keys what every condition came to, and by how much.

use std::collections::BTreeMap;

use super::cond::keys_of;
use super::join::{Companions, Stints, Wit};
use super::key::{self, KeyVal};
use super::logic::Truth;
use super::metric::Mode;
use super::outcome::closest;
use super::value::Val;
use super::{Engine, Options, Prepared, selectors};
use crate::diagnosis::{KeyValues, Measured};
use crate::lang::hir::{CmpOp, Cond, Filter, Program, Rule, Selector, Value};
use crate::trace::Trace;
use crate::trace::catalogue::{Field, Key};
use crate::unit::{Dim, Interval, Num, Style, show, show_dur};

/// What a condition came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It is so.
    Holds,
    /// The trace cannot tell.
    Unknown,
    /// It is not so.
    Fails,
}

impl Answer {
    /// One word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Unknown => "unknown",
            Self::Fails => "fails",
        }
    }
}

impl From<Truth> for Answer {
    fn from(t: Truth) -> Self {
        match t {
            Truth::True => Self::Holds,
            Truth::Unknown => Self::Unknown,
            Truth::False => Self::Fails,
        }
    }
}

/// A key of a rule, with what each of its conditions came to.
#[derive(Clone, Debug)]
pub struct WhyNot {
    /// Whom it concerns.
    pub key: KeyValues,
    /// What the whole condition came to.
    pub answer: Answer,
    /// In the order written; the members of a `within` group before the group itself.
    pub conditions: Vec<Condition>,
}

/// A condition of a rule for one key.
#[derive(Clone, Debug)]
pub struct Condition {
    /// As written.
    pub text: String,
    /// How many `or`s it stands in.
    pub depth: usize,
    /// What it came to.
    pub answer: Answer,
    /// Its value, what it needs, or why it is unknown.
    pub says: String,
    /// How near it came, thousandths; 1000 where it holds.
    pub nearness: u32,
}

impl WhyNot {
    /// Conditions that must all hold.
    pub fn required(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().filter(|c| c.depth == 0)
    }

    /// How many of them do not hold.
    pub fn misses(&self) -> usize {
        self.required().filter(|c| c.answer != Answer::Holds).count()
    }
}

/// For every key of a rule what its conditions came to, nearest miss first.
///
/// Keys for which it fires come before all others. Empty where the trace has nothing to judge.
pub fn why_not(program: &Program, rule: &Rule, trace: &Trace, options: Options) -> Vec<WhyNot> {
    let prepared = Prepared::new(trace, &selectors(program));
    let engine = Engine::new(program, trace, &prepared, options.pid);
    let mut out: Vec<WhyNot> = engine
        .rule_keys(rule)
        .into_iter()
        .map(|key| engine.why(rule, key))
        .collect();
    let far = |w: &WhyNot| w.required().map(|c| 1000 - c.nearness).max().unwrap_or(0);
    out.sort_by(|a, b| {
        let order = |w: &WhyNot| (w.answer != Answer::Holds, w.misses(), far(w));
        order(a).cmp(&order(b)).then_with(|| a.key.cmp(&b.key))
    });
    out
}

impl<'t> Engine<'t> {
    fn why(&self, rule: &Rule, key: KeyVal) -> WhyNot {
        let mut conditions = Vec::new();
        self.conditions(rule, &rule.cond, (key, 0), &mut conditions);
        WhyNot {
            key: key::values(self.trace, key),
            answer: self.judge_rule(rule, key).truth.into(),
            conditions,
        }
    }

    fn conditions(&self, rule: &Rule, c: &Cond, (key, depth): (KeyVal, usize), out: &mut Vec<Condition>) {
        match c {
            Cond::And(list) => list.iter().for_each(|c| self.conditions(rule, c, (key, depth), out)),
            Cond::Or(list) => {
                let from = out.len();
                for c in list {
                    self.conditions(rule, c, (key, depth + 1), out);
                }
                let nearest = out[from..].iter().map(|c| c.nearness).max().unwrap_or(0);
                let whole = Condition {
                    text: "any of".to_owned(),
                    nearness: nearest,
                    ..self.condition(rule, c, (key, depth))
                };
                out.insert(from, whole);
            }
            Cond::Unless(a, guard) => {
                self.conditions(rule, a, (key, depth), out);
                let not = Cond::Not(guard.clone());
                out.push(self.condition(rule, &not, (key, depth)));
            }
            Cond::Within { terms, within_ns, .. } => {
                // Near each other, a state is a sum around the others and has no answer of its own.
                let own = terms.iter().filter(|t| !matches!(t, Cond::State { .. }));
                own.for_each(|t| self.conditions(rule, t, (key, depth), out));
                let j = self.judge(&rule.key, c, key);
                out.push(Condition {
                    text: format!("within {}", show_dur(*within_ns)),
                    depth,
                    answer: j.truth.into(),
                    says: match (j.truth, j.why) {
                        (Truth::True, _) => "they are that near".to_owned(),
                        (_, Some(why)) => why.text.to_string(),
                        _ => self.apart(rule, terms, *within_ns, key),
                    },
                    nearness: if j.truth == Truth::True { 1000 } else { 0 },
                });
            }
            Cond::Then { .. } | Cond::During { .. } | Cond::Lasting { .. } | Cond::Without { .. } => {
                let parts = c.parts();
                // What is absent holds nowhere, or not there: it has no answer of its own.
                let own = if matches!(c, Cond::Without { .. }) {
                    &parts[..1]
                } else {
                    &parts[..]
                };
                for c in own {
                    self.conditions(rule, c, (key, depth), out);
                }
                out.push(self.condition(rule, c, (key, depth)));
            }
            c => out.push(self.condition(rule, c, (key, depth))),
        }
    }

    fn condition(&self, rule: &Rule, c: &Cond, (key, depth): (KeyVal, usize)) -> Condition {
        let j = self.judge(&rule.key, c, key);
        let (says, near) = match c {
            Cond::Compare {
                op, left, right, dim, ..
            } => {
                let (l, op, r) = self.sides(left, *op, right, key);
                (compared(&l, op, &r, *dim), self.margin(c, key).map_or(0, |(n, _)| n))
            }
            Cond::Exists { sel, .. } => self.longest(sel, &keys_of(&rule.key, sel), key),
            Cond::State { sel, op, bound, .. } => match self.value(bound, key, Mode::All).point() {
                Some(b) => {
                    let mut sel = sel.clone();
                    let bound = Filter::Cmp(Value::Field(Field::Duration), *op, Value::Num(b));
                    sel.filters.push(bound);
                    self.longest(&sel, &keys_of(&rule.key, &sel), key)
                }
                None => ("its bound is not known".to_owned(), 0),
            },
            Cond::Not(inner) => (self.condition(rule, inner, (key, depth)).says, 0),
            _ => (String::new(), 0),
        };
        let says = match (j.truth, j.why) {
            (Truth::Unknown, Some(why)) if says.is_empty() || says.starts_with("unknown") => why.text.to_string(),
            (Truth::Unknown, Some(why)) => format!("{says}: {}", why.text),
            _ => says,
        };
        Condition {
            text: self.words(rule, c),
            depth,
            answer: j.truth.into(),
            says,
            nearness: if j.truth == Truth::True { 1000 } else { near },
        }
    }

    /// How many events there are, or how long the longest is that only lacks the length.
    fn longest(&self, sel: &Selector, keys: &[Key], key: KeyVal) -> (String, u32) {
        let found = self.events(sel, keys, key, None);
        if !found.is_empty() {
            let text = match found.len() {
                1 => "there is 1 such event".to_owned(),
                n => format!("there are {n} such events"),
            };
            return (text, 1000);
        }
        let length = sel.filters.iter().find_map(|f| match f {
            Filter::Cmp(Value::Field(Field::Duration), op @ (CmpOp::Gt | CmpOp::Ge), v) => Some((*op, v)),
            _ => None,
        });
        let bare = Selector {
            filters: sel
                .filters
                .iter()
                .filter(|f| !matches!(f, Filter::Cmp(Value::Field(Field::Duration), CmpOp::Gt | CmpOp::Ge, _)))
                .cloned()
                .collect(),
            ..sel.clone()
        };
        let longest = self.events(&bare, keys, key, None).iter().map(|w| w.when.len()).max();
        match (longest, length) {
            (Some(longest), Some((op, v))) => {
                let bound = self.value(v, key, Mode::All);
                let needs = said(&bound, Dim::TIME);
                let near = bound
                    .point()
                    .and_then(|b| Num::int(i128::from(longest) * 1000).over(b))
                    .map_or(0, |n| u32::try_from(n.floor().clamp(0, 999)).unwrap_or(0));
                (
                    format!("the longest is {}, needs {} {needs}", show_dur(longest), op.text()),
                    near,
                )
            }
            (Some(_), None) => ("none passes the filter".to_owned(), 0),
            (None, _) => ("there is none".to_owned(), 0),
        }
    }

    /// What keeps the terms of a `within` group apart.
    fn apart(&self, rule: &Rule, terms: &[Cond], within: i64, key: KeyVal) -> String {
        let mut placed: Vec<Vec<Wit<'t>>> = Vec::new();
        let mut states = Vec::new();
        for t in terms {
            match t {
                Cond::State { sel, op, bound, .. } => states.push((sel, *op, bound)),
                t if self.judge(&rule.key, t, key).truth != Truth::True => {
                    return "one of them does not hold by itself".to_owned();
                }
                t => placed.extend(self.witnesses(&rule.key, t, key)),
            }
        }
        if let [first, rest @ ..] = placed.as_slice() {
            let best = rest.iter().filter_map(|other| closest(first, other)).max();
            if let Some(best) = best.filter(|b| *b > within) {
                return format!(
                    "both were seen, {} apart at the closest (needs <= {})",
                    show_dur(best),
                    show_dur(within)
                );
            }
            for (sel, op, bound) in states {
                let stints = self.events(sel, &keys_of(&rule.key, sel), key, None);
                if let Some(text) = self.too_little((first, rest), &stints, within, (op, bound), key) {
                    return text;
                }
            }
        }
        "no choice of one event each lies that near".to_owned()
    }

    /// What the stints of a state amount to around the other terms, where that is too little.
    fn too_little(
        &self,
        (anchors, others): (&[Wit<'t>], &[Vec<Wit<'t>>]),
        stints: &[Wit<'t>],
        within: i64,
        (op, bound): (CmpOp, &Value),
        key: KeyVal,
    ) -> Option<String> {
        let Some(nearest) = closest(anchors, stints) else {
            return Some("there is no stint at all".to_owned());
        };
        if nearest > within {
            return Some(format!(
                "closest stint {} away (needs <= {})",
                show_dur(nearest),
                show_dur(within)
            ));
        }
        let others: Vec<Vec<Interval>> = others.iter().map(|l| l.iter().map(|w| w.when).collect()).collect();
        let companions = Companions::new(&others);
        let places: Vec<_> = anchors.iter().flat_map(|a| companions.places(a.when, within)).collect();
        let mut by_thread: BTreeMap<_, Vec<Interval>> = BTreeMap::new();
        for w in stints {
            by_thread.entry(w.thread).or_default().push(w.when);
        }
        let most = by_thread
            .into_values()
            .map(|list| {
                let sums = Stints::new(list.into_iter());
                places.iter().map(|p| sums.sum_near(*p, within)).max().unwrap_or(0)
            })
            .max()?;
        let bound = self.value(bound, key, Mode::All);
        Some(format!(
            "the stints near one of them sum to {} at most, needs {} {}",
            show_dur(most),
            op.text(),
            said(&bound, Dim::TIME)
        ))
    }
}

/// `4.1 ms, needs > 5 ms`.
fn compared(l: &Val, op: CmpOp, r: &Val, dim: Dim) -> String {
    if l.empty {
        return format!("nothing to measure, needs {} {}", op.text(), said(r, dim));
    }
    format!("{}, needs {} {}", said(l, dim), op.text(), said(r, dim))
}

/// A value as far as it is known.
fn said(v: &Val, dim: Dim) -> String {
    let end = |n: Num| show(n, dim, Style::Auto);
    match v.measured() {
        _ if v.empty => "nothing".to_owned(),
        Measured::Exact(n) => end(n),
        Measured::Between(Some(a), Some(b)) => format!("{} to {}", end(a), end(b)),
        Measured::Between(Some(a), None) => format!("at least {}", end(a)),
        Measured::Between(None, Some(b)) => format!("at most {}", end(b)),
        Measured::Between(None, None) | Measured::Unknown => "unknown".to_owned(),
    }
}
