//! What stands between two tokens: comments and blank lines.

/// A comment, without the white space at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comment<'a> {
    pub(super) text: &'a str,
    /// Behind a token, on its line.
    pub(super) trailing: bool,
    /// Behind a blank line.
    pub(super) spaced: bool,
}

/// What stands between two tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gap<'a> {
    pub(super) comments: Vec<Comment<'a>>,
    /// A line end stands before the second token.
    pub(super) broken: bool,
    /// A blank line stands right before the second token.
    pub(super) spaced: bool,
}

/// Reads the text between two tokens; `first` at the start of a file, where no token stands before.
pub(super) fn gap(between: &str, first: bool) -> Gap<'_> {
    let mut out = Gap::default();
    let mut empty = 0;
    let mut lines = between.split('\n').enumerate().peekable();
    while let Some((i, line)) = lines.next() {
        let text = line.trim_start_matches('\u{feff}').trim();
        out.broken |= i > 0;
        if text.is_empty() {
            // The parts before the first line end and behind the last one are no blank lines.
            empty += usize::from(lines.peek().is_some() && (i > 0 || first));
            continue;
        }
        out.comments.push(Comment {
            text,
            trailing: i == 0 && !first,
            spaced: empty > 0,
        });
        empty = 0;
    }
    out.spaced = empty > 0;
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_blank_lines_are_told_apart() {
        let g = gap("  # a \r\n\n\n  ## b\n", false);
        let seen: Vec<_> = g.comments.iter().map(|c| (c.text, c.trailing, c.spaced)).collect();
        assert_eq!(seen, [("# a", true, false), ("## b", false, true)]);
        assert!(g.broken && !g.spaced);
        assert_eq!(gap(" ", false), Gap::default());
        assert!(gap("\n \n", false).spaced);
        assert!(!gap("\n", false).spaced);
        assert!(!gap("# a", true).comments[0].trailing);
    }
}
