//! The one place that prints.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line talks to people here, and nowhere else"
)]

/// Prints a line of the answer.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Prints a line that is no part of the answer.
pub(crate) fn error(text: &str) {
    eprintln!("{text}");
}
