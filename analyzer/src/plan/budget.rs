//! Rules in groups, each of which can be judged in a given amount of memory.
//!
//! A trace is read once for each group, and only what the rules of the group need of it. What each
//! comes to does not depend on the others, so the verdicts are those of one pass.

use super::{asked, named, needs, part, stored};
use crate::lang::hir::Program;
use crate::trace::catalogue::{Op, Source};
use crate::trace::{Count, Needs};

/// Memory that does not depend on the trace.
const FIXED: u64 = 40 << 20;
/// What evaluation takes for each row that a rule looks at, beside its columns: selections, durations,
/// derived columns.
const WORK: u64 = 32;

/// What is read, and what of it rules look at; the rest is what every pass takes to know the processes.
#[derive(Clone, Debug)]
struct Share {
    read: Needs,
    judged: Needs,
}

impl Share {
    fn of(program: &Program) -> Self {
        Self {
            read: asked(program),
            judged: named(program),
        }
    }

    fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.read.merge(&other.read);
        both.judged.merge(&other.judged);
        both
    }

    /// Bytes of each operation, and its rows.
    fn rows<'a>(&'a self, count: &'a Count) -> impl Iterator<Item = (Op, u64, u64)> + 'a {
        let read = self.read.closure();
        let kept = count.rows.iter().filter(move |(op, _)| read.has(**op));
        kept.map(|(op, n)| {
            // Columns grow while they are filled, and parts of them are joined.
            let columns = columns(*op, &self.read) * 5 / 4;
            let work = if self.judged.has(*op) { WORK } else { 0 };
            (*op, n.saturating_mul(columns + work), *n)
        })
    }

    fn bytes(&self, count: &Count) -> u64 {
        self.rows(count)
            .fold(FIXED, |sum, (_, bytes, _)| sum.saturating_add(bytes))
    }

    /// The same for one of several passes: the one before leaves holes that are not all used again.
    fn bytes_of_several(&self, count: &Count) -> u64 {
        let once = self.bytes(count);
        once.saturating_add(once.saturating_sub(FIXED) / 4)
    }

    /// The operation that takes most.
    fn most(&self, count: &Count) -> Option<(String, u64)> {
        let (op, _, rows) = self
            .rows(count)
            .max_by_key(|&(op, bytes, _)| (bytes, std::cmp::Reverse(op)))?;
        Some((format!("{}.{}", op.def().source.name(), op.def().name), rows))
    }
}

/// Some rules of a program, to be judged in one pass over the trace.
#[derive(Clone, Debug)]
pub struct Group {
    /// Their positions in the program.
    pub rules: Vec<usize>,
    /// The program with these only.
    pub program: Program,
    /// What has to be read for them.
    pub needs: Needs,
    /// Bytes that this takes, an upper estimate.
    pub bytes: u64,
}

/// A need that is larger than the budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLarge {
    /// The rule; none: facts about the recording and stored verdicts.
    pub rule: Option<String>,
    /// Bytes that it takes.
    pub bytes: u64,
    /// The operation that takes most, as `source.name`, and its rows.
    pub most: Option<(String, u64)>,
}

/// Bytes that a trace with these rows takes when `read` is read of it and all rules of a program are judged in
/// one pass.
pub fn bytes(program: &Program, read: &Needs, count: &Count) -> u64 {
    let all = Share {
        read: read.clone(),
        judged: named(program),
    };
    all.bytes(count)
}

/// Bytes of the columns of a row.
fn columns(op: Op, needs: &Needs) -> u64 {
    let start_length_and_row = 8 + 8 + 4;
    let source = op.def().source;
    let call = matches!(source, Source::Cuda | Source::Driver | Source::Graph | Source::Nccl);
    let value = 8 * u64::from(!(source == Source::Sched && op.is("off_cpu")));
    let state = if source == Source::Sched { 8 + 8 + 1 + 1 } else { 0 };
    let of_call = u64::from(needs.stream) * 8
        + u64::from(needs.ret) * 4
        + u64::from(needs.gpu) * 4
        + u64::from(needs.rank) * 4
        + u64::from(needs.cgroup) * 8
        + 2;
    start_length_and_row + value + state + if call || source == Source::Net { of_call } else { 0 }
}

/// What facts about the recording and stored verdicts take.
pub fn facts(program: &Program, count: &Count) -> Needs {
    let whole = needs(program);
    // Also where no rule asks for anything: what is told of a process takes them.
    let mut facts = asked(&Program::default());
    let told = |o: &Op| o.is("launch") || (count.details && o.is("off_cpu"));
    Op::all()
        .filter(|o| told(o) && whole.has(*o))
        .for_each(|o| facts.add(o));
    if count.chains {
        facts.merge(&stored());
    }
    facts
}

/// Sorts the rules into as few groups as is simple, the last of which also reads what facts about the
/// recording and stored verdicts take.
///
/// # Errors
/// Where a rule alone takes more than `budget` bytes.
pub fn groups(program: &Program, count: &Count, budget: u64) -> Result<Vec<Group>, TooLarge> {
    let told = Share {
        read: facts(program, count),
        judged: Needs::nothing(),
    };
    let mut items: Vec<(Option<usize>, Share)> = vec![(None, told)];
    items.extend((0..program.rules.len()).map(|i| (Some(i), Share::of(&part(program, &[i])))));
    for (rule, share) in &items {
        let bytes = share.bytes_of_several(count);
        if bytes > budget {
            return Err(TooLarge {
                rule: rule.map(|i| program.rules[i].name.clone()),
                bytes,
                most: share.most(count),
            });
        }
    }
    // The largest first: small ones then fill what is left. Facts come first of all, so the first group is theirs.
    items[1..].sort_by_key(|(_, share)| std::cmp::Reverse(share.bytes_of_several(count)));
    let mut out: Vec<(Vec<usize>, Share)> = Vec::new();
    for (rule, share) in items {
        let fits = |both: &Share| both.bytes_of_several(count) <= budget;
        let joined = out.iter_mut().find_map(|(rules, all)| {
            let both = all.with(&share);
            fits(&both).then_some((rules, all, both))
        });
        match joined {
            Some((rules, all, both)) => {
                rules.extend(rule);
                *all = both;
            }
            None => out.push((rule.into_iter().collect(), share)),
        }
    }
    out.rotate_left(1);
    let group = |(mut rules, share): (Vec<usize>, Share)| {
        rules.sort_unstable();
        Group {
            program: part(program, &rules),
            bytes: share.bytes_of_several(count),
            rules,
            needs: share.read,
        }
    };
    Ok(out.into_iter().map(group).collect())
}
