//! Runs of programs: from an exec to the next exec or the end.

use crate::trace::identity::Identity;
use crate::unit::Interval;

/// A run, by its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) life: usize,
    pub(crate) when: Interval,
    /// The life that forked it.
    pub(crate) parent: Option<usize>,
}

/// All runs whose exec was seen, by life. `alive_to` gives the end of each life.
pub(crate) fn runs(identity: &Identity, alive_to: impl Fn(usize) -> i64) -> Vec<Run> {
    let lives = identity.lives.iter().enumerate();
    lives
        .filter_map(|(life, l)| {
            let (at, _) = l.exec?;
            Some(Run {
                life,
                when: Interval::new(at, l.ended.unwrap_or_else(|| alive_to(life))),
                parent: l.parent,
            })
        })
        .collect()
}
