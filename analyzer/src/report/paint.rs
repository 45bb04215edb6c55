//! Styles, wrapping and cleaning of text for terminals.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::diagnosis::Severity;

/// What a piece of text is, not what it looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// Running text.
    #[default]
    Plain,
    /// A heading.
    Strong,
    /// Less important: labels, units of reading.
    Dim,
    /// A problem with the run itself.
    Alarm,
    /// Text in the colour of a severity.
    Level(Severity),
}

impl Style {
    fn ansi(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "1",
            Self::Dim => "2",
            Self::Alarm | Self::Level(Severity::Critical) => "1;31",
            Self::Level(Severity::High) => "31",
            Self::Level(Severity::Medium) => "33",
            Self::Level(Severity::Low) => "36",
            Self::Level(Severity::Info) => "34",
        }
    }
}

/// A text under construction.
pub(super) struct Page {
    out: String,
    pub(super) width: usize,
    color: bool,
    ascii: bool,
}

/// A text with a style.
pub(super) type Piece<'a> = (&'a str, Style);

impl Page {
    pub(super) fn new(width: usize, color: bool, ascii: bool) -> Self {
        Self {
            out: String::new(),
            width,
            color,
            ascii,
        }
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    pub(super) fn blank(&mut self) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
    }

    /// Text that may be shown: no control characters, and only ASCII where that is asked for.
    pub(super) fn clean(&self, text: &str) -> String {
        let text = clean(text);
        if self.ascii { to_ascii(&text) } else { text }
    }

    /// A finished line, already cleaned and fitted.
    pub(super) fn line(&mut self, pieces: &[Piece<'_>]) {
        for (i, (text, style)) in pieces.iter().enumerate() {
            let last = pieces[i + 1..].iter().all(|(t, _)| t.trim().is_empty());
            self.styled(if last { text.trim_end() } else { text }, *style);
            if last {
                break;
            }
        }
        self.out.push('\n');
    }

    fn styled(&mut self, text: &str, style: Style) {
        let codes = style.ansi();
        if self.color && !codes.is_empty() && !text.trim().is_empty() {
            self.out.push_str("\x1b[");
            self.out.push_str(codes);
            self.out.push('m');
            self.out.push_str(text);
            self.out.push_str("\x1b[0m");
        } else {
            self.out.push_str(text);
        }
    }

    /// A paragraph: `head` starts its first line, the text is wrapped and hangs `indent` columns
    /// in. Line ends in the text are kept.
    pub(super) fn hang(&mut self, head: &[Piece<'_>], indent: usize, text: &str, style: Style) {
        self.hang_within(head, indent, text, style, self.width);
    }

    /// As [`Page::hang`], for prose: lines stay short enough to be read on wide terminals.
    pub(super) fn prose(&mut self, head: &[Piece<'_>], indent: usize, text: &str) {
        self.hang_within(head, indent, text, Style::Plain, self.width.min(indent + 104));
    }

    fn hang_within(&mut self, head: &[Piece<'_>], indent: usize, text: &str, style: Style, width: usize) {
        let head: Vec<(String, Style)> = head.iter().map(|(t, s)| (self.clean(t), *s)).collect();
        let head_width: usize = head.iter().map(|(t, _)| t.width()).sum();
        let mut text = self.clean(text);
        if head_width + 12 > width.max(indent + 12) {
            // No room for the text beside its head: everything is one paragraph then.
            let all: String = head.iter().map(|(t, _)| t.as_str()).collect();
            text = format!("{} {text}", all.trim());
            for line in wrap(&text, width.saturating_sub(indent), width.saturating_sub(indent)) {
                self.line(&[(&" ".repeat(indent), Style::Plain), (&line, style)]);
            }
            return;
        }
        let lines = wrap(
            &text,
            width.saturating_sub(head_width.max(indent)),
            width.saturating_sub(indent),
        );
        for (text, style) in &head {
            self.styled(text, *style);
        }
        let mut at = head_width;
        for line in &lines {
            if !line.is_empty() {
                let pad = indent.saturating_sub(at);
                self.out.push_str(&" ".repeat(pad));
                self.styled(line, style);
            }
            while self.out.ends_with(' ') {
                self.out.pop();
            }
            self.out.push('\n');
            at = 0;
        }
    }
}

/// Replaces what could steer a terminal: control characters and those that turn the direction of
/// writing. Process and op names come from a file that somebody else wrote.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '\n',
            '\t' => ' ',
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

fn to_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_ascii() => out.push(c),
            'µ' | 'μ' => out.push('u'),
            '×' => out.push('x'),
            '…' => out.push_str("..."),
            '→' => out.push_str("->"),
            '≥' => out.push_str(">="),
            '≤' => out.push_str("<="),
            '≠' => out.push_str("!="),
            '–' | '—' | '−' | '─' => out.push('-'),
            '└' => out.push('`'),
            '‘' | '’' => out.push('\''),
            '“' | '”' => out.push('"'),
            '\u{a0}' => out.push(' '),
            _ => out.push('?'),
        }
    }
    out
}

/// Breaks text at spaces; words that do not fit on a line of their own are broken anywhere.
pub(crate) fn wrap(text: &str, first: usize, rest: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let limit = |n: usize| if n == 0 { first.max(8) } else { rest.max(8) };
    for paragraph in text.split('\n') {
        let (mut line, mut used) = (String::new(), 0);
        for word in words(paragraph) {
            let wide = word.width();
            if used > 0 && used + 1 + wide > limit(lines.len()) {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            if used + wide <= limit(lines.len()) {
                line.push_str(word);
                used += wide;
                continue;
            }
            for c in word.chars() {
                let w = c.width().unwrap_or(0);
                if used > 0 && used + w > limit(lines.len()) {
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push(c);
                used += w;
            }
        }
        lines.push(line);
    }
    lines
}

/// Splits at spaces, but never a number from its unit.
fn words(paragraph: &str) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::new();
    let mut start = None;
    let mut rest = paragraph;
    while !rest.is_empty() {
        let trimmed = rest.trim_start_matches(' ');
        let at = paragraph.len() - trimmed.len();
        let end = at + trimmed.find(' ').unwrap_or(trimmed.len());
        rest = &paragraph[end..];
        if at == end {
            break;
        }
        let from: usize = *start.get_or_insert(at);
        let next = rest.trim_start_matches(' ').split(' ').next().unwrap_or("");
        let glued = paragraph[at..end].ends_with(|c: char| c.is_ascii_digit()) && is_unit(next);
        if !glued {
            out.push(&paragraph[from..end]);
            start = None;
        }
    }
    out
}

fn is_unit(word: &str) -> bool {
    const UNITS: [&str; 14] = [
        "%", "B", "kB", "MB", "GB", "TB", "ns", "µs", "us", "ms", "s", "min", "GB/s", "MB/s",
    ];
    UNITS.contains(&word.trim_end_matches([',', ';', '.', ':', ')']))
}

/// Pads to a width, or cuts with an ellipsis.
pub(super) fn fit(text: &str, width: usize, right: bool) -> String {
    let have = text.width();
    if have > width {
        let ascii = text.is_ascii();
        let keep = width.saturating_sub(1);
        let (mut out, mut used) = (String::new(), 0);
        for c in text.chars() {
            let w = c.width().unwrap_or(0);
            if used + w > keep {
                break;
            }
            out.push(c);
            used += w;
        }
        out.push(if ascii { '~' } else { '…' });
        out.push_str(&" ".repeat(width - used - 1));
        return out;
    }
    let pad = " ".repeat(width - have);
    if right {
        format!("{pad}{text}")
    } else {
        format!("{text}{pad}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_wrap_and_giants_break() {
        assert_eq!(wrap("one two three", 8, 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijkl", 8, 8), ["abcdefgh", "ijkl"]);
        assert_eq!(wrap("a\n\nb", 8, 8), ["a", "", "b"]);
        assert_eq!(wrap("", 8, 8), [""]);
        assert_eq!(wrap("it took 40 ms, then", 10, 10), ["it took", "40 ms,", "then"]);
        assert_eq!(words("  a  40 ms  b "), ["a", "40 ms", "b"]);
    }

    #[test]
    fn names_from_a_file_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\u{202e}c\r"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}");
        assert_eq!(to_ascii("16.4 µs → 3×"), "16.4 us -> 3x");
    }

    #[test]
    fn colour_never_counts_as_width() {
        let mut page = Page::new(20, true, false);
        page.hang(&[("head ", Style::Strong)], 5, "some text that wraps", Style::Dim);
        assert_eq!(
            page.finish(),
            "\x1b[1mhead \x1b[0m\x1b[2msome text that\x1b[0m\n     \x1b[2mwraps\x1b[0m\n"
        );
    }
}
