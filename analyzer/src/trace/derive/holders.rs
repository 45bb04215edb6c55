//! Who held the CPU while a thread waited for it, from the turns of all recorded threads on that CPU.
//!
//! The thread that took a CPU, or had it last, says little about a long wait: it may have run for microseconds
//! of it.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::unit::{Interval, MS};

/// A shorter wait lies within one slice of the scheduler, so whoever took the CPU held it throughout.
const SLICE: i64 = MS;

/// In the place of a thread id: most of the wait belongs to threads that are not recorded.
pub(crate) const UNRECORDED: i64 = -2;

/// The off-CPU stints of one thread, sorted by time, each with the CPU it ended on and who is thought to have
/// held it.
pub(crate) struct Stints<'a> {
    pub(crate) tid: i64,
    pub(crate) start: &'a [i64],
    pub(crate) end: &'a [i64],
    /// When the thread became runnable; a stint without that is left alone.
    pub(crate) runnable: &'a [Option<i64>],
    /// `None` for a stint that the recording ended.
    pub(crate) cpu: &'a [Option<i64>],
    pub(crate) holder: &'a mut [i64],
}

/// A stretch in which a thread had a CPU.
struct Turn {
    on: Interval,
    tid: i64,
}

/// Corrects the holders of all long waits: the recorded thread that had the CPU longest if recorded threads
/// had it for at least half of the wait, else [`UNRECORDED`] where a recorded thread was named.
pub(crate) fn correct(threads: &mut [Stints<'_>]) {
    let long = |t: &Stints<'_>| (0..t.end.len()).any(|i| t.wait(i).is_some());
    if !threads.iter().any(long) {
        return;
    }
    let recorded: FxHashSet<i64> = threads.iter().map(|t| t.tid).collect();
    let turns = turns(threads);
    for t in threads {
        for i in 0..t.end.len() {
            let Some((wait, cpu)) = t.wait(i) else { continue };
            let mut by: Vec<(i64, i64)> = Vec::new();
            let on = turns.get(&cpu).map_or(&[][..], Vec::as_slice);
            // Turns on one CPU do not overlap: those that begin later also end later.
            let from = on.partition_point(|x| x.on.end <= wait.start);
            for turn in on[from..].iter().take_while(|x| x.on.start < wait.end) {
                let had = turn.on.end.min(wait.end) - turn.on.start.max(wait.start);
                match by.iter_mut().find(|b| b.0 == turn.tid) {
                    _ if turn.tid == t.tid => {}
                    Some(b) => b.1 += had,
                    None => by.push((turn.tid, had)),
                }
            }
            let longest = by.iter().max_by_key(|b| (b.1, std::cmp::Reverse(b.0))).map(|b| b.0);
            let all: i64 = by.iter().map(|b| b.1).sum();
            match longest {
                Some(tid) if all >= wait.len() / 2 => t.holder[i] = tid,
                _ if recorded.contains(&t.holder[i]) => t.holder[i] = UNRECORDED,
                _ => {}
            }
        }
    }
}

impl Stints<'_> {
    /// The wait of a stint and its CPU, where it is long and the thread stayed on that CPU's queue as far as
    /// is known: a thread that lost one CPU and went on with another waited for both.
    fn wait(&self, i: usize) -> Option<(Interval, i64)> {
        let (cpu, runnable) = (self.cpu[i]?, self.runnable[i]?);
        let wait = Interval::new(runnable, self.end[i]);
        let lost_it = runnable == self.start[i];
        let left = i.checked_sub(1).and_then(|before| self.cpu[before]);
        let moved = lost_it && left.is_some_and(|c| c != cpu);
        (wait.len() >= SLICE && !moved).then_some((wait, cpu))
    }
}

/// The turns of all threads by CPU, sorted: from the end of a stint to the thread's next, or to the next turn
/// of another thread on that CPU, should a stint between be no row.
fn turns(threads: &[Stints<'_>]) -> FxHashMap<i64, Vec<Turn>> {
    let mut out: FxHashMap<i64, Vec<Turn>> = FxHashMap::default();
    for t in threads {
        for (i, next) in t.start.iter().enumerate().skip(1) {
            if let Some(cpu) = t.cpu[i - 1] {
                let on = Interval::new(t.end[i - 1], (*next).max(t.end[i - 1]));
                out.entry(cpu).or_default().push(Turn { on, tid: t.tid });
            }
        }
    }
    #[expect(clippy::iter_over_hash_type, reason = "each list is sorted by itself")]
    for turns in out.values_mut() {
        turns.sort_unstable_by_key(|t| (t.on, t.tid));
        for i in 1..turns.len() {
            let next = turns[i].on.start;
            let before = &mut turns[i - 1].on;
            before.end = before.end.min(next);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waiter loses CPU 1 at 10 ms, named to thread `named`, and gets it back at 50 ms; thread 8 has it
    /// from 40 ms on for `had` ms. Who held it.
    fn held(named: i64, had: i64, back_on: i64) -> i64 {
        let ms = |t: &[i64]| t.iter().map(|t| t * MS).collect::<Vec<_>>();
        let (a_start, a_end) = (ms(&[0, 10, 60]), ms(&[5, 50, 61]));
        let (b_start, b_end) = (ms(&[0, 40 + had]), ms(&[40, 70]));
        let runnable: Vec<_> = a_start.iter().copied().map(Some).collect();
        let (mut a, mut b) = (vec![0, named, 0], vec![0, 0]);
        correct(&mut [
            Stints {
                tid: 7,
                start: &a_start,
                end: &a_end,
                runnable: &runnable,
                cpu: &[Some(1), Some(back_on), Some(1)],
                holder: &mut a,
            },
            Stints {
                tid: 8,
                start: &b_start,
                end: &b_end,
                runnable: &[None, None],
                cpu: &[Some(1), Some(1)],
                holder: &mut b,
            },
        ]);
        a[1]
    }

    #[test]
    fn who_ran_last_is_not_who_held_the_cpu() {
        // 10 ms of 40: not thread 8, though it had the CPU last; who then is not recorded.
        assert_eq!(held(8, 10, 1), UNRECORDED);
        // Somebody known and not recorded stays.
        assert_eq!(held(99, 10, 1), 99);
        // It took another CPU in the end: nothing is concluded.
        assert_eq!(held(8, 10, 2), 8);
    }

    #[test]
    fn a_recorded_thread_that_ran_for_half_of_it_held_it() {
        let (start, end) = (vec![0, 30 * MS], vec![10 * MS, 90 * MS]);
        let mut other = vec![0, 0];
        let mut waiter = vec![0, 99];
        correct(&mut [
            Stints {
                tid: 7,
                start: &[0, 8 * MS],
                end: &[5 * MS, 32 * MS],
                runnable: &[Some(0), Some(8 * MS)],
                cpu: &[Some(1), Some(1)],
                holder: &mut waiter,
            },
            Stints {
                tid: 8,
                start: &start,
                end: &end,
                runnable: &[None, None],
                cpu: &[Some(1), Some(1)],
                holder: &mut other,
            },
        ]);
        assert_eq!(waiter, [0, 8]);
    }
}
