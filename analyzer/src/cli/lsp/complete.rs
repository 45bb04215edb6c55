//! What could be written at a place: read off the tokens before it, since a text that is being written
//! rarely has a tree.

use lsp_types::{CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, Range, TextEdit, Uri};

use super::document::{Analysis, Text};
use super::links;
use crate::lang::symbols::{SymbolKind, Symbols};
use crate::lang::token::{Kind, Punct, Token, lex};
use crate::lang::words::{self, Word, WordKind};
use crate::source::{SourceId, Span};
use crate::trace::catalogue::{Field, Source};

/// Everything that fits at a byte of a text.
pub(super) fn at(doc: &Analysis, uri: &Uri, byte: u32) -> Vec<CompletionItem> {
    let before = Before::new(&doc.text, byte);
    let place = before.place();
    let mut words = place.words();
    let whose = |alias: Option<&str>, kinds: &[SymbolKind]| imported(doc, alias, kinds);
    let names = |kinds: &[SymbolKind]| -> Vec<Word> {
        let mut all = of_kind(&doc.symbols, &doc.text, kinds);
        all.extend(whose(None, kinds));
        unique(all)
    };
    match &place {
        Place::Rules => words.extend(names(&[SymbolKind::Rule])),
        Place::Overridden => {
            // What a file may change of others.
            let files = doc.imports.iter();
            let rules = files.flat_map(|i| of_kind(&i.symbols, &i.text, &[SymbolKind::Rule]));
            words.extend(unique(rules.collect()));
            words.extend(words::described("param"));
        }
        Place::OverriddenParam => {
            let files = doc.imports.iter();
            let params = files.flat_map(|i| of_kind(&i.symbols, &i.text, &[SymbolKind::Param]));
            words.extend(unique(params.collect()));
        }
        Place::Expression | Place::Filter(_) => {
            words.splice(0..0, names(&[SymbolKind::Let, SymbolKind::Param, SymbolKind::Import]));
        }
        Place::Member(None, false) => {
            let own = whose(Some(before.subject()), &[SymbolKind::Let, SymbolKind::Param]);
            if !own.is_empty() {
                words = own;
            }
        }
        Place::Segment => words.extend(names(&[SymbolKind::Segment])),
        Place::Sets => words.extend(names(&[SymbolKind::Set])),
        Place::Imports => words.extend(links::importable(uri).into_iter().map(|name| Word {
            name,
            kind: WordKind::Value,
            unit: "",
            polarity: None,
            about: String::new(),
        })),
        _ => {}
    }
    let range = doc.text.range(before.prefix);
    words.into_iter().enumerate().map(|(i, w)| item(w, i, range)).collect()
}

/// Names that a file defines, by name.
fn of_kind(symbols: &Symbols, text: &Text, kinds: &[SymbolKind]) -> Vec<Word> {
    let all = symbols.symbols.iter().filter(|s| kinds.contains(&s.kind));
    all.map(|s| Word {
        name: s.name.clone(),
        kind: match s.kind {
            SymbolKind::Rule => WordKind::Key,
            SymbolKind::Import => WordKind::Source,
            _ => WordKind::Value,
        },
        unit: "",
        polarity: None,
        about: s.item.map_or(String::new(), |i| first_line(text.slice(i))),
    })
    .collect()
}

/// Names that the files imported under a name offer.
fn imported(doc: &Analysis, alias: Option<&str>, kinds: &[SymbolKind]) -> Vec<Word> {
    let files = doc.imports.iter().filter(|i| i.alias.as_deref() == alias);
    let offered = files.flat_map(|i| {
        let named = of_kind(&i.symbols, &i.text, kinds).into_iter();
        named.filter(|w| i.symbols.offered(&w.name).is_some() || i.symbols.rule(&w.name).is_some())
    });
    unique(offered.collect())
}

fn unique(mut list: Vec<Word>) -> Vec<Word> {
    list.sort_by(|a, b| a.name.cmp(&b.name));
    list.dedup_by(|a, b| a.name == b.name);
    list
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("").to_owned()
}

fn item(word: Word, order: usize, range: Range) -> CompletionItem {
    let kind = match word.kind {
        WordKind::Source => CompletionItemKind::MODULE,
        WordKind::Operation => CompletionItemKind::METHOD,
        WordKind::Statistic => CompletionItemKind::PROPERTY,
        WordKind::Field => CompletionItemKind::FIELD,
        WordKind::Function => CompletionItemKind::FUNCTION,
        WordKind::Segment | WordKind::Value => CompletionItemKind::VALUE,
        WordKind::Key => CompletionItemKind::ENUM_MEMBER,
        WordKind::Keyword => CompletionItemKind::KEYWORD,
    };
    let detail = word.detail();
    CompletionItem {
        kind: Some(kind),
        detail: (!detail.is_empty()).then_some(detail),
        documentation: (!word.about.is_empty()).then_some(Documentation::String(word.about)),
        // The order of the catalogue says more than the alphabet.
        sort_text: Some(format!("{order:04}")),
        text_edit: Some(CompletionTextEdit::Edit(TextEdit::new(range, word.name.clone()))),
        label: word.name,
        ..CompletionItem::default()
    }
}

/// What kind of thing fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind `source.`; `true` where an operation stands there already.
    Member(Option<Source>, bool),
    Segment,
    Filter(Source),
    Values(Field),
    Keys,
    Types,
    Levels,
    Rules,
    /// Behind `override`.
    Overridden,
    /// Behind `override param`.
    OverriddenParam,
    /// In the text behind `import`.
    Imports,
    Sets,
    Outcomes,
    Item,
    Clause,
    Fixture,
    Events,
    EventFields(Source),
    Expression,
    Nothing,
}

impl Place {
    fn words(self) -> Vec<Word> {
        let [items, clauses, fixtures] = words::starts();
        match self {
            Self::Member(Some(s @ (Source::System | Source::Trace)), false) => words::operations(s),
            Self::Member(Some(s), false) => [words::operations(s), words::statistics()].concat(),
            Self::Member(..) => words::statistics(),
            Self::Segment => words::segments(),
            Self::Filter(s) => [words::fields(s), words::statistics()].concat(),
            Self::Values(f) => words::values(f),
            Self::Keys => words::keys(),
            Self::Types => words::types(),
            Self::Levels => words::levels(),
            Self::Outcomes => words::outcomes(),
            Self::Item => items,
            Self::Clause => clauses,
            Self::Fixture => fixtures,
            Self::Events => words::sources(),
            Self::EventFields(s) => words::fields(s),
            Self::Expression => [
                words::sources(),
                words::functions(),
                words::statistics(),
                words::connectives(),
            ]
            .concat(),
            Self::Rules | Self::Overridden | Self::OverriddenParam | Self::Imports | Self::Sets | Self::Nothing => {
                Vec::new()
            }
        }
    }
}

/// The tokens before a place.
struct Before {
    tokens: Vec<Token>,
    /// What is written of the word at the place.
    prefix: Span,
    /// Whether a line begins there.
    fresh: bool,
    /// Whether it is in a comment or a text, where anything may be written.
    free: bool,
    /// Whether it is in the path of an import.
    path: bool,
}

impl Before {
    fn new(text: &Text, byte: u32) -> Self {
        let before = text.slice(Span { start: 0, end: byte });
        let line = before.rsplit('\n').next().unwrap_or("");
        let commented = comment_at(line);
        let mut tokens = lex(SourceId(0), before).tokens;
        tokens.pop();
        let mut prefix = Span { start: byte, end: byte };
        let unquoted = line.matches('"').count().is_multiple_of(2);
        if let (Some(start), false, false) = (path_at(line), commented, unquoted) {
            let written = u32::try_from(line.len() - start).unwrap_or(0);
            return Self {
                tokens: Vec::new(),
                prefix: Span {
                    start: byte.saturating_sub(written),
                    end: byte,
                },
                fresh: false,
                free: false,
                path: true,
            };
        }
        if commented || !unquoted && !in_placeholder(line) {
            return Self {
                path: false,
                tokens: Vec::new(),
                prefix,
                fresh: false,
                free: true,
            };
        }
        if !unquoted {
            // Inside a placeholder: the expression that began there.
            let start = byte - u32::try_from(line.len() - line.rfind('{').map_or(0, |i| i + 1)).unwrap_or(0);
            let part = text.slice(Span { start, end: byte });
            tokens = lex(SourceId(0), part).tokens;
            tokens.pop();
            for t in &mut tokens {
                t.span = Span {
                    start: t.span.start + start,
                    end: t.span.end + start,
                };
                t.first_on_line = false;
            }
        }
        let mut fresh = line.trim().is_empty();
        if let Some(last) = tokens.last()
            && last.span.end == byte
            && matches!(last.kind, Kind::Name(_) | Kind::Stat(..))
        {
            prefix = last.span;
            fresh = last.first_on_line;
            tokens.pop();
        }
        Self {
            tokens,
            prefix,
            fresh,
            free: false,
            path: false,
        }
    }

    /// The name before the dot.
    fn subject(&self) -> &str {
        self.name(2)
    }

    fn kind(&self, back: usize) -> Option<&Kind> {
        self.tokens
            .len()
            .checked_sub(back)
            .and_then(|i| self.tokens.get(i))
            .map(|t| &t.kind)
    }

    fn name(&self, back: usize) -> &str {
        match self.kind(back) {
            Some(Kind::Name(n)) => n,
            _ => "",
        }
    }

    fn punct(&self, back: usize) -> Option<Punct> {
        match self.kind(back) {
            Some(Kind::Punct(p)) => Some(*p),
            _ => None,
        }
    }

    /// The innermost bracket that is open, as a position from the end.
    fn open(&self) -> Option<usize> {
        let mut depth = 0;
        for (i, t) in self.tokens.iter().enumerate().rev() {
            match t.kind {
                Kind::Punct(Punct::RParen | Punct::RBracket | Punct::RBrace) => depth += 1,
                Kind::Punct(Punct::LParen | Punct::LBracket | Punct::LBrace) if depth == 0 => {
                    return Some(self.tokens.len() - i);
                }
                Kind::Punct(Punct::LParen | Punct::LBracket | Punct::LBrace) => depth -= 1,
                _ => {}
            }
        }
        None
    }

    /// The source at the beginning of the path that ends `back` tokens from the end, and how many
    /// members of it are named.
    fn path(&self, back: usize) -> (Option<Source>, usize) {
        let mut i = self.tokens.len() + 1 - back;
        let mut members = 0;
        while i > 0 {
            match &self.tokens[i - 1].kind {
                Kind::Punct(close @ (Punct::RBracket | Punct::RParen)) => {
                    let open = if *close == Punct::RBracket {
                        Punct::LBracket
                    } else {
                        Punct::LParen
                    };
                    let mut depth = 0;
                    while i > 0 {
                        i -= 1;
                        match &self.tokens[i].kind {
                            Kind::Punct(p) if p == close => depth += 1,
                            Kind::Punct(p) if *p == open => depth -= 1,
                            _ => {}
                        }
                        if depth == 0 {
                            break;
                        }
                    }
                }
                Kind::Name(n) => {
                    let dotted = i > 1 && self.tokens[i - 2].kind == Kind::Punct(Punct::Dot);
                    if !dotted {
                        return (Source::by_name(n), members);
                    }
                    members += 1;
                    i -= 2;
                }
                _ => return (None, members),
            }
        }
        (None, members)
    }

    fn place(&self) -> Place {
        if self.free {
            return Place::Nothing;
        }
        if self.path {
            return Place::Imports;
        }
        match self.punct(1) {
            Some(Punct::Dot) => {
                let (source, members) = self.path(2);
                return Place::Member(source, members > 0);
            }
            Some(Punct::At) => return Place::Segment,
            Some(Punct::Colon) => return Place::Types,
            Some(Punct::Arrow) => return Place::Nothing,
            _ => {}
        }
        match self.name(1) {
            "per" | "across" => return Place::Keys,
            "param" if self.name(2) == "override" => return Place::OverriddenParam,
            "override" => return Place::Overridden,
            "severity" | "else" => return Place::Levels,
            "explains" => return Place::Rules,
            "in" => return Place::Sets,
            "expect" => return Place::Outcomes,
            "for" if matches!(self.kind(2), Some(Kind::Str(_))) => return Place::Rules,
            "let" | "param" | "set" | "segment" | "as" => return Place::Nothing,
            _ => {}
        }
        let Some(open) = self.open() else {
            return if self.fresh { Place::Item } else { Place::Expression };
        };
        match (self.punct(open), self.name(open + 1)) {
            (Some(Punct::LParen), "per" | "across") => Place::Keys,
            (Some(Punct::LBracket), "explains") => Place::Rules,
            (Some(Punct::LBracket), _) => {
                let compared = matches!(self.punct(1), Some(Punct::Eq | Punct::Ne));
                match (
                    compared.then(|| Field::by_name(self.name(2))).flatten(),
                    self.path(open + 1).0,
                ) {
                    (Some(field), _) if !words::values(field).is_empty() => Place::Values(field),
                    (_, Some(source)) => Place::Filter(source),
                    _ => Place::Expression,
                }
            }
            (Some(Punct::LBrace), _) if self.punct(open + 2) == Some(Punct::Arrow) => {
                let levels = self.punct(1) == Some(Punct::Comma);
                match (self.fresh, levels) {
                    (true, false) => Place::Clause,
                    (_, true) => Place::Levels,
                    _ => Place::Expression,
                }
            }
            (Some(Punct::LBrace), _) if self.name(open + 2) == "for" => self.in_test(),
            _ => Place::Expression,
        }
    }

    fn in_test(&self) -> Place {
        if self.fresh {
            return Place::Fixture;
        }
        let line = self.tokens.iter().rposition(|t| t.first_on_line).unwrap_or(0);
        let mut source = None;
        for pair in self.tokens[line..].windows(2) {
            if let (Kind::Name(n), Kind::Punct(Punct::Dot)) = (&pair[0].kind, &pair[1].kind) {
                source = Source::by_name(n);
            }
        }
        match (source, self.punct(1)) {
            (Some(source), None) => Place::EventFields(source),
            (None, None) => Place::Events,
            _ => Place::Nothing,
        }
    }
}

/// Where the path begins in a line that imports a file.
fn path_at(line: &str) -> Option<usize> {
    let (head, path) = line.rsplit_once('"')?;
    (head.trim() == "import").then(|| line.len() - path.len())
}

/// Whether a comment has begun on the line.
fn comment_at(line: &str) -> bool {
    line.find('#')
        .is_some_and(|i| line[..i].matches('"').count().is_multiple_of(2))
}

/// Whether the end of a line stands in a placeholder of a text.
fn in_placeholder(line: &str) -> bool {
    let text = line.rsplit('"').next().unwrap_or("");
    text.rfind('{') > text.rfind('}') || text.contains('{') && !text.contains('}')
}
