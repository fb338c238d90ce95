//! The developer's one-word commands.
fn main() {}
