//! Rules in groups, each of which can be judged in a given amount of memory.
//!
//! A trace is read once for each group, and only what the rules of the group need of it. What each
//! comes to does not depend on the others, so the verdicts are those of one pass.

use super::{asked, needs, part, stored};
use crate::lang::hir::Program;
use crate::trace::catalogue::{Op, Source};
use crate::trace::{Count, Needs};

/// Memory that does not depend on the trace.
const FIXED: u64 = 48 << 20;
/// What evaluation takes for each row beside its columns: selections, durations, derived columns.
const WORK: u64 = 32;

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

/// Bytes that a trace with these rows takes when judged.
pub fn bytes(needs: &Needs, count: &Count) -> u64 {
    let all = needs.closure();
    let kept = count.rows.iter().filter(|(op, _)| all.has(**op));
    kept.fold(FIXED, |sum, (op, n)| {
        sum.saturating_add(n.saturating_mul(per_row(*op, needs)))
    })
}

/// Bytes of the columns of a row, and of the work on it.
fn per_row(op: Op, needs: &Needs) -> u64 {
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
    start_length_and_row + value + state + if call || source == Source::Net { of_call } else { 0 } + WORK
}

/// What facts about the recording and stored verdicts take.
pub fn facts(program: &Program, count: &Count) -> Needs {
    let whole = needs(program);
    // Also where no rule asks for anything: what is told of a process takes them.
    let mut facts = asked(&Program::default());
    let told = |o: &Op| o.is("off_cpu") || o.is("launch");
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
    let mut items: Vec<(Option<usize>, Needs)> = vec![(None, facts(program, count))];
    items.extend((0..program.rules.len()).map(|i| (Some(i), asked(&part(program, &[i])))));
    for (rule, needs) in &items {
        let bytes = bytes(needs, count);
        if bytes > budget {
            return Err(TooLarge {
                rule: rule.map(|i| program.rules[i].name.clone()),
                bytes,
                most: most(needs, count),
            });
        }
    }
    // The largest first: small ones then fill what is left. Facts come first of all, so the first group is theirs.
    items[1..].sort_by_key(|(_, needs)| std::cmp::Reverse(bytes(needs, count)));
    let mut out: Vec<(Vec<usize>, Needs)> = Vec::new();
    for (rule, needs) in items {
        let joined = out.iter_mut().find_map(|(rules, all)| {
            let mut both = all.clone();
            both.merge(&needs);
            (bytes(&both, count) <= budget).then_some((rules, all, both))
        });
        match joined {
            Some((rules, all, both)) => {
                rules.extend(rule);
                *all = both;
            }
            None => out.push((rule.into_iter().collect(), needs)),
        }
    }
    out.rotate_left(1);
    let group = |(mut rules, needs): (Vec<usize>, Needs)| {
        rules.sort_unstable();
        Group {
            program: part(program, &rules),
            bytes: bytes(&needs, count),
            rules,
            needs,
        }
    };
    Ok(out.into_iter().map(group).collect())
}

fn most(needs: &Needs, count: &Count) -> Option<(String, u64)> {
    let all = needs.closure();
    let kept = count.rows.iter().filter(|(op, _)| all.has(**op));
    let (op, rows) = kept.max_by_key(|(op, n)| (*n * per_row(**op, needs), std::cmp::Reverse(**op)))?;
    Some((format!("{}.{}", op.def().source.name(), op.def().name), *rows))
}
