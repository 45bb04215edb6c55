//! Applies the edits that diagnostics carry.

use super::diagnostic::Edit;

/// A text with edits applied, and which of them were: of two that overlap only the first is, and
/// one that does not fit the text is left out.
pub fn apply<'a>(text: &str, edits: impl IntoIterator<Item = &'a Edit>) -> (String, Vec<&'a Edit>) {
    let mut sorted: Vec<&Edit> = edits.into_iter().collect();
    sorted.sort_by_key(|e| (e.span, e.replacement.as_str()));
    sorted.dedup();
    let mut out = String::with_capacity(text.len());
    let mut done: Vec<&Edit> = Vec::new();
    let mut at = 0;
    for edit in sorted {
        let range = edit.span.range();
        // Two insertions at one place would change each other's meaning.
        let again = done.last().is_some_and(|d| d.span == edit.span);
        let Some(before) = text.get(at..range.start).filter(|_| !again) else {
            continue;
        };
        if text.get(range.clone()).is_none_or(|old| old == edit.replacement) {
            continue;
        }
        out.push_str(before);
        out.push_str(&edit.replacement);
        at = range.end;
        done.push(edit);
    }
    out.push_str(&text[at..]);
    (out, done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;

    fn edit(start: usize, end: usize, text: &str) -> Edit {
        Edit {
            span: Span::new(start, end),
            replacement: text.to_owned(),
        }
    }

    #[test]
    fn edits_are_applied_once_and_never_into_each_other() {
        let edits = [
            edit(4, 7, "BB"),
            edit(0, 3, "A"),
            edit(5, 9, "no"),
            edit(11, 11, "!"),
            edit(40, 41, "no"),
        ];
        let (text, done) = apply("aaa bbb ccc", &edits);
        assert_eq!(text, "A BB ccc!");
        assert_eq!(done.len(), 3);
        // Not inside a character, and nothing to do where the text is right already.
        let edits = [edit(1, 2, "x"), edit(0, 2, "µ")];
        let (text, done) = apply("µs", &edits);
        assert_eq!((text.as_str(), done.len()), ("µs", 0));
    }
}
