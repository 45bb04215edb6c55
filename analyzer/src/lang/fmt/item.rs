//! Files, definitions, clauses and fixtures.

use pretty::{Arena, DocAllocator as _, DocBuilder};
use unicode_width::UnicodeWidthStr as _;

use super::super::ast::{Change, Clause, ClauseKind, Expect, Expr, File, Fixture, FixtureKind, Item, Override};
use super::super::parser::CLAUSE_WORDS;
use super::super::token::{Kind, Punct, Token, unit};
use super::WIDTH;
use super::gap::{Gap, gap};
use super::spelling::{self, Spelling};
use super::text::{joined, wrapped};
use crate::source::Span;

pub(super) type Doc<'a> = DocBuilder<'a, Arena<'a>>;

/// Columns by which the body of a rule or test is indented.
const INDENT: isize = 2;

/// What stands between two tokens that have no comment between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sep {
    None,
    Space,
    /// A space, or a line end where the group around it is broken.
    Line,
    /// A space, or a line end where what follows does not fit.
    Fill,
    /// A line end.
    Hard,
    /// A line end, and a blank line where the author left one.
    Lines,
}

/// How tokens outside of expressions stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Plain,
    /// `pid=7 tid=7`: fields of an event.
    Event,
    /// `high if …, low`: levels of a severity, each on a line of its own where one line is too short.
    Levels,
}

/// The tokens of a file with what stands between them.
pub(super) struct Layout<'a> {
    pub(super) arena: &'a Arena<'a>,
    text: &'a str,
    tokens: &'a [Token],
    /// What stands before each token.
    gaps: Vec<Gap<'a>>,
    /// How many comments stand before each token, in all.
    comments_before: Vec<usize>,
    spelling: Spelling,
}

/// Something in braces: a clause, a fixture, an expectation.
struct Line<'t> {
    span: Span,
    kind: LineKind<'t>,
}

enum LineKind<'t> {
    Clause(&'t Clause),
    Fixture(&'t Fixture),
    Expect,
}

impl<'a> Layout<'a> {
    pub(super) fn new(arena: &'a Arena<'a>, text: &'a str, tokens: &'a [Token], file: &File) -> Self {
        let mut gaps = Vec::with_capacity(tokens.len());
        let mut comments_before = Vec::with_capacity(tokens.len());
        let (mut at, mut comments) = (0, 0);
        for (i, t) in tokens.iter().enumerate() {
            let found = gap(&text[at..t.span.range().start], i == 0);
            comments += found.comments.len();
            comments_before.push(comments);
            gaps.push(found);
            at = t.span.range().end;
        }
        Self {
            arena,
            text,
            tokens,
            gaps,
            comments_before,
            spelling: spelling::of(file),
        }
    }

    /// The whole file.
    pub(super) fn file(&self, file: &File) -> String {
        let mut out = String::new();
        let mut spread = false;
        let mut at = 0;
        let end = self.tokens.len() - 1;
        for item in &file.items {
            let (lo, hi) = self.range(item.span());
            if at < lo {
                self.chunk(&mut out, at, &self.flow(at, lo, &[], Flow::Plain), &mut spread);
            }
            self.chunk(&mut out, lo, &self.item(item, lo, hi), &mut spread);
            at = hi;
        }
        if at < end {
            self.chunk(&mut out, at, &self.flow(at, end, &[], Flow::Plain), &mut spread);
        }
        self.comments(&mut out, end, false);
        if !out.is_empty() {
            out.push('\n');
        }
        out
    }

    /// One item on lines of its own; those that need several stand between blank lines.
    fn chunk(&self, out: &mut String, first: usize, doc: &Doc<'a>, spread: &mut bool) {
        let mut shown = String::new();
        doc.render_fmt(WIDTH, &mut shown).expect("a string takes any text");
        let several = shown.contains('\n');
        let gap = &self.gaps[first];
        let own = gap.comments.iter().filter(|c| !c.trailing);
        let spaced = gap.spaced || own.clone().any(|c| c.spaced);
        let apart = (several || *spread) && !spaced;
        self.comments(out, first, apart);
        let bare = own.count() == 0;
        if !out.is_empty() {
            out.push_str(if gap.spaced || (apart && bare) { "\n\n" } else { "\n" });
        }
        out.push_str(&shown);
        *spread = several;
    }

    /// The comments before a token outside of all items; `apart` with a blank line before them.
    fn comments(&self, out: &mut String, token: usize, mut apart: bool) {
        for c in &self.gaps[token].comments {
            if c.trailing {
                out.push_str("  ");
            } else {
                if !out.is_empty() {
                    out.push_str(if c.spaced || apart { "\n\n" } else { "\n" });
                }
                apart = false;
            }
            out.push_str(c.text);
        }
    }

    fn item(&self, item: &Item, lo: usize, hi: usize) -> Doc<'a> {
        let (name, lines): (Span, Vec<Line<'_>>) = match item {
            Item::Rule(r) => (r.name.span, r.clauses.iter().map(clause).collect()),
            Item::Test(t) => {
                let expects = t.expects.iter().map(expect);
                let mut lines: Vec<Line<'_>> = t.fixtures.iter().map(fixture).chain(expects).collect();
                lines.sort_by_key(|l| l.span.start);
                (t.rule.span, lines)
            }
            Item::Override(Override {
                target,
                change: Change::Clauses(clauses),
                ..
            }) => (target.span, clauses.iter().map(clause).collect()),
            Item::Let(_) | Item::Param(_) | Item::Set(_) | Item::Segment(_) | Item::Import(_) | Item::Override(_) => {
                let exprs = expressions(item);
                return self.grouped(lo, hi, self.flow(lo, hi, &exprs, Flow::Plain).nest(INDENT));
            }
        };
        let open = self.range(name).1;
        let head = match item {
            Item::Rule(r) => self.flow(lo, open, &[&r.cond], Flow::Plain),
            _ => self.flow(lo, open, &[], Flow::Plain),
        };
        let head = self.grouped(lo, open, head.nest(INDENT));
        if open == hi {
            return head;
        }
        let single = matches!(item, Item::Rule(_)) && lines.len() == 1;
        head.append(self.before(open, Sep::Space))
            .append(self.block(open, hi, &lines, single))
    }

    /// What stands in braces, a line each. `single`: one that may stand on the line of its braces.
    fn block(&self, open: usize, hi: usize, lines: &[Line<'_>], single: bool) -> Doc<'a> {
        let close = hi - 1;
        let mut inner = self.arena.nil();
        let mut simple = single && self.comments_before[close] == self.comments_before[open];
        for (n, line) in lines.iter().enumerate() {
            let (lo, end) = self.range(line.span);
            let (doc, wraps) = self.line(line, lo, end);
            simple &= !wraps;
            let sep = match (n, simple) {
                (0, true) => Sep::Line,
                (0, false) => Sep::Hard,
                _ => Sep::Lines,
            };
            inner = inner.append(self.before(lo, sep)).append(doc);
        }
        let last = self.remarks(close, true);
        let end = match (lines.is_empty() && self.gaps[close].comments.is_empty(), simple) {
            (true, _) => self.arena.nil(),
            (_, true) => self.arena.line(),
            (_, false) => self.arena.hardline(),
        };
        let body = inner.append(last).nest(INDENT).append(end).append(self.word(close));
        self.word(open).append(if simple { body.group() } else { body })
    }

    /// A clause, fixture or expectation, and whether a text in it takes several lines.
    fn line(&self, line: &Line<'_>, lo: usize, hi: usize) -> (Doc<'a>, bool) {
        let flow = match &line.kind {
            LineKind::Clause(c) if matches!(c.kind, ClauseKind::Severity(_)) => Flow::Levels,
            LineKind::Fixture(f) if matches!(f.kind, FixtureKind::At(..) | FixtureKind::Every(..)) => Flow::Event,
            _ => Flow::Plain,
        };
        let exprs = match &line.kind {
            LineKind::Clause(c) => of_clause(c),
            LineKind::Fixture(f) => of_fixture(f),
            LineKind::Expect => Vec::new(),
        };
        let is_clause = matches!(line.kind, LineKind::Clause(_));
        let word = self.source(lo);
        let text = (is_clause && matches!(self.kind(lo + 1), Kind::Str(_))).then(|| joined(self.source(lo + 1)));
        let column = usize::try_from(INDENT).unwrap_or(0) + word.width() + 1;
        let texts = text.map(|t| wrapped(&t, column, WIDTH)).unwrap_or_default();
        if texts.len() < 2 {
            // Lists and levels begin below the first one.
            let below = match &line.kind {
                LineKind::Clause(_) if flow == Flow::Levels => word.width() + 1,
                LineKind::Clause(_) if self.is(lo + 1, Punct::LBracket) => word.width() + 2,
                _ => 2,
            };
            let doc = self.flow(lo, hi, &exprs, flow);
            let doc = doc.nest(isize::try_from(below).unwrap_or(INDENT));
            return (self.grouped(lo, hi, doc), false);
        }
        let below = isize::try_from(word.width() + 2).unwrap_or(INDENT);
        let mut doc = self.arena.nil();
        for (n, part) in texts.into_iter().enumerate() {
            if n > 0 {
                doc = doc.append(self.arena.hardline());
            }
            doc = doc.append(self.arena.text(part));
        }
        let mut doc = self
            .word(lo)
            .append(self.before(lo + 1, Sep::Space))
            .append(doc.nest(below));
        if lo + 2 < hi {
            let rest = self.flow(lo + 2, hi, &exprs, flow);
            let rest = self.before(lo + 2, Sep::Hard).append(self.grouped(lo + 2, hi, rest));
            doc = doc.append(rest.nest(2));
        }
        (doc, true)
    }

    /// The tokens `lo..hi` with the expressions among them, in their order.
    fn flow(&self, lo: usize, hi: usize, exprs: &[&Expr], flow: Flow) -> Doc<'a> {
        let mut exprs = exprs.iter().peekable();
        let mut doc = self.arena.nil();
        let mut i = lo;
        while i < hi {
            let at = self.tokens[i].span.start;
            while exprs.next_if(|e| e.span.start < at).is_some() {}
            if i > lo {
                doc = doc.append(self.before(i, self.plain(i, flow)));
            }
            if let Some(e) = exprs.next_if(|e| e.span.start == at) {
                // What a `when` or `let` says stands no deeper than its other parts.
                let whole = i > lo && (self.is_word(i - 1, "when") || self.is(i - 1, Punct::Eq));
                doc = doc.append(if whole { self.root(e) } else { self.operand(e) });
                i = self.range(e.span).1;
            } else {
                doc = doc.append(self.word(i));
                i += 1;
            }
        }
        doc
    }

    /// What stands before the token `i` outside of expressions.
    fn plain(&self, i: usize, flow: Flow) -> Sep {
        use Punct as P;
        let expected = matches!(self.kind(i.saturating_sub(2)), Kind::Number(_) | Kind::Name(_));
        match (self.kind(i - 1), self.kind(i)) {
            // `expect fires 1 { pid = 7 }` has its braces apart, a set `{1, 2}` has not.
            (Kind::Punct(P::LBrace), _) if expected => Sep::Line,
            (_, Kind::Punct(P::RBrace)) => self.brace(i),
            (Kind::Punct(P::LParen | P::LBracket | P::LBrace | P::Dot | P::DotDot | P::At | P::Minus), _)
            | (_, Kind::Punct(P::Comma | P::Colon | P::Dot | P::DotDot | P::RParen | P::RBracket | P::At)) => Sep::None,
            (Kind::Punct(P::Eq), _) | (_, Kind::Punct(P::Eq)) if flow == Flow::Event => Sep::None,
            (_, Kind::Punct(P::Arrow)) => Sep::Line,
            // A clause word that begins a line would begin a clause.
            (Kind::Punct(P::Comma), Kind::Name(n)) if CLAUSE_WORDS.contains(&&**n) => Sep::Space,
            (Kind::Punct(P::Comma), _) if flow == Flow::Levels => Sep::Line,
            (Kind::Punct(P::Comma), _) => Sep::Fill,
            (_, Kind::Name(n)) if matches!(&**n, "per" | "across" | "until" | "range") => Sep::Line,
            (Kind::Str(_), Kind::Name(n)) if matches!(&**n, "if" | "when") => Sep::Line,
            (_, Kind::Name(_) | Kind::Quoted(_)) if flow == Flow::Event && self.is(i + 1, P::Eq) => Sep::Fill,
            _ => Sep::Space,
        }
    }

    /// What stands before the closing brace `i`: the same as behind the opening one.
    fn brace(&self, i: usize) -> Sep {
        let open = (0..i).rev().find(|j| self.is(*j, Punct::LBrace)).unwrap_or(i);
        self.plain(open + 1, Flow::Plain)
    }
}

/// Looking at tokens, and writing them.
impl<'a> Layout<'a> {
    /// The tokens of a span, as positions.
    pub(super) fn range(&self, span: Span) -> (usize, usize) {
        let lo = self.tokens.partition_point(|t| t.span.start < span.start);
        let hi = self.tokens.partition_point(|t| t.span.start < span.end);
        (lo, hi)
    }

    pub(super) fn kind(&self, i: usize) -> &'a Kind {
        self.tokens.get(i).map_or(&Kind::End, |t| &t.kind)
    }

    pub(super) fn is(&self, i: usize, p: Punct) -> bool {
        *self.kind(i) == Kind::Punct(p)
    }

    pub(super) fn is_any(&self, i: usize, list: &[Punct]) -> bool {
        list.iter().any(|p| self.is(i, *p))
    }

    pub(super) fn is_word(&self, i: usize, w: &str) -> bool {
        matches!(self.kind(i), Kind::Name(n) if &**n == w)
    }

    fn source(&self, i: usize) -> &'a str {
        &self.text[self.tokens[i].span.range()]
    }

    /// A token as it is written.
    pub(super) fn word(&self, i: usize) -> Doc<'a> {
        let text = match self.kind(i) {
            Kind::Punct(p) => p.text().into(),
            Kind::Str(_) => joined(self.source(i)),
            Kind::Name(_) => match self.spelling.get(&self.tokens[i].span.start) {
                Some(name) => (*name).into(),
                None => self.source(i).into(),
            },
            _ => self.source(i).into(),
        };
        self.arena.text(text)
    }

    /// What stands before a token: its comments, or else `sep`.
    pub(super) fn before(&self, i: usize, sep: Sep) -> Doc<'a> {
        let gap = &self.gaps[i];
        if gap.comments.is_empty() {
            return match sep {
                // Together on a line, they would be a number apart from its unit.
                Sep::Space | Sep::Line | Sep::Fill if self.would_measure(i) => self.arena.hardline(),
                Sep::None => self.arena.nil(),
                Sep::Space => self.arena.space(),
                Sep::Line => self.arena.line(),
                Sep::Fill => self.arena.softline(),
                Sep::Hard => self.arena.hardline(),
                Sep::Lines => self.ends(gap.spaced),
            };
        }
        self.remarks(i, sep == Sep::Lines)
            .append(self.ends(gap.spaced && sep == Sep::Lines))
    }

    fn would_measure(&self, i: usize) -> bool {
        let is_unit = matches!(self.kind(i), Kind::Name(n) if unit(n).is_some());
        is_unit && matches!(self.kind(i - 1), Kind::Number(_))
    }

    /// The comments before a token, without the line end behind the last one.
    fn remarks(&self, i: usize, blank_lines: bool) -> Doc<'a> {
        let mut doc = self.arena.nil();
        for c in &self.gaps[i].comments {
            doc = if c.trailing {
                doc.append("  ")
            } else {
                doc.append(self.ends(c.spaced && blank_lines))
            };
            doc = doc.append(self.arena.text(c.text));
        }
        doc
    }

    /// A line end, with a blank line behind it.
    fn ends(&self, blank: bool) -> Doc<'a> {
        if blank {
            // As a text, it leaves no indent behind.
            return self.arena.text("\n").append(self.arena.hardline());
        }
        self.arena.hardline()
    }

    /// Broken as a whole where it does not fit on a line, or where a comment breaks it.
    pub(super) fn grouped(&self, lo: usize, hi: usize, doc: Doc<'a>) -> Doc<'a> {
        let commented = lo + 1 < hi && self.comments_before[hi - 1] > self.comments_before[lo];
        if commented { doc } else { doc.group() }
    }
}

fn clause(c: &Clause) -> Line<'_> {
    Line {
        span: c.span,
        kind: LineKind::Clause(c),
    }
}

fn fixture(f: &Fixture) -> Line<'_> {
    Line {
        span: f.span,
        kind: LineKind::Fixture(f),
    }
}

fn expect(e: &Expect) -> Line<'_> {
    Line {
        span: e.span,
        kind: LineKind::Expect,
    }
}

fn of_clause(c: &Clause) -> Vec<&Expr> {
    match &c.kind {
        ClauseKind::Let(l) => vec![&l.expr],
        ClauseKind::Severity(arms) => arms.iter().filter_map(|(_, e)| e.as_ref()).collect(),
        ClauseKind::Impact(e) | ClauseKind::Except(_, e, _) => vec![e],
        ClauseKind::Message(_, e) | ClauseKind::Fix(_, e) => e.iter().collect(),
        ClauseKind::Words(..) | ClauseKind::MinCount(_) => Vec::new(),
    }
}

fn of_fixture(f: &Fixture) -> Vec<&Expr> {
    match &f.kind {
        FixtureKind::Param(_, e) => vec![e],
        // Times and literals are single tokens.
        FixtureKind::Trace(_) | FixtureKind::Span(_) | FixtureKind::At(..) | FixtureKind::Every(..) => Vec::new(),
    }
}

/// The expressions of an item that are not inside others, in their order.
pub(super) fn expressions(item: &Item) -> Vec<&Expr> {
    match item {
        Item::Let(l) => vec![&l.expr],
        Item::Segment(s) => vec![&s.expr],
        Item::Override(o) => match &o.change {
            Change::Param(e) => vec![e],
            Change::Disable => Vec::new(),
            Change::Clauses(list) => list.iter().flat_map(of_clause).collect(),
        },
        Item::Param(p) => {
            let range = p.range.iter().flat_map(|(low, high)| [low, high]);
            std::iter::once(&p.value).chain(range).collect()
        }
        Item::Set(_) | Item::Import(_) => Vec::new(),
        Item::Rule(r) => std::iter::once(&r.cond)
            .chain(r.clauses.iter().flat_map(of_clause))
            .collect(),
        Item::Test(t) => t.fixtures.iter().flat_map(of_fixture).collect(),
    }
}
