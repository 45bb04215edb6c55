//! Bounds on rule texts, so that checking one always ends, and soon.

/// Bytes of a file.
pub const FILE_BYTES: usize = 1 << 20;
/// Tokens of a file.
pub const TOKENS: usize = 200_000;
/// Diagnostics after which a file is not read further.
pub const DIAGNOSTICS: usize = 100;
/// Brackets, signs and `not`s inside each other.
pub const NESTING: u16 = 48;
/// Levels of an expression's tree, chains of operators included.
pub const HEIGHT: u16 = 96;
/// Bytes of a regular expression.
pub const REGEX_BYTES: usize = 1_000;
/// Bytes of a compiled regular expression.
pub const REGEX_COMPILED: usize = 1 << 18;
/// Different statistics of a rule, with its clauses.
pub const RULE_METRICS: usize = 128;
/// Expressions of a rule after its `let`s are filled in.
pub const RULE_NODES: u32 = 10_000;
/// `let`s inside `let`s.
pub const LET_DEPTH: usize = 16;

/// How deep imports of imports go.
pub const IMPORTS_DEEP: usize = 8;

/// Files that one run may reach.
pub const IMPORTED: usize = 64;
