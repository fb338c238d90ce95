//! What a harness found, as one JSON object.

use std::{collections::BTreeMap, fmt::Display};

use serde::Serialize;
use tokio::time::Instant;

use crate::fault::Common;

/// How many findings are told in words.
const EXAMPLES: usize = 50;
/// How many characters of each.
const LENGTH: usize = 600;

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// A client was told yes, and the ledger does not know.
    Lost,
    /// A client was told of another certificate than the one that is kept.
    Changed,
    /// The daemon does not start on what is left.
    Unopenable,
    /// A unit without its job for the cloud, or books that do not balance.
    HalfCommit,
    /// A unit was promised when its storage was known to be gone.
    FalseAck,
    /// A unit that the cloud was told of and that the ledger does not know, or the other way round.
    Cloud,
    /// No answer, or no end, in any reasonable time.
    Hang,
    /// The daemon ended by a signal that nobody sent.
    Crash,
    /// An answer or an exit code that the contract does not know.
    Unexpected,
}

/// What a harness did and found.
#[derive(Debug, Serialize)]
pub struct Report {
    harness: String,
    seed: u64,
    mutated: bool,
    /// Whether nothing was found.
    clean: bool,
    seconds: u64,
    figures: BTreeMap<String, u64>,
    violations: BTreeMap<Violation, u64>,
    examples: Vec<String>,
    #[serde(skip)]
    begun: Instant,
}

impl Report {
    /// An empty one.
    #[must_use]
    pub fn new(harness: &str, common: &Common) -> Self {
        Self {
            harness: harness.to_owned(),
            seed: common.seed,
            mutated: common.mutate,
            clean: true,
            seconds: 0,
            figures: BTreeMap::new(),
            violations: BTreeMap::new(),
            examples: Vec::new(),
            begun: Instant::now(),
        }
    }

    /// Counts something.
    pub fn add(&mut self, figure: &str, n: usize) {
        *self.figures.entry(figure.to_owned()).or_default() += n as u64;
    }

    /// Keeps the greatest of something.
    pub fn most(&mut self, figure: &str, n: u64) {
        let most = self.figures.entry(figure.to_owned()).or_default();
        *most = n.max(*most);
    }

    /// A figure so far.
    #[must_use]
    pub fn figure(&self, figure: &str) -> u64 {
        self.figures.get(figure).copied().unwrap_or_default()
    }

    /// Writes down what must never happen.
    #[expect(clippy::print_stderr, reason = "whoever watches hears of it at once")]
    pub fn found(&mut self, what: Violation, detail: impl Display) {
        self.clean = false;
        *self.violations.entry(what).or_default() += 1;
        if self.examples.len() < EXAMPLES {
            let example: String = format!("{what:?}: {detail}").chars().take(LENGTH).collect();
            eprintln!("{example}");
            self.examples.push(example);
        }
    }

    /// Says how far it is, to whoever watches.
    #[expect(clippy::print_stderr, reason = "progress goes to standard error, the result to standard output")]
    pub fn progress(&self, text: impl Display) {
        eprintln!("{:>5} s  {}: {text}", self.begun.elapsed().as_secs(), self.harness);
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.clean
    }

    /// How many findings there are.
    pub(crate) fn violations(&self) -> u64 {
        self.violations.values().sum()
    }

    /// Whether the guard was taken away.
    pub(crate) fn is_mutated(&self) -> bool {
        self.mutated
    }

    /// How often something was found.
    #[must_use]
    pub fn count(&self, what: Violation) -> u64 {
        self.violations.get(&what).copied().unwrap_or_default()
    }

    /// The report as JSON.
    ///
    /// # Errors
    /// None that is known.
    pub fn json(&mut self) -> serde_json::Result<String> {
        self.seconds = self.begun.elapsed().as_secs();
        serde_json::to_string_pretty(self)
    }
}
