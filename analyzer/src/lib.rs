//! ingero
