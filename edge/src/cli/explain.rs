//! `edge explain`

use clap::Args;

use super::{Failure, say};
use crate::problems::{PROBLEMS, find, page};

/// Explains the code of a problem, or lists them all.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The code, such as unit-exists; all of them without it.
    code: Option<String>,
    /// Prints the page of all of them for docs/errors.md.
    #[arg(long, conflicts_with = "code")]
    page: bool,
}

impl Explain {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.code {
            _ if self.page => say::line(page().trim_end()),
            None => {
                for problem in PROBLEMS {
                    say::line(&format!("{:<26} {}", problem.code, problem.words));
                }
            }
            Some(code) => {
                let known = find(&code).ok_or_else(|| {
                    Failure::not_found(format!("there is no code '{code}'; see them all: edge explain"))
                })?;
                say::line(&known.explain());
            }
        }
        Ok(())
    }
}
