//! What editors use: formatting, the language server, the grammar for colours.

#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod fmt;
mod grammar;
mod lsp;
