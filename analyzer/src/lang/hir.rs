//! Rules after names, types and defaults are settled: what the evaluator runs.
//!
//! Everything a rule leaves out has been filled in, `let`s and parameters are substituted, bare
//! statistics are bound to their metric, and every number is in base units (ns, bytes).

use crate::source::{SourceFile, SourceId, Span};
use crate::trace::catalogue::{Field, Key, Op, Source, State, SystemField, TraceFact};
use crate::unit::{Dim, Num, Style};

pub use super::ast::Side;
pub use crate::diagnosis::Severity;

/// All rules and tests of one run.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The texts that spans refer to.
    pub files: Vec<SourceFile>,
    /// Metrics of all rules; equal ones appear once, so evaluation shares them.
    pub metrics: Vec<Metric>,
    /// Conditions of segments; equal ones once.
    pub segments: Vec<SegmentDef>,
    /// In file order.
    pub rules: Vec<Rule>,
    /// In file order.
    pub tests: Vec<Test>,
}

/// Position in [`Program::metrics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetricId(pub u32);

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// `LAUNCH_TAIL_CONTENTION`.
    pub name: String,
    /// The `id` clause, else the name in lower case with dashes.
    pub id: String,
    /// One line, or empty.
    pub title: String,
    /// Documentation: the `about` clause, else the `##` comments above the rule.
    pub about: String,
    /// References.
    pub refs: Vec<String>,
    /// Free words.
    pub tags: Vec<String>,
    /// Who to ask.
    pub owner: String,
    /// What observation would refute the diagnosis; empty where the rule does not say.
    pub refuted_by: String,
    /// Rules whose overlapping incidents this one explains.
    pub explains: Vec<String>,
    /// Samples that a statistic needs; below it is unknown. 10 unless the rule says otherwise.
    pub min_count: u64,
    /// File of the rule.
    pub file: SourceId,
    /// The whole rule.
    pub span: Span,
    /// The text of the condition, white space folded.
    pub text: String,
    /// What diagnoses are grouped by, sorted, always with `node`.
    pub key: Vec<Key>,
    /// Whether the author wrote `per` (else the key is the default one).
    pub key_given: bool,
    /// The condition.
    pub cond: Cond,
    /// First arm that holds counts; without any, medium.
    pub severity: Vec<(Severity, Option<Cond>)>,
    /// Time lost, where the rule says how to compute it.
    pub impact: Option<Value>,
    /// First message whose condition holds; without any, one is made from the condition.
    pub messages: Vec<(Template, Option<Cond>)>,
    /// Ordered advice; those whose condition holds.
    pub fixes: Vec<(Template, Option<Cond>)>,
    /// Known exceptions.
    pub excepts: Vec<Except>,
    /// What was filled in because the rule does not say it, in words, for `explain`.
    pub defaults: Vec<String>,
    /// Bare statistics, and what each is read as: `p50` as `cuda.launch.p50`.
    pub inherited: Vec<(Span, String)>,
}

/// `except REASON when COND until DATE`: where the rule does not speak.
#[derive(Clone, Debug)]
pub struct Except {
    /// Why.
    pub why: String,
    /// Where.
    pub cond: Cond,
    /// The last day, in days since 1970-01-01: it counts for traces that end on that day (UTC) or before.
    pub until: Option<i64>,
}

impl Rule {
    /// Every condition of the rule, its own first.
    pub fn conditions(&self) -> impl Iterator<Item = &Cond> {
        let severity = self.severity.iter().filter_map(|(_, c)| c.as_ref());
        let texts = self.messages.iter().chain(&self.fixes).filter_map(|(_, c)| c.as_ref());
        std::iter::once(&self.cond)
            .chain(severity)
            .chain(texts)
            .chain(self.excepts.iter().map(|e| &e.cond))
    }
}

/// A condition. Truth has three values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cond {
    /// `left op right`, at least one side a statistic.
    Compare {
        /// The relation.
        op: CmpOp,
        /// Left side.
        left: Value,
        /// Right side.
        right: Value,
        /// Dimension of both.
        dim: Dim,
        /// The whole comparison.
        span: Span,
    },
    /// Some event of the selection exists: `io.read > 50ms`, `cuda.malloc[ret != 0]`. A bound on
    /// the duration is already a filter of the selection.
    Exists {
        /// Which events.
        sel: Selector,
        /// The whole predicate.
        span: Span,
    },
    /// `sched.off_cpu(pid) > 1s`, `gap(gpu) > 500ms`: alone, a single stint that long; in a
    /// `within` group, the stints of one thread near the other terms sum to that much.
    State {
        /// Which stints.
        sel: Selector,
        /// The relation (`>` or `>=`; others are [`Cond::Compare`]-like on single stints).
        op: CmpOp,
        /// The bound, a duration.
        bound: Value,
        /// The whole predicate.
        span: Span,
    },
    /// Negation.
    Not(Box<Cond>),
    /// All.
    And(Vec<Cond>),
    /// Any.
    Or(Vec<Cond>),
    /// `cond unless guard`: cond and not guard.
    Unless(Box<Cond>, Box<Cond>),
    /// All terms hold, with one witness of each pairwise no further apart than `within_ns`; with a
    /// side, one witness of the first and one of each other on that side of it, no further away.
    Within {
        /// Two or more terms.
        terms: Vec<Cond>,
        /// The distance, ns.
        within_ns: i64,
        /// Where to look.
        side: Side,
        /// The whole group.
        span: Span,
    },
    /// A chain: one witness of each term, each starting after the one before it starts and no later
    /// than its hop after that one ends.
    Then {
        /// Two or more terms.
        terms: Vec<Cond>,
        /// One fewer; `None` is any time later in the trace.
        hops: Vec<Option<i64>>,
        /// The whole chain.
        span: Span,
    },
    /// A witness of `cond` with none of `absent` that near, where that was observed.
    Without {
        /// What is there.
        cond: Box<Cond>,
        /// What is not.
        absent: Box<Cond>,
        /// The distance, ns.
        within_ns: i64,
        /// Where to look.
        side: Side,
        /// The whole.
        span: Span,
    },
    /// A witness of `inner` that lies inside the witnesses of `outer`.
    During {
        /// What lies inside.
        inner: Box<Cond>,
        /// Inside of what.
        outer: Box<Cond>,
        /// The whole.
        span: Span,
    },
    /// Witnesses of `cond`, merged where they touch, span at least that long.
    Lasting {
        /// What lasts.
        cond: Box<Cond>,
        /// How long, ns.
        at_least_ns: i64,
        /// The whole.
        span: Span,
    },
}

impl Cond {
    /// The conditions directly below, in order.
    pub fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Compare { .. } | Self::Exists { .. } | Self::State { .. } => Vec::new(),
            Self::Not(a) | Self::Lasting { cond: a, .. } => vec![a],
            Self::And(l) | Self::Or(l) | Self::Within { terms: l, .. } | Self::Then { terms: l, .. } => {
                l.iter().collect()
            }
            Self::Unless(a, b) | Self::Without { cond: a, absent: b, .. } | Self::During { inner: a, outer: b, .. } => {
                vec![a, b]
            }
        }
    }

    /// Likewise, to change them.
    pub fn parts_mut(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Compare { .. } | Self::Exists { .. } | Self::State { .. } => Vec::new(),
            Self::Not(a) | Self::Lasting { cond: a, .. } => vec![a],
            Self::And(l) | Self::Or(l) | Self::Within { terms: l, .. } | Self::Then { terms: l, .. } => {
                l.iter_mut().collect()
            }
            Self::Unless(a, b) | Self::Without { cond: a, absent: b, .. } | Self::During { inner: a, outer: b, .. } => {
                vec![a, b]
            }
        }
    }

    /// Says that it and its parts stand at a place: what a name stands for may come from elsewhere.
    pub fn set_span(&mut self, at: Span) {
        match self {
            Self::Compare { span, .. }
            | Self::Exists { span, .. }
            | Self::State { span, .. }
            | Self::Within { span, .. }
            | Self::Then { span, .. }
            | Self::Without { span, .. }
            | Self::During { span, .. }
            | Self::Lasting { span, .. } => *span = at,
            Self::Not(_) | Self::And(_) | Self::Or(_) | Self::Unless(..) => {}
        }
        for part in self.parts_mut() {
            part.set_span(at);
        }
    }

    /// Its place in the text, where it was written as one thing.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Compare { span, .. }
            | Self::Exists { span, .. }
            | Self::State { span, .. }
            | Self::Within { span, .. }
            | Self::Then { span, .. }
            | Self::Without { span, .. }
            | Self::During { span, .. }
            | Self::Lasting { span, .. } => Some(*span),
            Self::Not(_) | Self::And(_) | Self::Or(_) | Self::Unless(..) => None,
        }
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CmpOp {
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
}

impl CmpOp {
    /// The comparison with its sides swapped.
    pub fn turned(self) -> Self {
        match self {
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
            same @ (Self::Eq | Self::Ne) => same,
        }
    }

    /// As written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Eq => "=",
            Self::Ne => "!=",
        }
    }
}

/// A number-valued expression. Its dimension is known to the checker and kept where it matters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// A constant in base units.
    Num(Num),
    /// A statistic of the trace.
    Metric(MetricId),
    /// A field of the event at hand; only inside filters.
    Field(Field),
    /// Negation.
    Neg(Box<Value>),
    /// Arithmetic.
    Arith(Arith, Box<Value>, Box<Value>),
}

impl Value {
    /// The first statistic in it, left to right.
    pub fn first_metric(&self) -> Option<MetricId> {
        match self {
            Self::Metric(id) => Some(*id),
            Self::Num(_) | Self::Field(_) => None,
            Self::Neg(v) => v.first_metric(),
            Self::Arith(_, a, b) => a.first_metric().or_else(|| b.first_metric()),
        }
    }
}

/// An arithmetic operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arith {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient; dividing by zero is unknown.
    Div,
}

/// A statistic, ready to be computed per key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Metric {
    /// What is computed.
    pub kind: MetricKind,
    /// The keys it is computed for, sorted, with `node`; each is a key of the rule (a coarser
    /// metric is broadcast).
    pub key: Vec<Key>,
    /// Samples it needs.
    pub min_count: u64,
    /// Dimension of the result.
    pub dim: Dim,
    /// As the author wrote it, white space folded, bare statistics completed.
    pub text: String,
}

/// What a metric computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MetricKind {
    /// A statistic over selected events.
    Stat {
        /// Which events.
        sel: Selector,
        /// Which statistic.
        stat: Stat,
        /// Which part of the key's life.
        segment: Segment,
        /// Sliding windows of that length, ns: the comparison then asks for a window.
        over: Option<Window>,
    },
    /// `covered(A, B)`: the share of A's time that lies inside B.
    Covered {
        /// The symptom.
        a: Selector,
        /// The suspected cause.
        b: Selector,
        /// Whose B counts.
        scope: Scope,
        /// Which part of the key's life.
        segment: Segment,
    },
    /// `lift(A, B)`: `covered(A, B)` divided by the share of the owner's whole life that lies
    /// inside B. 1 is chance.
    Lift {
        /// The symptom.
        a: Selector,
        /// The suspected cause.
        b: Selector,
        /// Whose B counts.
        scope: Scope,
    },
    /// `share(x)`: selected events over the same selection without its filters.
    Share {
        /// With filters.
        sel: Selector,
        /// Which part of the key's life.
        segment: Segment,
    },
    /// `drop(m, A, B)` = 1 - m@B / m@A; `rise(m, A, B)` = m@B / m@A - 1; `change(m, A, B)` = the larger
    /// of both. Without A and B, the halves of the key's life.
    Trend {
        /// Which.
        trend: Trend,
        /// Which events.
        sel: Selector,
        /// Which statistic.
        stat: Stat,
        /// The baseline.
        from: Segment,
        /// What is compared with it.
        to: Segment,
    },
    /// A statistic over the one-second snapshots of the node.
    System {
        /// Which column.
        field: SystemField,
        /// Min, Max, Avg, First, Last or a percentile.
        stat: Stat,
        /// Which part of the node's life.
        segment: Segment,
    },
    /// A fact about the recording.
    Fact(TraceFact),
    /// A percentile of what another statistic comes to for the peers of a key: the keys that agree with
    /// it in all but some parts, itself left out.
    Peer {
        /// The statistic.
        of: MetricId,
        /// Numerator and denominator of the share; equal for the largest.
        rank: (u32, u32),
        /// The parts in which peers differ.
        across: Vec<Key>,
    },
}

/// A statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stat {
    /// Number of events.
    Count,
    /// Events in a time: count over the length of the segment.
    Rate,
    /// Sum of durations.
    Sum,
    /// Sum of bytes.
    Bytes,
    /// Bytes over summed duration.
    Throughput,
    /// Shortest.
    Min,
    /// Longest.
    Max,
    /// Mean duration.
    Avg,
    /// Nearest-rank percentile: `num / den` of the events are no longer.
    Pct(u32, u32),
    /// Standard deviation of the durations.
    Stddev,
    /// Share of the segment in which at least one is in progress.
    Busy,
    /// Number of different values of a field.
    Distinct(Field),
    /// First value in time.
    First,
    /// Last value in time.
    Last,
}

impl Stat {
    /// Whether it describes a distribution, so that a bare source is taken per operation.
    pub fn is_distribution(self) -> bool {
        matches!(
            self,
            Self::Min | Self::Max | Self::Avg | Self::Pct(..) | Self::Stddev | Self::Throughput
        )
    }
}

/// Which direction a [`MetricKind::Trend`] looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trend {
    /// Fall.
    Drop,
    /// Growth.
    Rise,
    /// Either.
    Change,
}

/// A part of the key's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// All of it.
    #[default]
    Trace,
    /// First half of the key's life.
    FirstHalf,
    /// Second half of the key's life.
    SecondHalf,
    /// Until the process is steady.
    Warmup,
    /// From then on.
    Steady,
    /// Until the first witness of a condition starts.
    Before(SegmentId),
    /// After the last one has ended.
    After(SegmentId),
    /// While one is in progress.
    During(SegmentId),
}

/// Position in [`Program::segments`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentId(pub u32);

/// The condition behind a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentDef {
    /// Something with places in time.
    pub cond: Cond,
    /// As written, after `@`.
    pub text: String,
}

impl Segment {
    /// All, with their names in rules.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Trace, "trace"),
        (Self::FirstHalf, "first_half"),
        (Self::SecondHalf, "second_half"),
        (Self::Warmup, "warmup"),
        (Self::Steady, "steady"),
    ];

    /// By name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, n)| *n == name).map(|(s, _)| s)
    }
}

/// Sliding windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Length, ns.
    pub len_ns: i64,
    /// Step, ns: a tenth of the length unless `every` says otherwise.
    pub every_ns: i64,
}

impl Window {
    /// Whether nobody chose where windows begin: then sums are taken wherever an event does.
    pub fn slides(self) -> bool {
        self.len_ns > 0 && self.every_ns * 10 == self.len_ns
    }
}

/// Whose intervals count as the cause in `covered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Of the same thread: the only proof of a host cause.
    #[default]
    Thread,
    /// Of any thread of the same process.
    Process,
    /// Of anything on the same node.
    Node,
}

/// Which events (or derived intervals) a metric speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// The source as written.
    pub source: Source,
    /// What is selected before the filters.
    pub base: Base,
    /// All must hold.
    pub filters: Vec<Filter>,
}

/// What a [`Selector`] starts from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// Stored or derived operations, sorted. For source `gpu`, nested driver calls are left out.
    Ops(Vec<Op>),
    /// Off-CPU time or one of its parts.
    State(State),
    /// Stretches between two calls of one process in which no selected call is in progress. Owned
    /// by the thread that makes the call which ends it.
    Gap(Box<Selector>),
    /// Those gaps that start at the return of a synchronisation that emptied the queue: no launch
    /// between that return and the end of the gap.
    DrainedGap(Box<Selector>),
    /// Runs of at least 3 whole seconds in which the process makes at most 40 % of the median
    /// number of such calls of its preceding busy seconds (at least 5, median at least 100). Owned
    /// by the launching thread.
    Slump(Box<Selector>),
    /// Whole seconds in which the process makes at least 20 launches or one graph launch, runs
    /// merged. Owned by the launching thread.
    BusySeconds,
}

impl Base {
    /// Whether more events can only add to it: an event that is not known of may end a gap.
    pub fn grows(&self) -> bool {
        !matches!(self, Self::Gap(_) | Self::DrainedGap(_) | Self::Slump(_))
    }
}

/// A condition on one event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// `field op value`: numbers and ids.
    Cmp(Value, CmpOp, Value),
    /// `field = word` (position in the field's words) or `!=`.
    Enum {
        /// The field.
        field: Field,
        /// Position of the word.
        word: u8,
        /// `!=`.
        negated: bool,
    },
    /// `field = "text"`, `field in set` on texts.
    Text {
        /// The field.
        field: Field,
        /// Any of these.
        any_of: Vec<String>,
        /// `!=` or `not in`.
        negated: bool,
    },
    /// `field =~ /…/`.
    Match {
        /// The field.
        field: Field,
        /// The pattern, checked and bounded.
        pattern: Pattern,
        /// `!~`.
        negated: bool,
    },
    /// `field in {1, 2}` on ids.
    OneOf {
        /// The field.
        field: Field,
        /// Any of these.
        any_of: Vec<i64>,
    },
    /// A flag that is set.
    Flag(Field),
    /// Negation.
    Not(Box<Filter>),
    /// All.
    All(Vec<Filter>),
    /// Any.
    Any(Vec<Filter>),
}

/// A regular expression, compared by its text.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, o: &Self) -> bool {
        self.0.as_str() == o.0.as_str()
    }
}
impl Eq for Pattern {}
impl std::hash::Hash for Pattern {
    fn hash<H: std::hash::Hasher>(&self, h: &mut H) {
        self.0.as_str().hash(h);
    }
}

/// A text with values in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    /// Pieces in order.
    pub parts: Vec<Part>,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// `{pid}`, `{process}`, `{op}`, `{tid}`, `{node}`, …: a part of the diagnosis' key. `process`
    /// and `tid` are also known where the key is `pid`.
    Key(Key),
    /// `{cuda.p99}`, `{cuda.p99/p50:x}`: a value.
    Value(Value, Dim, Style),
}

/// An in-file test.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it shows.
    pub name: String,
    /// The rule it is for.
    pub rule: String,
    /// File of the test.
    pub file: SourceId,
    /// The whole test.
    pub span: Span,
    /// Path of a stored trace, relative to the file of the test; it stands instead of events.
    pub trace: Option<String>,
    /// Length of the trace; 0 where it is given by the events.
    pub span_ns: i64,
    /// `param NAME = value` fixtures, to be set before the rules are resolved.
    pub params: Vec<(String, String)>,
    /// The events, in the order written.
    pub events: Vec<FixtureEvent>,
    /// What must come out; at least one.
    pub expects: Vec<Expect>,
}

/// An event of a test, possibly repeated.
#[derive(Clone, Debug)]
pub struct FixtureEvent {
    /// `cuda.cudaStreamSync`, `sched.off_cpu`, `request.open`, `system`, `process.exec`, …
    pub path: Vec<String>,
    /// Offset of the first start from the beginning of the trace, ns.
    pub at_ns: i64,
    /// Repeat every so many ns…
    pub every_ns: Option<i64>,
    /// …until this offset (start of the last one is before it).
    pub to_ns: i64,
    /// `pid=7`, `dur=100us`, `name="ptxas"`.
    pub fields: Vec<(String, Literal)>,
    /// For messages.
    pub span: Span,
}

/// A literal of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A number in base units.
    Num(Num, Dim),
    /// A quoted text.
    Text(String),
    /// A bare word.
    Word(String),
}

/// What a test expects of its rule.
#[derive(Clone, Debug)]
pub struct Expect {
    /// The outcome.
    pub outcome: Outcome,
    /// Conditions on some diagnosis: `pid = 7`, `op = "cudaStreamSync"`, `severity = high`.
    pub checks: Vec<(String, CmpOp, Literal)>,
    /// For messages.
    pub span: Span,
}

/// Outcomes that a test can expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Fires, that many times if given.
    Fires(Option<u32>),
    /// Everything was seen and the condition is false.
    Quiet,
    /// The trace cannot tell.
    Unknown,
    /// A source, operation or column that the rule needs is missing (not applicable).
    Skipped,
}
