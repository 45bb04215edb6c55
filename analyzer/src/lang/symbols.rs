//! Where the names of a file are defined and used: for going there, and for renaming.

use std::collections::BTreeMap;

use super::ast::{Change, Clause, ClauseKind, Expr, ExprKind, File, FixtureKind, Item, Member, Name, SetRef, Text};
use super::token::{Kind, Punct, lex_part};
use crate::source::{SourceFile, SourceId, Span};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SymbolKind {
    /// A rule.
    Rule,
    /// `let`.
    Let,
    /// `param`.
    Param,
    /// `set`.
    Set,
    /// `segment`
    Segment,
    /// `import … as NAME`
    Import,
}

/// A place where a name stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Where, without quotes.
    pub span: Span,
    /// What it stands for.
    pub symbol: usize,
    /// Whether it is the definition.
    pub defines: bool,
}

/// A name with what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The name.
    pub name: String,
    /// What it stands for.
    pub kind: SymbolKind,
    /// The whole definition; `None` where this file has none.
    pub item: Option<Span>,
    /// Whether it is a `let` of a rule, which only that rule sees.
    pub local: bool,
}

/// A name that this file does not define: a word of the language, or what an imported file defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Foreign {
    /// Where, without quotes.
    pub span: Span,
    /// The name before the dot, where it is that of an import.
    pub alias: Option<String>,
    /// The name.
    pub name: String,
}

/// An `import` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOf {
    /// The path, as written.
    pub path: Text,
    /// What its names go by.
    pub alias: Option<String>,
}

/// The names of a file.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// Each name once; names inside rules once for each rule.
    pub symbols: Vec<Symbol>,
    /// Where they stand, by place.
    pub places: Vec<Occurrence>,
    /// Names of others, by place.
    pub foreign: Vec<Foreign>,
    /// What it imports, in order.
    pub imports: Vec<ImportOf>,
}

impl Symbols {
    /// The names of a file.
    pub fn of(file: &File, source: &SourceFile) -> Self {
        let mut walk = Walk {
            source,
            out: Self::default(),
            rules: BTreeMap::new(),
            names: BTreeMap::new(),
            locals: BTreeMap::new(),
        };
        walk.file(file);
        let mut out = walk.out;
        out.places.sort_by_key(|p| (p.span, p.symbol));
        out.places.dedup();
        out.foreign.sort();
        out.foreign.dedup();
        out
    }

    /// What stands at a byte.
    pub fn at(&self, byte: u32) -> Option<&Occurrence> {
        self.places.iter().find(|p| p.span.start <= byte && byte <= p.span.end)
    }

    /// Where a symbol stands.
    pub fn places_of(&self, symbol: usize) -> impl Iterator<Item = &Occurrence> {
        self.places.iter().filter(move |p| p.symbol == symbol)
    }

    /// The name of others that stands at a byte.
    pub fn foreign_at(&self, byte: u32) -> Option<&Foreign> {
        self.foreign.iter().find(|p| p.span.start <= byte && byte <= p.span.end)
    }

    /// What other files may use under that name, apart from rules.
    pub fn offered(&self, name: &str) -> Option<usize> {
        let is = |s: &Symbol| {
            let kind = matches!(
                s.kind,
                SymbolKind::Let | SymbolKind::Param | SymbolKind::Set | SymbolKind::Segment
            );
            kind && !s.local && s.item.is_some() && s.name == name
        };
        self.symbols.iter().position(is)
    }

    /// The symbol of a rule, if the file defines or names it.
    pub fn rule(&self, name: &str) -> Option<usize> {
        let is = |s: &Symbol| s.kind == SymbolKind::Rule && s.name == name;
        self.symbols.iter().position(is)
    }
}

struct Walk<'a> {
    source: &'a SourceFile,
    out: Symbols,
    rules: BTreeMap<String, usize>,
    /// `let`s, parameters, sets, segments and imports of the file.
    names: BTreeMap<String, usize>,
    /// `let`s of the rule at hand.
    locals: BTreeMap<String, usize>,
}

impl Walk<'_> {
    fn file(&mut self, file: &File) {
        for item in &file.items {
            let (name, kind, span) = match item {
                Item::Let(l) => (&l.name, SymbolKind::Let, l.span),
                Item::Param(p) => (&p.name, SymbolKind::Param, p.span),
                Item::Set(s) => (&s.name, SymbolKind::Set, s.span),
                Item::Segment(s) => (&s.name, SymbolKind::Segment, s.span),
                Item::Rule(r) => (&r.name, SymbolKind::Rule, r.span),
                Item::Import(i) => {
                    self.out.imports.push(ImportOf {
                        path: i.path.clone(),
                        alias: i.name.as_ref().map(|n| n.text.clone()),
                    });
                    let Some(name) = &i.name else { continue };
                    (name, SymbolKind::Import, i.span)
                }
                Item::Test(_) | Item::Override(_) => continue,
            };
            let symbol = self.define(name, kind, span);
            let table = if kind == SymbolKind::Rule {
                &mut self.rules
            } else {
                &mut self.names
            };
            table.entry(name.text.clone()).or_insert(symbol);
        }
        for item in &file.items {
            match item {
                Item::Let(l) => self.expr(&l.expr),
                Item::Param(p) => {
                    self.expr(&p.value);
                    if let Some((low, high)) = &p.range {
                        self.expr(low);
                        self.expr(high);
                    }
                }
                Item::Set(_) | Item::Import(_) => {}
                Item::Segment(s) => self.expr(&s.expr),
                Item::Override(o) => match &o.change {
                    Change::Param(e) => {
                        self.name(&o.target.text, o.target.span);
                        self.expr(e);
                    }
                    Change::Disable => self.rule(&o.target.text, o.target.span),
                    Change::Clauses(list) => {
                        self.rule(&o.target.text, o.target.span);
                        for c in list {
                            self.clause(c);
                        }
                    }
                },
                Item::Rule(r) => {
                    for c in &r.clauses {
                        if let ClauseKind::Let(l) = &c.kind {
                            let symbol = self.define(&l.name, SymbolKind::Let, l.span);
                            self.out.symbols[symbol].local = true;
                            self.locals.insert(l.name.text.clone(), symbol);
                        }
                    }
                    self.expr(&r.cond);
                    for c in &r.clauses {
                        self.clause(c);
                    }
                    self.locals.clear();
                }
                Item::Test(t) => {
                    self.rule(&t.rule.text, t.rule.span);
                    for f in &t.fixtures {
                        if let FixtureKind::Param(name, value) = &f.kind {
                            self.name(&name.text, name.span);
                            self.expr(value);
                        }
                    }
                }
            }
        }
    }

    fn define(&mut self, name: &Name, kind: SymbolKind, item: Span) -> usize {
        let symbol = self.symbol(&name.text, kind, Some(item));
        self.place(symbol, name.span, true);
        symbol
    }

    fn symbol(&mut self, name: &str, kind: SymbolKind, item: Option<Span>) -> usize {
        self.out.symbols.push(Symbol {
            name: name.to_owned(),
            kind,
            item,
            local: false,
        });
        self.out.symbols.len() - 1
    }

    fn place(&mut self, symbol: usize, span: Span, defines: bool) {
        let span = self.unquoted(span);
        self.out.places.push(Occurrence { span, symbol, defines });
    }

    fn unquoted(&self, span: Span) -> Span {
        let text = self.source.text.get(span.range()).unwrap_or("");
        let quoted = u32::from(text.starts_with(['"', '`']) && text.len() > 2);
        Span {
            start: span.start + quoted,
            end: span.end - quoted,
        }
    }

    fn foreign(&mut self, alias: Option<&str>, name: &str, span: Span) {
        let span = self.unquoted(span);
        self.out.foreign.push(Foreign {
            span,
            alias: alias.map(str::to_owned),
            name: name.to_owned(),
        });
    }

    fn is_import(&self, name: &str) -> bool {
        let symbol = self.names.get(name).and_then(|s| self.out.symbols.get(*s));
        symbol.is_some_and(|s| s.kind == SymbolKind::Import)
    }

    fn rule(&mut self, name: &str, span: Span) {
        let symbol = match self.rules.get(name) {
            Some(symbol) => *symbol,
            None => {
                let symbol = self.symbol(name, SymbolKind::Rule, None);
                self.rules.insert(name.to_owned(), symbol);
                symbol
            }
        };
        self.place(symbol, span, false);
    }

    /// A name in an expression.
    fn name(&mut self, name: &str, span: Span) {
        match self.locals.get(name).or_else(|| self.names.get(name)).copied() {
            Some(symbol) => self.place(symbol, span, false),
            None => self.foreign(None, name, span),
        }
    }

    fn clause(&mut self, c: &Clause) {
        match &c.kind {
            ClauseKind::Let(l) => self.expr(&l.expr),
            ClauseKind::Severity(arms) => {
                for (_, cond) in arms {
                    if let Some(e) = cond {
                        self.expr(e);
                    }
                }
            }
            ClauseKind::Impact(e) | ClauseKind::Except(_, e, _) => self.expr(e),
            ClauseKind::Message(text, cond) | ClauseKind::Fix(text, cond) => {
                self.placeholders(text);
                if let Some(e) = cond {
                    self.expr(e);
                }
            }
            ClauseKind::Words(name, list) if name.text == "explains" => {
                for t in list {
                    self.rule(&t.value, t.span);
                }
            }
            ClauseKind::Words(..) | ClauseKind::MinCount(_) => {}
        }
    }

    fn expr(&mut self, e: &Expr) {
        match &*e.kind {
            ExprKind::Name(n, _) => {
                // Brackets around it belong to its span.
                let text = self.source.text.get(e.span.range()).unwrap_or("");
                let bare = text.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
                if bare.len() == text.len() {
                    self.name(n, e.span);
                } else {
                    self.tokens(e.span);
                }
            }
            ExprKind::In(_, a, set) => {
                self.expr(a);
                if let SetRef::Name(n) = set {
                    self.name(&n.text, n.span);
                }
            }
            kind => {
                if let ExprKind::At(_, n, None) = kind {
                    self.name(&n.text, n.span);
                }
                if let ExprKind::Dot(base, Member::Name(n)) = kind
                    && let ExprKind::Name(alias, _) = &*base.kind
                    && self.is_import(alias)
                {
                    self.foreign(Some(alias.as_str()), &n.text, n.span);
                }
                kind.parts().for_each(|p| self.expr(p));
            }
        }
    }

    /// Names in the placeholders of a text.
    fn placeholders(&mut self, text: &Text) {
        let raw = self.source.text.get(text.span.range()).unwrap_or("");
        let start = text.span.range().start;
        for (i, _) in raw.match_indices('{') {
            if let Some(len) = raw[i + 1..].find(['}', '{']) {
                self.tokens(Span::new(start + i + 1, start + i + 1 + len));
            }
        }
    }

    /// Names in a part of the text, none of them a member of something.
    fn tokens(&mut self, part: Span) {
        let tokens = lex_part(SourceId(0), &self.source.text, part).tokens;
        for (i, t) in tokens.iter().enumerate() {
            let (Kind::Name(n) | Kind::Quoted(n)) = &t.kind else {
                continue;
            };
            let before = |back: usize| i.checked_sub(back).map(|i| &tokens[i].kind);
            match (before(2), before(1)) {
                (Some(Kind::Name(alias) | Kind::Quoted(alias)), Some(Kind::Punct(Punct::Dot)))
                    if self.is_import(alias) =>
                {
                    self.foreign(Some(alias), n, t.span);
                }
                (_, Some(Kind::Punct(Punct::Dot | Punct::Colon))) => {}
                _ => self.name(n, t.span),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::parse;
    use super::super::token::lex;
    use super::*;

    /// Each symbol with the texts of its places; the definition in brackets.
    fn shown(text: &str) -> Vec<String> {
        let source = SourceFile::new("t", text);
        let (file, _) = parse(SourceId(0), &source, &lex(SourceId(0), text));
        let symbols = Symbols::of(&file, &source);
        let of = |i: usize| -> Vec<String> {
            symbols
                .places_of(i)
                .map(|p| {
                    let (at, text) = (p.span.start, &text[p.span.range()]);
                    if p.defines {
                        format!("[{at} {text}]")
                    } else {
                        format!("{at} {text}")
                    }
                })
                .collect()
        };
        (0..symbols.symbols.len()).map(|i| of(i).join(" ")).collect()
    }

    #[test]
    fn names_of_imported_files_are_told_from_words() {
        let text = "import \"a.rules\" as a\n\
                    import \"b.rules\"\n\
                    override param q = 5%\n\
                    override R disable\n\
                    when a.tail.p99@busy > q and (a.x) => S { message \"{a.tail.p50} {q}\" }";
        let source = SourceFile::new("t", text);
        let (file, problems) = parse(SourceId(0), &source, &lex(SourceId(0), text));
        assert!(problems.is_empty(), "{problems:?}");
        let symbols = Symbols::of(&file, &source);
        let foreign: Vec<String> = symbols
            .foreign
            .iter()
            .map(|f| format!("{}:{}", f.alias.as_deref().unwrap_or(""), f.name))
            .collect();
        assert_eq!(foreign, [":q", "a:tail", ":busy", ":q", "a:x", "a:tail", ":q"]);
        let imports: Vec<_> = symbols
            .imports
            .iter()
            .map(|i| (&*i.path.value, i.alias.as_deref()))
            .collect();
        assert_eq!(imports, [("a.rules", Some("a")), ("b.rules", None)]);
        assert_eq!(shown(text), ["[20 a] 85 a 110 a 132 a", "[118 S]", "70 R"]);
    }

    #[test]
    fn uses_are_found_in_conditions_clauses_texts_and_tests() {
        let text = "param q: Ratio = 5%\n\
                    let a = cuda.p99\n\
                    when (a) > 5ms and cuda[op in s].a > q => R { let a = 1 severity high if a > 0 message \"{a:x} {cuda.a}\" explains [S] }\n\
                    set s = {a}\n\
                    test \"t\" for R { param q = 6% }";
        assert_eq!(
            shown(text),
            [
                "[6 q] 74 q 191 q",
                "[24 a]",
                "[79 R] 181 R",
                "67 s [160 s]",
                // The `let` of the rule hides that of the file, also in its condition.
                "43 a [87 a] 110 a 126 a",
                "151 S",
            ]
        );
    }
}
