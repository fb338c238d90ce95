//! How requests to DPS ended: counted since the start, for whoever watches over many boxes.

use std::collections::BTreeMap;

use crate::cause::Cause;

/// How requests to DPS ended, whatever they were about. There are never more entries than there are causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts<T> {
    /// Those that DPS answered, whatever the answer says of a unit.
    pub answered: u64,
    /// Those that failed, by what stood in the way.
    pub failed: BTreeMap<Cause, u64>,
    /// When DPS answered last.
    pub last_answer: Option<T>,
}

impl<T> Default for Attempts<T> {
    fn default() -> Self {
        Self { answered: 0, failed: BTreeMap::new(), last_answer: None }
    }
}

impl<T> Attempts<T> {
    /// DPS has answered.
    pub(crate) fn answered(&mut self, now: T) {
        self.answered += 1;
        self.last_answer = Some(now);
    }

    /// A request has failed.
    pub(crate) fn failed(&mut self, cause: Cause) {
        *self.failed.entry(cause).or_default() += 1;
    }

    /// The same in another time.
    pub(crate) fn told_in<U>(&self, at: impl Fn(&T) -> U) -> Attempts<U> {
        let Self { answered, failed, last_answer } = self;
        Attempts { answered: *answered, failed: failed.clone(), last_answer: last_answer.as_ref().map(at) }
    }

    /// How many DPS has answered with a request for patience (429).
    #[must_use]
    pub fn throttled(&self) -> u64 {
        self.failed.get(&Cause::Busy).copied().unwrap_or_default()
    }
}
