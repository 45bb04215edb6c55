//! Rules as they are written: the tree that the parser builds, with the place of everything.

use crate::source::Span;
use crate::unit::{Dim, Num};

/// A name and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A file: what could be read of it, in order.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// The items.
    pub items: Vec<Item>,
    /// Names whose definitions could not be read: using one is not another error.
    pub broken: Vec<String>,
}

/// What stands at the top level of a file.
#[derive(Clone, Debug)]
pub enum Item {
    /// `let NAME = expr`
    Let(Let),
    /// `param NAME: TYPE = expr range a..b`
    Param(Param),
    /// `set NAME = {…}`
    Set(Set),
    /// `segment NAME = expr`
    Segment(Segment),
    /// `import "…" as NAME`
    Import(Import),
    /// `override …`
    Override(Override),
    /// `when … => NAME {…}`
    Rule(Box<Rule>),
    /// `test "…" for NAME {…}`
    Test(Test),
}

impl Item {
    /// The whole item.
    pub fn span(&self) -> Span {
        match self {
            Self::Let(l) => l.span,
            Self::Param(p) => p.span,
            Self::Set(s) => s.span,
            Self::Segment(s) => s.span,
            Self::Import(i) => i.span,
            Self::Override(o) => o.span,
            Self::Rule(r) => r.span,
            Self::Test(t) => t.span,
        }
    }
}

/// `let NAME = expr`
#[derive(Clone, Debug)]
pub struct Let {
    /// The name.
    pub name: Name,
    /// What it stands for.
    pub expr: Expr,
    /// The whole item.
    pub span: Span,
}

/// `param NAME: TYPE = expr range a..b`
#[derive(Clone, Debug)]
pub struct Param {
    /// The name.
    pub name: Name,
    /// The type.
    pub ty: Name,
    /// The value unless the command line gives one.
    pub value: Expr,
    /// Smallest and largest value allowed.
    pub range: Option<(Expr, Expr)>,
    /// The whole item.
    pub span: Span,
}

/// `set NAME = {…}`
#[derive(Clone, Debug)]
pub struct Set {
    /// The name.
    pub name: Name,
    /// The members.
    pub members: Vec<Expr>,
    /// The whole item.
    pub span: Span,
}

/// `import "…" as NAME`
#[derive(Clone, Debug)]
pub struct Import {
    /// Relative to the file, or `std/…`.
    pub path: Text,
    /// What its names go by: `NAME.name`.
    pub name: Option<Name>,
    /// The whole item.
    pub span: Span,
}

/// `override param NAME = expr`, `override NAME disable`, `override NAME { clauses }`
#[derive(Clone, Debug)]
pub struct Override {
    /// The rule or parameter of another file.
    pub target: Name,
    /// What becomes of it.
    pub change: Change,
    /// The whole item.
    pub span: Span,
}

/// What an [`Override`] says.
#[derive(Clone, Debug)]
pub enum Change {
    /// Another default for a parameter.
    Param(Expr),
    /// The rule is left out.
    Disable,
    /// Clauses that replace those of the rule.
    Clauses(Vec<Clause>),
}

/// `segment NAME = expr`
#[derive(Clone, Debug)]
pub struct Segment {
    /// The name.
    pub name: Name,
    /// The condition whose witnesses it covers.
    pub expr: Expr,
    /// The whole item.
    pub span: Span,
}

/// `when expr per keys => NAME { clauses }`
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name.
    pub name: Name,
    /// The condition.
    pub cond: Expr,
    /// `per` keys; empty where none were written.
    pub per: Vec<Name>,
    /// `across` keys, in which peers differ.
    pub across: Vec<Name>,
    /// The clauses, in order.
    pub clauses: Vec<Clause>,
    /// `##` comments above the rule.
    pub doc: String,
    /// The whole rule.
    pub span: Span,
}

/// A clause of a rule.
#[derive(Clone, Debug)]
pub struct Clause {
    /// What it says.
    pub kind: ClauseKind,
    /// The whole clause.
    pub span: Span,
}

/// What a clause says.
#[derive(Clone, Debug)]
pub enum ClauseKind {
    /// `let NAME = expr`
    Let(Let),
    /// `severity LEVEL if expr, else LEVEL`
    Severity(Vec<(Name, Option<Expr>)>),
    /// `impact expr`
    Impact(Expr),
    /// `message STRING if expr`
    Message(Text, Option<Expr>),
    /// `fix STRING if expr`
    Fix(Text, Option<Expr>),
    /// `except STRING when expr until DATE`
    Except(Text, Expr, Option<i64>),
    /// `id title about refs tags owner explains refuted_by`, by name, with its words.
    Words(Name, Vec<Text>),
    /// `min_count INT`
    MinCount(Num),
}

/// A quoted text or a bare word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Escapes resolved.
    pub value: String,
    /// With its quotes.
    pub span: Span,
}

/// `test STRING for NAME { fixtures expects }`
#[derive(Clone, Debug)]
pub struct Test {
    /// What it shows.
    pub title: Text,
    /// The rule it is for.
    pub rule: Name,
    /// What is in the trace.
    pub fixtures: Vec<Fixture>,
    /// What must come out.
    pub expects: Vec<Expect>,
    /// The whole test.
    pub span: Span,
}

/// A line of a test's trace.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// What it says.
    pub kind: FixtureKind,
    /// The whole fixture.
    pub span: Span,
}

/// What a fixture says.
#[derive(Clone, Debug)]
pub enum FixtureKind {
    /// `trace STRING`: a stored trace instead of events.
    Trace(Text),
    /// `span DUR`
    Span(Expr),
    /// `param NAME = expr`
    Param(Name, Expr),
    /// `at DUR event`
    At(Expr, Event),
    /// `every DUR from DUR to DUR event`
    Every(Expr, Option<(Expr, Expr)>, Event),
}

/// An event of a fixture.
#[derive(Clone, Debug)]
pub struct Event {
    /// `cuda.cudaStreamSync`
    pub path: Vec<Name>,
    /// `pid=7`
    pub fields: Vec<(Name, Expr)>,
}

/// `expect fires 1 { pid = 7 }`
#[derive(Clone, Debug)]
pub struct Expect {
    /// `fires`, `quiet`, `unknown`, `skipped`.
    pub outcome: Name,
    /// How many times.
    pub count: Option<Num>,
    /// What holds of some diagnosis.
    pub checks: Vec<(Name, CompareOp, Expr)>,
    /// The whole expectation.
    pub span: Span,
}

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: Box<ExprKind>,
    /// Where.
    pub span: Span,
    /// Levels below it; bounded, so that walks over the tree are.
    pub height: u16,
}

/// Kinds of expressions.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A name; quoted ones are never statistics.
    Name(String, bool),
    /// `p99` on its own.
    Stat(u32, u32),
    /// A number without a unit.
    Number(Num),
    /// A number with a unit.
    Quantity(Num, Dim),
    /// A quoted text.
    Str(String),
    /// A pattern; `true` ignores case.
    Regex(String, bool),
    /// `-x`
    Neg(Expr),
    /// `not x`
    Not(Expr),
    /// `a + b` and the like.
    Arith(ArithOp, Expr, Expr),
    /// `a and b and c`
    And(Vec<Expr>),
    /// `a or b or c`
    Or(Vec<Expr>),
    /// `a unless b`
    Unless(Expr, Expr),
    /// `a then b within D then c`: the elements, and how far each may be from the one before it.
    Then(Vec<Expr>, Vec<Option<Expr>>),
    /// `a within D`, `a within D before`, `a within D after`
    Within(Expr, Expr, Side),
    /// `a lasting D`
    Lasting(Expr, Expr),
    /// `a without b`
    Without(Expr, Expr),
    /// `a during b`
    During(Expr, Expr),
    /// `a > b` and the like; the span is the operator's.
    Compare(CompareOp, Span, Expr, Expr),
    /// `a in set`; `true` is `not in`.
    In(bool, Expr, SetRef),
    /// `a.b`
    Dot(Expr, Member),
    /// `a[b, c]`
    Filter(Expr, Vec<Expr>),
    /// `a(b, c)`
    Call(Expr, Vec<Expr>),
    /// `a@segment`, `a@before(b)`
    At(Expr, Name, Option<Expr>),
    /// `a over D every E`
    Over(Expr, Expr, Option<Expr>),
}

/// On which side of a witness `within` looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Side {
    /// Both.
    #[default]
    Around,
    /// What starts before it.
    Before,
    /// What starts after it.
    After,
}

impl Side {
    /// As written; nothing for both sides.
    pub fn text(self) -> &'static str {
        match self {
            Self::Around => "",
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

/// What stands after a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// An operation, statistic or field.
    Name(Name),
    /// A percentile.
    Stat(u32, u32, Span),
}

/// What stands after `in`.
#[derive(Clone, Debug)]
pub enum SetRef {
    /// A named set.
    Name(Name),
    /// A set written out.
    Literal(Vec<Expr>),
}

/// Arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArithOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
}

impl ArithOp {
    /// As written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
        }
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareOp {
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `=~`
    Match,
    /// `!~`
    NotMatch,
}

impl CompareOp {
    /// As written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Match => "=~",
            Self::NotMatch => "!~",
        }
    }
}

impl Expr {
    /// An expression at a place.
    pub fn new(kind: ExprKind, span: Span) -> Self {
        let height = 1 + kind.parts().map(|e| e.height).max().unwrap_or(0);
        Self {
            kind: Box::new(kind),
            span,
            height,
        }
    }
}

impl ExprKind {
    /// The expressions directly below, in order.
    pub fn parts(&self) -> Box<dyn Iterator<Item = &Expr> + '_> {
        match self {
            Self::Name(..) | Self::Stat(..) | Self::Number(_) | Self::Quantity(..) | Self::Str(_) | Self::Regex(..) => {
                Box::new(std::iter::empty())
            }
            Self::At(a, _, of) => Box::new(std::iter::once(a).chain(of)),
            Self::Neg(a) | Self::Not(a) | Self::Dot(a, _) | Self::In(_, a, SetRef::Name(_)) => {
                Box::new(std::iter::once(a))
            }
            Self::Arith(_, a, b)
            | Self::Unless(a, b)
            | Self::Within(a, b, _)
            | Self::Lasting(a, b)
            | Self::Without(a, b)
            | Self::During(a, b)
            | Self::Compare(_, _, a, b) => Box::new([a, b].into_iter()),
            Self::Then(list, hops) => Box::new(list.iter().chain(hops.iter().flatten())),
            Self::And(list) | Self::Or(list) => Box::new(list.iter()),
            Self::In(_, a, SetRef::Literal(list)) | Self::Filter(a, list) | Self::Call(a, list) => {
                Box::new(std::iter::once(a).chain(list))
            }
            Self::Over(a, d, every) => Box::new([a, d].into_iter().chain(every)),
        }
    }
}
