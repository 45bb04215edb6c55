//! Problems in the text of a rule: one shape for all of them, with codes that never change meaning.

use std::fmt;

use crate::source::{SourceId, Span};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $title:literal;)*) => {
        /// What kind of problem a [`Diagnostic`] reports. Codes never change meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// `E0301`: the stable name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What the code stands for, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    TooMany = "E0100", "more problems than are shown";
    BadChar = "E0101", "a character that no token starts with";
    Unterminated = "E0102", "a text, name or pattern without its end";
    BadUnit = "E0103", "a number with an unknown unit";
    NumberTooLarge = "E0104", "a number that does not fit";
    BadPercentile = "E0105", "a percentile outside 0 to 100";
    BadEscape = "E0106", "an unknown escape";
    BadRegex = "E0107", "a pattern that cannot be used";
    BadDate = "E0108", "a date that does not exist";
    FileTooLarge = "E0109", "a file over the size limit";
    TooManyTokens = "E0110", "a file with too many tokens";
    Habit = "E0111", "an operator of another language";
    Expected = "E0201", "something else was expected here";
    TooDeep = "E0202", "nested too deeply";
    NotYet = "E0203", "not in this edition yet";
    ChainedCompare = "E0204", "comparisons do not chain";
    UnitApart = "E0205", "a space between number and unit";
    Unclosed = "E0206", "a bracket without its partner";
    UnknownClause = "E0207", "an unknown clause";
    DuplicateClause = "E0208", "a clause given twice";
    Edition = "E0209", "an unknown edition";
    TemplateSyntax = "E0210", "a template that cannot be read";
    Import = "E0316", "an import that cannot be used";
    Across = "E0318", "peers of nobody";
    Override = "E0317", "an override that cannot be used";
    Direction = "E0211", "a direction that says nothing";
    UnknownName = "E0301", "an unknown name";
    UnknownOp = "E0302", "an unknown operation";
    UnknownField = "E0303", "an unknown field";
    UnknownStat = "E0304", "an unknown statistic";
    UnknownKey = "E0305", "an unknown key";
    UnknownSegment = "E0306", "an unknown segment";
    UnknownFunction = "E0307", "an unknown function";
    Duplicate = "E0308", "a name defined twice";
    UnknownSet = "E0309", "an unknown set";
    UnknownWord = "E0310", "an unknown word";
    UnknownParam = "E0311", "a value for an unknown parameter";
    UnknownType = "E0312", "an unknown type";
    UnsupportedKey = "E0313", "a key that the events do not have";
    UnknownScope = "E0314", "an unknown scope";
    FieldNotHere = "E0315", "a field that the events do not have";
    BareNumber = "E0401", "a bare number where a unit is needed";
    Mismatch = "E0402", "two sides of different dimensions";
    NotACondition = "E0403", "not a condition";
    NotANumber = "E0404", "not a number";
    NoNeighbour = "E0405", "a statistic of nothing";
    ManyNeighbours = "E0406", "a statistic of several candidates";
    LonelyWithin = "E0407", "`within` around one predicate";
    StateCompare = "E0408", "stints compared the wrong way";
    Windows = "E0409", "windows that do not fit together";
    Constant = "E0410", "a condition that never changes";
    Arithmetic = "E0411", "arithmetic that has no result";
    BadArguments = "E0412", "wrong arguments";
    BadOperator = "E0413", "an operator that does not suit the field";
    StatNotHere = "E0414", "a statistic that does not exist here";
    SegmentNotHere = "E0415", "a segment that cannot be used here";
    WindowNotHere = "E0416", "a window that cannot be used here";
    BadParam = "E0417", "a parameter value of the wrong type or outside its range";
    TooLarge = "E0418", "a rule that is too large";
    TwoPerOp = "E0419", "two sources per operation";
    NoSuchPart = "E0420", "a part of the key that the rule does not have";
    NotConstant = "E0421", "not a constant";
    NotInWithin = "E0422", "an absence inside `within`";
    NoPlace = "E0423", "what has no place in time";
    NoDistance = "E0424", "an absence without a distance";
    TestRule = "E0501", "a test of an unknown rule";
    TestEmpty = "E0502", "a test that asserts nothing";
    TestFixture = "E0503", "a fixture that cannot be used";
    TestEvent = "E0504", "an unknown event in a test";
    TestParam = "E0505", "an unknown parameter in a test";
    UnusedLet = "W0001", "a `let` that nothing uses";
    UnusedParam = "W0002", "a parameter that nothing uses";
    UnusedSet = "W0003", "a set that nothing uses";
    Shadowed = "W0004", "a name that hides another";
    UnusedSegment = "W0020", "a segment that nothing uses";
    ExplainsUnknown = "W0005", "`explains` names no loaded rule";
    NeverTrue = "W0006", "a condition that never holds";
    AlwaysTrue = "W0007", "a condition that always holds";
    MixedOps = "W0008", "one distribution of unlike operations";
    UnprovenCause = "W0009", "a cause that is named without proof";
    DuplicateCond = "W0010", "a condition that stands twice";
    Untested = "W0011", "a rule without a test";
    Expired = "W0012", "an exception that has ended";
    BadSilence = "W0013", "a silence that does not count";
}

impl Code {
    /// Whether it makes the rule unusable.
    pub fn is_error(self) -> bool {
        self.as_str().starts_with('E')
    }
}

/// A place with a word about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What to say there; may be empty.
    pub text: String,
}

/// A change of the text that a machine may apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What to replace; empty to insert.
    pub span: Span,
    /// With what.
    pub replacement: String,
}

/// A problem in the text of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What kind.
    pub code: Code,
    /// In which file.
    pub file: SourceId,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// The place.
    pub primary: Label,
    /// Other places that matter, in the same file.
    pub secondary: Vec<Label>,
    /// The way out.
    pub help: Option<String>,
    /// The change that would do it, where one is certain enough to offer.
    pub edit: Option<Edit>,
}

impl Diagnostic {
    /// A problem at a place.
    pub fn new(code: Code, file: SourceId, span: Span, message: impl Into<String>) -> Self {
        Self {
            code,
            file,
            message: message.into(),
            primary: Label {
                span,
                text: String::new(),
            },
            secondary: Vec::new(),
            help: None,
            edit: None,
        }
    }

    /// With a word at the place.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// With another place.
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// With the way out.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// With the change that would do it.
    pub fn edit(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.edit = Some(Edit {
            span,
            replacement: replacement.into(),
        });
        self
    }

    /// With "did you mean" for a near name (and the edit), else with the list of what there is.
    pub fn suggest(self, span: Span, written: &str, known: &[&str], what: &str) -> Self {
        match super::suggest::nearest(written, known) {
            Some(near) => self.help(format!("did you mean `{near}`?")).edit(span, near),
            None if known.is_empty() => self,
            None => self.help(format!("{what}: {}", known.join(", "))),
        }
    }

    /// Whether it makes the rule unusable; else it is a lint.
    pub fn is_error(&self) -> bool {
        self.code.is_error()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
