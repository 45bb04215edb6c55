//! The rule packs inside the program.

/// Every shipped pack: name and text, by name.
pub const PACKS: &[(&str, &str)] = &[];
