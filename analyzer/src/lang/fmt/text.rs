//! Quoted texts: joined to one line, or broken at spaces where they are long.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr as _;

/// A quoted text on one line: every `\` at a line's end is taken out with the indent behind it.
pub(super) fn joined(quoted: &str) -> Cow<'_, str> {
    if !quoted.contains('\n') {
        return Cow::Borrowed(quoted);
    }
    let mut out = String::with_capacity(quoted.len());
    let mut chars = quoted.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some('\n')) => while chars.next_if(|c| c.is_whitespace()).is_some() {},
            ('\\', Some(_)) => {
                out.push(c);
                out.extend(chars.next());
            }
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Lines of a joined text, the first one starting at a column, the others below its first letter.
/// Every line but the last ends in `\`.
pub(super) fn wrapped(joined: &str, column: usize, width: usize) -> Vec<String> {
    if column + joined.width() <= width {
        return vec![joined.to_owned()];
    }
    let mut lines = Vec::new();
    let mut line = String::new();
    // The quote stands before the first line; the letters of the others begin below its own.
    let mut at = column;
    for piece in pieces(joined) {
        // A column stays for the `\`.
        if !line.is_empty() && at + line.width() + piece.width() + 1 > width {
            line.push('\\');
            lines.push(std::mem::take(&mut line));
            at = column + 1;
        }
        line.push_str(piece);
    }
    lines.push(line);
    lines
}

/// A text in pieces that each end in a space behind which a line may end; placeholders in braces are
/// one piece.
fn pieces(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut depth = 0_usize;
    let mut chars = text.char_indices().peekable();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' if depth == 0 => {
                chars.next();
            }
            '{' | '}' if depth == 0 && chars.next_if(|(_, n)| *n == c).is_some() => {}
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && chars.peek().is_some_and(|(_, n)| !n.is_whitespace()) => {
                out.push(&text[start..=i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_joined_and_wrapped_at_spaces_outside_placeholders() {
        let text = r#""one {a b c} two \" three {{ four""#;
        let lines = wrapped(text, 0, 14);
        assert_eq!(lines, [r#""one {a b c} \"#, r#"two \" \"#, r"three {{ \", r#"four""#]);
        assert_eq!(joined(&lines.join("\n   ")), text);
        assert_eq!(joined("\"a\\\\\\\n  b\""), "\"a\\\\b\"");
        assert_eq!(wrapped("\"a b\"", 4, 9), ["\"a b\""]);
    }
}
