//! The words that rules are written with, for people: what each one is, its unit, and which way is
//! better. Completion and hover are made of this.

use super::hir::{Segment, SegmentId};
use super::parser::{CLAUSE_WORDS, ITEM_WORDS, TEST_WORDS};
use super::resolve;
use crate::diagnosis::Severity;
use crate::trace::catalogue::{FIELDS, Field, FieldType, Key, OPS, Source, State, SystemField, TraceFact};
use crate::unit::Dim;

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WordKind {
    /// Where events come from.
    Source,
    /// An operation, a family of them, or a measure.
    Operation,
    /// A number made of events.
    Statistic,
    /// An attribute of an event, a column of the snapshots, a fact about the recording.
    Field,
    /// A function.
    Function,
    /// A part of the trace.
    Segment,
    /// What diagnoses are grouped by.
    Key,
    /// A word of the language.
    Keyword,
    /// One of a fixed set of values.
    Value,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
    /// Neither, by itself.
    Neither,
}

/// A word with what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// As written.
    pub name: String,
    /// What it is.
    pub kind: WordKind,
    /// `duration`, `bytes`; empty where it has no value.
    pub unit: &'static str,
    /// Which way is better, for what has a value.
    pub polarity: Option<Polarity>,
    /// What it is, in one sentence; may be empty.
    pub about: String,
}

impl Word {
    fn new(name: impl Into<String>, kind: WordKind, about: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind,
            unit: "",
            polarity: None,
            about: about.into(),
        }
    }

    fn measured(self, dim: Dim, polarity: Polarity) -> Self {
        Self {
            unit: unit_name(dim),
            polarity: Some(polarity),
            ..self
        }
    }

    /// `duration, lower is better`.
    pub fn detail(&self) -> String {
        let better = match self.polarity {
            Some(Polarity::Lower) => ", lower is better",
            Some(Polarity::Higher) => ", higher is better",
            Some(Polarity::Neither) | None => "",
        };
        format!("{}{better}", self.unit)
    }
}

/// What values of a dimension are called.
pub fn unit_name(dim: Dim) -> &'static str {
    match dim {
        Dim::TIME => "duration",
        Dim::BYTES => "bytes",
        Dim::RATE => "per second",
        Dim::THROUGHPUT => "bytes per second",
        _ => "number or share",
    }
}

/// What a value is measured in, and which way is better.
type Measured = (Dim, Polarity);

/// Statistics of events: name, dimension, polarity, meaning.
const STATISTICS: &[(&str, Dim, Polarity, &str)] = {
    use Polarity::{Higher, Lower, Neither};
    &[
        ("count", Dim::NONE, Neither, "how many there are"),
        ("rate", Dim::RATE, Neither, "how many per second"),
        ("sum", Dim::TIME, Lower, "their durations together"),
        ("bytes", Dim::BYTES, Neither, "their bytes together"),
        (
            "throughput",
            Dim::THROUGHPUT,
            Higher,
            "their bytes over their durations",
        ),
        ("min", Dim::TIME, Lower, "the shortest duration"),
        ("max", Dim::TIME, Lower, "the longest duration"),
        ("avg", Dim::TIME, Lower, "the mean duration"),
        ("stddev", Dim::TIME, Lower, "the standard deviation of the durations"),
        (
            "busy",
            Dim::NONE,
            Neither,
            "the share of the time in which one is in progress",
        ),
        ("first", Dim::TIME, Neither, "the duration of the first one"),
        ("last", Dim::TIME, Neither, "the duration of the last one"),
        (
            "p50",
            Dim::TIME,
            Lower,
            "the median duration: of one that happened, not between two",
        ),
        (
            "p95",
            Dim::TIME,
            Lower,
            "the duration that 95 % do not exceed, by nearest rank",
        ),
        (
            "p99",
            Dim::TIME,
            Lower,
            "the duration that 99 % do not exceed, by nearest rank",
        ),
        (
            "distinct",
            Dim::NONE,
            Neither,
            "how many different values a field has: `distinct(tid)`",
        ),
    ]
};

/// Functions: name, dimension of the value (if it is one), polarity, meaning.
const FUNCTIONS: &[(&str, Option<Measured>, &str)] = {
    use Polarity::{Lower, Neither};
    &[
        (
            "covered",
            Some((Dim::NONE, Neither)),
            "covered(A, B): the share of A's time that lies inside B on the same thread; what names a cause",
        ),
        (
            "lift",
            Some((Dim::NONE, Neither)),
            "lift(A, B): how many times more of A lies inside B than chance would put there",
        ),
        (
            "share",
            Some((Dim::NONE, Neither)),
            "share(x[filter]): how many of x pass the filter",
        ),
        (
            "drop",
            Some((Dim::NONE, Lower)),
            "drop(m): by which share m is lower in the second half than in the first",
        ),
        (
            "rise",
            Some((Dim::NONE, Neither)),
            "rise(m): by which share m is higher in the second half than in the first",
        ),
        (
            "change",
            Some((Dim::NONE, Neither)),
            "change(m): m in the second half over m in the first",
        ),
        ("gap", None, "gap(x): stretches in which no x is in progress"),
        (
            "drained_gap",
            None,
            "drained_gap(x): gaps that start when a synchronisation has emptied the queue",
        ),
        (
            "slump",
            None,
            "slump(x): stretches in which x is far rarer than it usually is",
        ),
        ("pooled", None, "pooled(x): all operations of x as one distribution"),
        (
            "peer_median",
            None,
            "peer_median(m): the median of m over the peers that `across` names",
        ),
        (
            "peer_max",
            None,
            "peer_max(m): the largest m of the peers that `across` names",
        ),
    ]
};

/// All sources.
pub fn sources() -> Vec<Word> {
    let about = |s: Source| {
        let ops = resolve::op_names(s);
        let few: Vec<&str> = ops.iter().copied().take(6).collect();
        match s {
            Source::Gpu => "the view across cuda, driver and graph: a nested driver call is counted once".to_owned(),
            Source::System => "one-second snapshots of the host".to_owned(),
            Source::Trace => "facts about the recording itself".to_owned(),
            _ => few.join(", "),
        }
    };
    let all = Source::ALL.into_iter();
    all.map(|s| Word::new(s.name(), WordKind::Source, about(s))).collect()
}

/// What may follow the dot behind a source: families and measures first.
pub fn operations(source: Source) -> Vec<Word> {
    match source {
        Source::System => SystemField::ALL
            .into_iter()
            .map(|(f, name, dim, about)| {
                let polarity = match f {
                    SystemField::MemAvail => Polarity::Higher,
                    _ => Polarity::Lower,
                };
                Word::new(name, WordKind::Field, about).measured(dim, polarity)
            })
            .collect(),
        Source::Trace => TraceFact::ALL
            .into_iter()
            .map(|(f, name, dim, about)| {
                let polarity = match f {
                    TraceFact::Length | TraceFact::GpuProcesses => Polarity::Neither,
                    TraceFact::Steady => Polarity::Higher,
                    _ => Polarity::Lower,
                };
                Word::new(name, WordKind::Field, about).measured(dim, polarity)
            })
            .collect(),
        _ => resolve::op_names(source)
            .into_iter()
            .map(|name| Word::new(name, WordKind::Operation, operation_about(source, name)))
            .collect(),
    }
}

fn operation_about(source: Source, name: &str) -> String {
    let of_source = || OPS.iter().filter(|d| source.holds(d.source));
    if let Some(def) = of_source().find(|d| d.name == name) {
        return match (def.about, def.families) {
            ("", []) => format!("an operation of {}", def.source.name()),
            ("", families) => format!("{}.{}", def.source.name(), families.join(", ")),
            (about, _) => about.to_owned(),
        };
    }
    let members: Vec<&str> = of_source()
        .filter(|d| d.families.contains(&name))
        .map(|d| d.name)
        .collect();
    match (State::by_name(name), members.as_slice()) {
        (Some(State::OffCpu), _) => "stints of a thread off its CPU".to_owned(),
        (Some(State::RunQueue), _) => "runnable, waiting for a CPU".to_owned(),
        (Some(State::Sleep), _) => "asleep until something wakes the thread".to_owned(),
        (Some(State::IoWait), _) => "waiting for a device".to_owned(),
        (None, []) => "seconds in which the GPU was given work".to_owned(),
        (None, members) => members.join(", "),
    }
}

/// Statistics of events.
pub fn statistics() -> Vec<Word> {
    let all = STATISTICS.iter();
    all.map(|(name, dim, polarity, about)| Word::new(*name, WordKind::Statistic, *about).measured(*dim, *polarity))
        .collect()
}

/// Fields that events of a source have.
pub fn fields(source: Source) -> Vec<Word> {
    let on_source = FIELDS.iter().filter(|d| d.field.on(source));
    on_source
        .map(|d| {
            let word = Word::new(d.name, WordKind::Field, d.about);
            match d.ty {
                FieldType::Num(dim) if d.field == Field::Duration => word.measured(dim, Polarity::Lower),
                FieldType::Num(dim) => word.measured(dim, Polarity::Neither),
                _ => word,
            }
        })
        .collect()
}

/// Words that a field can have.
pub fn values(field: Field) -> Vec<Word> {
    let words = match field.def().ty {
        FieldType::Enum(words) => words,
        _ if field == Field::Ret => &["success"],
        _ => &[],
    };
    let about = format!("a value of `{}`", field.def().name);
    words
        .iter()
        .map(|w| Word::new(*w, WordKind::Value, about.clone()))
        .collect()
}

/// All functions.
pub fn functions() -> Vec<Word> {
    let all = FUNCTIONS.iter();
    all.map(|(name, value, about)| {
        let word = Word::new(*name, WordKind::Function, *about);
        match value {
            Some((dim, polarity)) => word.measured(*dim, *polarity),
            None => word,
        }
    })
    .collect()
}

/// Parts of the trace, for behind an `@`.
pub fn segments() -> Vec<Word> {
    let about = |s| match s {
        Segment::Trace => "everything that was recorded",
        Segment::FirstHalf => "the first half of the key's life",
        Segment::SecondHalf => "the second half of the key's life",
        Segment::Warmup => "from the first CUDA call of the process to its steady state",
        Segment::Steady => "after the warm-up of the process",
        Segment::Before(_) => "before(x): until x begins for the first time",
        Segment::After(_) => "after(x): from the end of the last x",
        Segment::During(_) => "during(x): while some x is in progress",
    };
    let any = SegmentId(0);
    let of_something = [
        (Segment::Before(any), "before"),
        (Segment::After(any), "after"),
        (Segment::During(any), "during"),
    ];
    let all = Segment::ALL.into_iter().chain(of_something);
    all.map(|(s, name)| Word::new(name, WordKind::Segment, about(s)))
        .collect()
}

/// What diagnoses can be grouped by.
pub fn keys() -> Vec<Word> {
    let all = Key::ALL.into_iter();
    all.map(|(_, name)| Word::new(name, WordKind::Key, "one diagnosis for each"))
        .collect()
}

/// Levels of severity.
pub fn levels() -> Vec<Word> {
    let all = Severity::ALL.into_iter().rev();
    all.map(|(_, name)| Word::new(name, WordKind::Value, "a severity"))
        .collect()
}

/// Types of parameters.
pub fn types() -> Vec<Word> {
    let all = ["Duration", "Bytes", "Count", "Ratio", "Rate", "Throughput"];
    all.map(|name| Word::new(name, WordKind::Value, "a type")).into()
}

/// Words that start a definition, a clause of a rule, or a line of a test.
pub fn starts() -> [Vec<Word>; 3] {
    [ITEM_WORDS, CLAUSE_WORDS, TEST_WORDS].map(|list| {
        list.iter()
            .map(|w| Word::new(*w, WordKind::Keyword, keyword(w)))
            .collect()
    })
}

/// Words inside conditions.
pub fn connectives() -> Vec<Word> {
    let all = [
        "and", "or", "not", "unless", "within", "then", "without", "during", "lasting", "over", "in", "per", "across",
    ];
    all.map(|w| Word::new(w, WordKind::Keyword, keyword(w))).into()
}

/// What the expectations of a test are.
pub fn outcomes() -> Vec<Word> {
    let all = ["fires", "quiet", "unknown", "skipped"];
    all.map(|w| Word::new(w, WordKind::Keyword, keyword(w))).into()
}

/// A word of the language with what it does.
pub fn described(word: &str) -> Option<Word> {
    let about = keyword(word);
    (!about.is_empty()).then(|| Word::new(word, WordKind::Keyword, about))
}

/// What a word of the language does, in one sentence; empty for one that is none.
pub fn keyword(word: &str) -> &'static str {
    match word {
        "when" => "begins a rule: when CONDITION => NAME",
        "let" => "gives an expression a name",
        "param" => "a value that --set can change: param NAME: TYPE = VALUE range LOW..HIGH",
        "set" => "a named set of values, for `in`",
        "test" => "a small trace and what the rule must say about it",
        "segment" => "a named part of the trace: segment NAME = CONDITION, used as @NAME",
        "import" => "brings in another file: import \"file.rules\" as NAME, or import \"std/…\"",
        "as" => "what the names of an imported file go by: NAME.name",
        "override" => "changes a rule or a parameter of an imported file",
        "disable" => "leaves the imported rule out",
        "range" => "the smallest and the largest value that the parameter may have",
        "for" => "the rule that the test is about",
        "edition" => "which edition of the language the file is written in",
        "severity" => "how harmful it is: the first level whose condition holds",
        "impact" => "how much time was lost",
        "message" => "what is said about a diagnosis; {…} shows a value",
        "fix" => "what to do about it",
        "except" => "a known exception, with its reason: except REASON when CONDITION until DATE",
        "until" => "the last day of the exception: it counts for traces that end by then",
        "if" => "only where this holds",
        "else" => "what counts where nothing before it does",
        "id" => "a stable name for machines",
        "title" => "one line about the problem",
        "about" => "what the rule finds, why it matters, how it decides",
        "refs" => "where to read more",
        "tags" => "free words",
        "owner" => "whom to ask",
        "explains" => "rules whose overlapping diagnoses are effects of this one",
        "refuted_by" => "which observation would overturn the diagnosis",
        "min_count" => "how many samples a statistic needs; below it is unknown",
        "and" => "both hold, for the same key",
        "or" => "one of them holds",
        "not" => "does not hold",
        "unless" => "holds, and the guard behind it does not",
        "within" => "one witness of each, no further apart than this",
        "then" => "the witness behind it starts after the one before it does",
        "without" => "no witness of the second near one of the first: A without B within 5s",
        "during" => "inside a witness of the second",
        "lasting" => "merged witnesses span at least this long",
        "before" => "the witness is there before, not after: within 5s before; @before(x): until x begins",
        "after" => "the witness is there after, not before: within 5s after; @after(x): from the end of x",
        "across" => "peers differ in these keys, for peer_median and its like",
        "over" => "in every window of this length",
        "in" => "is one of a set",
        "per" => "what diagnoses are grouped by",
        "span" => "how long the trace of the test is",
        "at" => "an event that starts at this time",
        "every" => "an event that is repeated; behind `over`: the step of the windows",
        "from" => "when the repetition starts",
        "to" => "when the repetition ends",
        "trace" => "a stored trace instead of events",
        "expect" => "what the rule must say",
        "fires" => "there are diagnoses, or exactly that many",
        "quiet" => "all it needs was seen, and it is not so",
        "unknown" => "it could not be decided",
        "skipped" => "the trace lacks a source, operation or column that it needs",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::RESERVED_WORDS;
    use super::*;

    #[test]
    fn every_word_of_the_grammar_is_explained() {
        let words = [RESERVED_WORDS, ITEM_WORDS, CLAUSE_WORDS, TEST_WORDS].concat();
        for word in words.into_iter().chain([
            "as", "disable", "until", "range", "before", "after", "for", "from", "to",
        ]) {
            assert!(described(word).is_some(), "{word}");
        }
    }

    #[test]
    fn the_words_are_those_of_the_checker() {
        let names = |words: Vec<Word>| -> Vec<String> { words.into_iter().map(|w| w.name).collect() };
        assert_eq!(names(functions()), resolve::FUNCTIONS);
        let percentiles = ["p50", "p95", "p99", "distinct"];
        let plain: Vec<String> = names(statistics())
            .into_iter()
            .filter(|n| !percentiles.contains(&n.as_str()))
            .collect();
        assert_eq!(plain, resolve::STATS.iter().map(|(n, _)| *n).collect::<Vec<_>>());
    }
}
