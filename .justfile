# just --justfile .justfile

set positional-arguments

# What there is.
default:
    @just --justfile .justfile --list

# The tests.
test *args:
    cargo test --workspace "$@"

# The tests of shipped rules.
rules *args:
    cargo run --quiet --release --bin ingero -- rules test "$@"

# What CI runs.
ci: fmt lint docs test deny typos

fmt:
    cargo fmt --all --check

lint:
    cargo clippy --workspace --all-targets -- -D warnings

docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

deny:
    cargo deny --config .deny.toml check

typos:
    typos --config .typos.toml
