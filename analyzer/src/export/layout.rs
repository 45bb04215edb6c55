//! Intervals onto lines on which any two are apart or one inside the other.

use crate::unit::Interval;

/// What happens on a line, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The item begins on that line.
    Begin(usize, usize),
    /// The item ends on that line.
    End(usize, usize),
}

/// Gives each interval the first line on which it fits. `tell` hears of begins and ends, on every
/// line in the order of time. Items are told by their position in `when`.
///
/// # Errors
/// Whatever `tell` returns.
pub(super) fn lay_out<E>(when: &[Interval], mut tell: impl FnMut(Step) -> Result<(), E>) -> Result<(), E> {
    let mut order: Vec<usize> = (0..when.len()).collect();
    order.sort_by_key(|&i| (when[i].start, std::cmp::Reverse(when[i].end)));
    let mut lines: Vec<Vec<usize>> = Vec::new();
    for i in order {
        let mut place = None;
        for (line, open) in lines.iter_mut().enumerate() {
            while let Some(&top) = open.last().filter(|&&top| when[top].end <= when[i].start) {
                open.pop();
                tell(Step::End(top, line))?;
            }
            let fits = open.last().is_none_or(|&top| when[i].end <= when[top].end);
            if fits && place.is_none() {
                place = Some(line);
            }
        }
        let line = place.unwrap_or(lines.len());
        if line == lines.len() {
            lines.push(Vec::new());
        }
        lines[line].push(i);
        tell(Step::Begin(i, line))?;
    }
    for (line, open) in lines.into_iter().enumerate() {
        for i in open.into_iter().rev() {
            tell(Step::End(i, line))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Step::{Begin, End};
    use super::*;

    #[test]
    fn what_crosses_gets_a_line_of_its_own() {
        let when = [(0, 10), (2, 8), (5, 12), (5, 5), (10, 11), (10, 10)].map(|(a, b)| Interval::new(a, b));
        let mut steps = Vec::new();
        lay_out(&when, |s| {
            steps.push(s);
            Ok::<(), ()>(())
        })
        .unwrap();
        let expected = [
            Begin(0, 0),
            Begin(1, 0),
            Begin(2, 1),
            Begin(3, 0),
            End(3, 0),
            End(1, 0),
            End(0, 0),
            Begin(4, 0),
            Begin(5, 0),
            End(5, 0),
            End(4, 0),
            End(2, 1),
        ];
        assert_eq!(steps, expected);
    }
}
