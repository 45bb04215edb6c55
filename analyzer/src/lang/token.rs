//! Text to tokens. Never fails: what cannot be read is reported and left out.

use std::collections::BTreeMap;

use super::diagnostic::{Code, Diagnostic};
use super::limits;
use super::suggest::nearest;
use crate::source::{SourceId, Span};
use crate::unit::{Dim, Num, days_from_civil};

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Where.
    pub span: Span,
    /// Whether only white space stands before it on its line.
    pub first_on_line: bool,
}

/// Kinds of tokens.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// An identifier or keyword.
    Name(Box<str>),
    /// A back-quoted identifier: never a keyword or statistic.
    Quoted(Box<str>),
    /// `p99`, `p99.9`: numerator and denominator of the share, in lowest terms of ten.
    Stat(u32, u32),
    /// A number without a unit.
    Number(Num),
    /// A number with a unit, in base units.
    Quantity(Num, Dim),
    /// A quoted text, escapes resolved.
    Str(Box<str>),
    /// `/…/` with the flag `i` or without.
    Regex(Box<str>, bool),
    /// Days since 1970-01-01.
    Date(i64),
    /// Punctuation.
    Punct(Punct),
    /// The end of the text.
    End,
}

macro_rules! puncts {
    ($($name:ident = $text:literal,)*) => {
        /// Punctuation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Punct {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl Punct {
            /// As written.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

puncts! {
    Arrow = "=>", Ge = ">=", Le = "<=", Ne = "!=", Match = "=~", NotMatch = "!~", DotDot = "..",
    Gt = ">", Lt = "<", Eq = "=", Plus = "+", Minus = "-", Star = "*", Slash = "/", Dot = ".", Comma = ",",
    Colon = ":", At = "@", LParen = "(", RParen = ")", LBracket = "[", RBracket = "]", LBrace = "{",
    RBrace = "}", Percent = "%",
}

/// Two-character operators first.
const OPERATORS: &[(&str, Punct)] = &[
    ("=>", Punct::Arrow),
    (">=", Punct::Ge),
    ("<=", Punct::Le),
    ("!=", Punct::Ne),
    ("=~", Punct::Match),
    ("!~", Punct::NotMatch),
    ("==", Punct::Eq),
    ("..", Punct::DotDot),
    (">", Punct::Gt),
    ("<", Punct::Lt),
    ("=", Punct::Eq),
    ("+", Punct::Plus),
    ("-", Punct::Minus),
    ("*", Punct::Star),
    ("/", Punct::Slash),
    (".", Punct::Dot),
    (",", Punct::Comma),
    (":", Punct::Colon),
    ("@", Punct::At),
    ("(", Punct::LParen),
    (")", Punct::RParen),
    ("[", Punct::LBracket),
    ("]", Punct::RBracket),
    ("{", Punct::LBrace),
    ("}", Punct::RBrace),
    ("%", Punct::Percent),
];

/// Units of time, with their length in nanoseconds.
pub const TIME_UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Units of size, with their length in bytes.
pub const BYTE_UNITS: &[(&str, i128)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// The number and dimension that a unit stands for.
pub fn unit(text: &str) -> Option<(Num, Dim)> {
    let find = |table: &[(&str, i128)]| table.iter().find(|(n, _)| *n == text).map(|(_, v)| Num::int(*v));
    if let Some(n) = find(TIME_UNITS) {
        return Some((n, Dim::TIME));
    }
    if let Some(n) = find(BYTE_UNITS) {
        return Some((n, Dim::BYTES));
    }
    match text {
        "%" => Num::ratio(1, 100).map(|n| (n, Dim::NONE)),
        "x" => Some((Num::ONE, Dim::NONE)),
        "k" => Some((Num::int(1_000), Dim::NONE)),
        "M" => Some((Num::int(1_000_000), Dim::NONE)),
        _ => None,
    }
}

/// A text as tokens.
#[derive(Clone, Debug, Default)]
pub struct Lexed {
    /// The tokens; the last one is [`Kind::End`].
    pub tokens: Vec<Token>,
    /// `##` comments, by the first byte of the token that follows them.
    pub docs: BTreeMap<u32, String>,
    /// What could not be read.
    pub diagnostics: Vec<Diagnostic>,
}

/// Splits a text into tokens.
pub fn lex(file: SourceId, text: &str) -> Lexed {
    if text.len() > limits::FILE_BYTES {
        let span = Span::new(0, 0);
        let mut out = Lexed::default();
        out.diagnostics.push(
            Diagnostic::new(
                Code::FileTooLarge,
                file,
                span,
                format!("the file has {} bytes; the limit is {}", text.len(), limits::FILE_BYTES),
            )
            .help("split it into several files"),
        );
        out.tokens.push(Token {
            kind: Kind::End,
            span,
            first_on_line: true,
        });
        return out;
    }
    lex_part(file, text, Span::new(0, text.len()))
}

/// Splits a part of a text into tokens; spans are those of the whole text.
pub(crate) fn lex_part(file: SourceId, text: &str, part: Span) -> Lexed {
    let mut lexer = Lexer {
        file,
        text: &text[..part.range().end],
        at: part.range().start,
        fresh_line: true,
        doc: String::new(),
        out: Lexed::default(),
    };
    lexer.run();
    lexer.out
}

struct Lexer<'a> {
    file: SourceId,
    text: &'a str,
    at: usize,
    fresh_line: bool,
    doc: String,
    out: Lexed,
}

fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn peek_at(&self, at: usize) -> Option<char> {
        self.text[at..].chars().next()
    }

    /// Moves past the characters that satisfy `f` and returns them.
    fn take_while(&mut self, f: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !f(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn push(&mut self, kind: Kind, start: usize) {
        let span = Span::new(start, self.at);
        if !self.doc.is_empty() {
            self.out.docs.insert(span.start, std::mem::take(&mut self.doc));
        }
        self.out.tokens.push(Token {
            kind,
            span,
            first_on_line: self.fresh_line,
        });
        self.fresh_line = false;
    }

    fn report(&mut self, code: Code, start: usize, end: usize, message: impl Into<String>) -> &mut Diagnostic {
        let diagnostic = Diagnostic::new(code, self.file, Span::new(start, end), message);
        self.out.diagnostics.push(diagnostic);
        self.out.diagnostics.last_mut().expect("one was pushed just now")
    }

    fn run(&mut self) {
        if self.at == 0 && self.text.starts_with('\u{feff}') {
            self.at += '\u{feff}'.len_utf8();
        }
        while let Some(c) = self.peek() {
            if self.out.tokens.len() >= limits::TOKENS {
                let message = format!("the file has more than {} tokens", limits::TOKENS);
                self.report(Code::TooManyTokens, self.at, self.at, message).help =
                    Some("split it into several files".to_owned());
                break;
            }
            if self.out.diagnostics.len() >= limits::DIAGNOSTICS {
                break;
            }
            let start = self.at;
            match c {
                '\n' => {
                    self.at += 1;
                    self.fresh_line = true;
                }
                c if c.is_whitespace() => self.at += c.len_utf8(),
                '#' => self.comment(),
                '"' => self.string(),
                '`' => self.quoted(),
                c if c.is_ascii_digit() => self.number(),
                c if starts_name(c) => self.name(),
                '/' if self.wants_regex() => self.regex(),
                _ => self.operator(start, c),
            }
        }
        self.at = self.text.len().max(self.at);
        let end = self.at;
        self.push(Kind::End, end);
    }

    fn comment(&mut self) {
        let line = self.take_while(|c| c != '\n');
        if let Some(doc) = line.strip_prefix("##").filter(|d| !d.starts_with('#')) {
            if !self.doc.is_empty() {
                self.doc.push('\n');
            }
            self.doc.push_str(doc.strip_prefix(' ').unwrap_or(doc).trim_end());
        }
    }

    fn string(&mut self) {
        let start = self.at;
        self.at += 1;
        let mut value = String::new();
        loop {
            let part = self.take_while(|c| !matches!(c, '"' | '\\' | '\n'));
            value.push_str(part);
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    break;
                }
                Some('\\') => {
                    let at = self.at;
                    self.at += 1;
                    let Some(c) = self.peek() else { continue };
                    self.at += c.len_utf8();
                    match unescape(c) {
                        Some(plain) => value.push(plain),
                        None if c == '\n' => {
                            self.take_while(char::is_whitespace);
                        }
                        None => {
                            self.report(Code::BadEscape, at, self.at, format!("unknown escape `\\{c}`"))
                                .help = Some("escapes are \\\" \\\\ \\n \\t, and \\ at the end of a line".to_owned());
                        }
                    }
                }
                _ => {
                    self.report(Code::Unterminated, start, self.at, "this text has no closing quote")
                        .help = Some("close it with \" on the same line, or end the line with \\ to go on".to_owned());
                    break;
                }
            }
        }
        self.push(Kind::Str(value.into()), start);
    }

    fn quoted(&mut self) {
        let start = self.at;
        self.at += 1;
        let name = self.take_while(|c| c != '`' && c != '\n');
        if self.peek() == Some('`') {
            self.at += 1;
            self.push(Kind::Quoted(name.into()), start);
        } else {
            self.report(
                Code::Unterminated,
                start,
                self.at,
                "this quoted name has no closing back-quote",
            );
        }
    }

    fn wants_regex(&self) -> bool {
        matches!(
            self.out.tokens.last().map(|t| &t.kind),
            Some(Kind::Punct(Punct::Match | Punct::NotMatch))
        )
    }

    fn regex(&mut self) {
        let start = self.at;
        self.at += 1;
        let mut pattern = String::new();
        loop {
            pattern.push_str(self.take_while(|c| !matches!(c, '/' | '\\' | '\n')));
            match self.peek() {
                Some('/') => {
                    self.at += 1;
                    break;
                }
                Some('\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some('/') => pattern.push('/'),
                        Some('\n') | None => continue,
                        Some(c) => {
                            pattern.push('\\');
                            pattern.push(c);
                        }
                    }
                    self.at += self.peek().map_or(0, char::len_utf8);
                }
                _ => {
                    self.report(Code::Unterminated, start, self.at, "this pattern has no closing slash")
                        .help = Some("close it with / on the same line; write \\/ for a slash".to_owned());
                    break;
                }
            }
        }
        let flags_at = self.at;
        let flags = self.take_while(in_name);
        if !matches!(flags, "" | "i") {
            self.report(
                Code::BadRegex,
                flags_at,
                self.at,
                format!("unknown pattern flag `{flags}`"),
            )
            .help = Some("the only flag is `i`: ignore case".to_owned());
        }
        self.push(Kind::Regex(pattern.into(), flags.contains('i')), start);
    }

    fn name(&mut self) {
        let start = self.at;
        let name = self.take_while(in_name);
        let digits = name.strip_prefix('p').unwrap_or("");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            self.push(Kind::Name(name.into()), start);
            return;
        }
        let mut share = digits.to_owned();
        if self.peek() == Some('.') && self.peek_at(self.at + 1).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            share.push('.');
            share.push_str(self.take_while(|c| c.is_ascii_digit()));
        }
        let (whole, part) = share.split_once('.').unwrap_or((&share, ""));
        let scale = 10_u32.checked_pow(u32::try_from(part.len()).unwrap_or(u32::MAX));
        let parsed = scale.filter(|_| part.len() <= 4).and_then(|scale| {
            let num: u32 = format!("{whole}{part}").parse().ok()?;
            let den = scale.checked_mul(100)?;
            (num > 0 && num < den).then_some((num, den))
        });
        if let Some((mut num, mut den)) = parsed {
            while num % 10 == 0 && den > 100 {
                (num, den) = (num / 10, den / 10);
            }
            self.push(Kind::Stat(num, den), start);
        } else {
            let help = if whole.parse() == Ok(100_u32) {
                "the largest value is `max`"
            } else if whole.parse() == Ok(0_u32) {
                "the smallest value is `min`"
            } else {
                "percentiles go from p1 to p99, with up to four decimals: p99.9"
            };
            self.report(
                Code::BadPercentile,
                start,
                self.at,
                format!("`p{share}` is no percentile"),
            )
            .help = Some(help.to_owned());
            self.push(Kind::Stat(50, 100), start);
        }
    }

    fn number(&mut self) {
        let start = self.at;
        if let Some(days) = self.date() {
            self.push(Kind::Date(days), start);
            return;
        }
        let mut total = Num::ZERO;
        let mut dim: Option<Dim> = None;
        loop {
            let part_at = self.at;
            let n = self.decimal();
            let unit_at = self.at;
            let mut word = self.take_while(|c| c.is_ascii_alphabetic() || matches!(c, 'µ' | 'μ' | '%'));
            if word.contains('%') && word != "%" {
                // `80%%` and `50%x` are wrong habits or missing spaces: read the first sign only.
                let keep = word.find('%').map_or(0, |i| i.max(1));
                word = &word[..keep];
                self.at = unit_at + keep;
            }
            let n = n.unwrap_or_else(|| {
                self.report(Code::NumberTooLarge, part_at, unit_at, "this number does not fit")
                    .help = Some("numbers have up to 18 digits before and 9 after the point".to_owned());
                Num::ZERO
            });
            if word.is_empty() {
                if dim.is_some() {
                    self.report(
                        Code::BadUnit,
                        part_at,
                        self.at,
                        "the last part of this duration has no unit",
                    )
                    .help = Some("write every part with its unit: `1m30s`".to_owned());
                } else {
                    total = n;
                }
                break;
            }
            let value = unit(word).and_then(|(scale, d)| Some((n.times(scale)?, d)));
            let more = self.peek().is_some_and(|c| c.is_ascii_digit());
            let glued = self.peek().is_some_and(in_name) && !more;
            match value {
                Some((v, d)) if !glued && (dim.is_none() || (dim, d) == (Some(Dim::TIME), Dim::TIME)) => {
                    total = total.plus(v).unwrap_or(total);
                    dim = Some(d);
                    if more && d == Dim::TIME {
                        continue;
                    }
                    if more {
                        self.bad_unit(unit_at);
                    }
                }
                _ => {
                    self.bad_unit(unit_at);
                    // Later complaints about the same number would only confuse.
                    dim = Some(Dim::TIME);
                }
            }
            break;
        }
        if let Some(per) = self.per_unit() {
            total = total.over(per).unwrap_or(total);
            dim = Some(dim.unwrap_or(Dim::NONE).per(Dim::TIME));
        }
        let kind = match dim {
            None => Kind::Number(total),
            Some(d) => Kind::Quantity(total, d),
        };
        self.push(kind, start);
        if self.peek() == Some('%') && self.text[..self.at].ends_with('%') {
            let at = self.at;
            self.take_while(|c| c == '%');
            let found = self.report(Code::Habit, at, self.at, "one `%` is enough").primary.span;
            if let Some(last) = self.out.diagnostics.last_mut() {
                *last = last.clone().help("percent signs are not escaped").edit(found, "");
            }
        }
    }

    fn bad_unit(&mut self, unit_at: usize) {
        self.take_while(in_name);
        let word = &self.text[unit_at..self.at];
        let span = Span::new(unit_at, self.at);
        let known: Vec<&str> = TIME_UNITS
            .iter()
            .chain(BYTE_UNITS)
            .map(|(n, _)| *n)
            .filter(|n| *n != "μs" && *n != "kB")
            .chain(["%", "x", "k", "M"])
            .collect();
        let spelled = match word.to_ascii_lowercase().as_str() {
            "sec" | "secs" | "second" | "seconds" => Some("s"),
            "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => Some("ms"),
            "usec" | "usecs" | "micros" => Some("us"),
            "nsec" | "nanos" => Some("ns"),
            "mins" | "minute" | "minutes" => Some("min"),
            "hr" | "hrs" | "hour" | "hours" => Some("h"),
            "day" | "days" => Some("d"),
            "byte" | "bytes" => Some("B"),
            "kb" | "kbyte" | "kbytes" => Some("KB"),
            "g" | "gb" => Some("GB"),
            _ => nearest(word, &known),
        };
        let d = self.report(Code::BadUnit, unit_at, self.at, format!("unknown unit `{word}`"));
        *d = match spelled {
            Some(near) => d.clone().help(format!("did you mean `{near}`?")).edit(span, near),
            None => d.clone().help(format!("units are {}", known.join(", "))),
        };
    }

    /// `digits[.digits]`, underscores allowed between digits; `None` where it does not fit.
    fn decimal(&mut self) -> Option<Num> {
        let whole = self.take_while(|c| c.is_ascii_digit() || c == '_').replace('_', "");
        let mut part = String::new();
        if self.peek() == Some('.') && self.peek_at(self.at + 1).is_some_and(|c| c.is_ascii_digit()) {
            self.at += 1;
            part = self.take_while(|c| c.is_ascii_digit() || c == '_').replace('_', "");
        }
        if whole.len() > 18 || part.len() > 9 {
            return None;
        }
        let scale = 10_i128.pow(u32::try_from(part.len()).ok()?);
        Num::ratio(format!("{whole}{part}").parse().ok()?, scale)
    }

    /// `/s` after a number, where nothing follows that would make it a division.
    fn per_unit(&mut self) -> Option<Num> {
        let rest = self.rest().strip_prefix('/')?;
        let len = rest
            .find(|c: char| !(in_name(c) || matches!(c, 'µ' | 'μ')))
            .unwrap_or(rest.len());
        let found = TIME_UNITS.iter().find(|(n, _)| *n == &rest[..len])?;
        self.at += 1 + len;
        Some(Num::int(found.1))
    }

    fn date(&mut self) -> Option<i64> {
        let bytes = self.rest().as_bytes().get(..10)?;
        let shape = bytes.iter().enumerate().all(|(i, b)| match i {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        });
        let text = self.rest().get(..10).filter(|_| shape)?;
        let after = self.rest()[10..].chars().next();
        if after.is_some_and(in_name) {
            return None;
        }
        let start = self.at;
        self.at += 10;
        let number = |r: std::ops::Range<usize>| text[r].parse::<i64>().unwrap_or(0);
        let days = days_from_civil(number(0..4), number(5..7), number(8..10));
        if days.is_none() {
            self.report(Code::BadDate, start, self.at, format!("there is no such day as {text}"));
        }
        Some(days.unwrap_or(0))
    }

    fn operator(&mut self, start: usize, c: char) {
        // Habits from other languages: say the word, and go on as if it had been written.
        const HABITS: &[(&str, &str)] = &[
            ("===", "="),
            ("!==", "!="),
            ("&&", "and"),
            ("||", "or"),
            ("->", "=>"),
            ("<>", "!="),
            ("//", "#"),
            ("&", "and"),
            ("|", "or"),
        ];
        let rest = self.rest();
        let bang = rest.starts_with('!') && !rest.starts_with("!=") && !rest.starts_with("!~");
        let habit = HABITS
            .iter()
            .find(|(wrong, _)| rest.starts_with(wrong))
            .copied()
            .or_else(|| bang.then_some(("!", "not")));
        if let Some((wrong, right)) = habit {
            self.at += wrong.len();
            let span = Span::new(start, self.at);
            let glued = right.chars().all(char::is_alphabetic) && self.peek().is_some_and(|c| !c.is_whitespace());
            let edit = if glued { format!("{right} ") } else { right.to_owned() };
            let d = self.report(
                Code::Habit,
                start,
                self.at,
                format!("`{wrong}` is written `{right}` here"),
            );
            *d = d.clone().help(format!("write `{right}`")).edit(span, edit);
            if wrong == "//" {
                self.take_while(|c| c != '\n');
                return;
            }
            let kind = match OPERATORS.iter().find(|(t, _)| *t == right) {
                Some((_, p)) => Kind::Punct(*p),
                None => Kind::Name(right.into()),
            };
            self.push(kind, start);
            return;
        }
        if let Some((text, p)) = OPERATORS.iter().find(|(t, _)| rest.starts_with(t)) {
            self.at += text.len();
            self.push(Kind::Punct(*p), start);
            return;
        }
        self.at += c.len_utf8();
        let shown = if c.is_control() || c == '\u{feff}' {
            format!("U+{:04X}", u32::from(c))
        } else {
            format!("`{c}`")
        };
        let message = format!("{shown} cannot stand here");
        let at = self.at;
        let plain = match c {
            '≥' => Some(">="),
            '≤' => Some("<="),
            '≠' => Some("!="),
            '×' | '·' => Some("*"),
            '⇒' | '→' => Some("=>"),
            '“' | '”' | '\'' => Some("\""),
            _ => None,
        };
        if let Some((_, p)) = plain.and_then(|p| OPERATORS.iter().find(|(t, _)| *t == p)) {
            self.push(Kind::Punct(*p), start);
        }
        let d = self.report(Code::BadChar, start, at, message);
        *d = match plain {
            Some(p) => d.clone().help(format!("write `{p}`")).edit(Span::new(start, at), p),
            None if c == ';' => d
                .clone()
                .help("nothing separates rules or clauses: leave it out")
                .edit(Span::new(start, at), ""),
            None if c == '$' => d
                .clone()
                .help("names stand alone, without `$`")
                .edit(Span::new(start, at), ""),
            None => d
                .clone()
                .help("names that need other characters go in back-quotes, texts in double quotes"),
        };
    }
}

/// What an escape stands for.
pub(crate) fn unescape(c: char) -> Option<char> {
    match c {
        '"' => Some('"'),
        '\\' => Some('\\'),
        'n' => Some('\n'),
        't' => Some('\t'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let lexed = lex(SourceId(0), text);
        assert_eq!(lexed.diagnostics, vec![], "{text}");
        lexed
            .tokens
            .into_iter()
            .map(|t| t.kind)
            .filter(|k| *k != Kind::End)
            .collect()
    }

    fn quantity(text: &str) -> (Num, Dim) {
        match kinds(text).as_slice() {
            [Kind::Quantity(n, d)] => (*n, *d),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn quantities_are_exact() {
        for (text, n, dim) in [
            ("5ms", 5_000_000, Dim::TIME),
            ("1m30s", 90_000_000_000, Dim::TIME),
            ("1.5s", 1_500_000_000, Dim::TIME),
            ("7µs", 7_000, Dim::TIME),
            ("7us", 7_000, Dim::TIME),
            ("2min", 120_000_000_000, Dim::TIME),
            ("1h2m3s", 3_723_000_000_000, Dim::TIME),
            ("2GiB", 2 << 30, Dim::BYTES),
            ("10KB", 10_000, Dim::BYTES),
            ("10k", 10_000, Dim::NONE),
            ("1M", 1_000_000, Dim::NONE),
            ("5x", 5, Dim::NONE),
        ] {
            assert_eq!(quantity(text), (Num::int(n), dim), "{text}");
        }
        assert_eq!(quantity("80%"), (Num::ratio(4, 5).unwrap(), Dim::NONE));
        assert_eq!(quantity("200/s"), (Num::ratio(200, 1_000_000_000).unwrap(), Dim::RATE));
        assert_eq!(
            quantity("1GiB/s"),
            (Num::ratio(1 << 30, 1_000_000_000).unwrap(), Dim::THROUGHPUT)
        );
    }

    #[test]
    fn division_is_not_a_rate_and_a_range_is_not_a_fraction() {
        assert_eq!(kinds("1s/100ms").len(), 3);
        assert_eq!(kinds("5/p50").len(), 3);
        assert_eq!(kinds("1..5").len(), 3);
        assert_eq!(kinds("x.p99/p50").len(), 5);
    }

    #[test]
    fn percentiles_dates_and_patterns() {
        assert_eq!(kinds("p99"), [Kind::Stat(99, 100)]);
        assert_eq!(kinds("p99.9"), [Kind::Stat(999, 1000)]);
        assert_eq!(kinds("p50.0"), [Kind::Stat(50, 100)]);
        assert_eq!(kinds("pid"), [Kind::Name("pid".into())]);
        assert_eq!(kinds("`p50`"), [Kind::Quoted("p50".into())]);
        assert_eq!(kinds("1970-01-02"), [Kind::Date(1)]);
        assert_eq!(kinds(r"=~ /a\/b\d/i")[1], Kind::Regex(r"a/b\d".into(), true));
        assert_eq!(kinds(r#""a\"b\n""#), [Kind::Str("a\"b\n".into())]);
    }

    #[test]
    fn doc_comments_belong_to_the_next_token() {
        let lexed = lex(SourceId(0), "# plain\n## one\n## two\nwhen x");
        assert_eq!(lexed.docs.values().collect::<Vec<_>>(), ["one\ntwo"]);
        assert_eq!(lexed.tokens.len(), 3);
    }
}
