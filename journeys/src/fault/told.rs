//! What clients were told, kept away from the disk that fails.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fastrand::Rng;

use crate::fault::report::Violation;

/// The clients' own record. Cheap to clone; all clones are the same record.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    units: BTreeMap<String, Unit>,
    /// The ids in the order of their first answers.
    order: Vec<String>,
    wrong: Vec<(Violation, String)>,
    sealed: bool,
    dead: bool,
    repeats: usize,
    refused: usize,
    internal: usize,
}

/// What was told of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unit {
    /// The SHA-256 of its certificate, upper case.
    pub(crate) sha256: String,
    /// Whether it was told before the record was sealed: then it must be there.
    pub(crate) certain: bool,
}

impl Told {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down that a client was told yes.
    pub(crate) fn yes(&self, id: &str, sha256: &str) {
        let mut book = self.book();
        let unit = Unit { sha256: sha256.to_owned(), certain: !book.sealed };
        match book.units.get(id) {
            None => {
                book.order.push(id.to_owned());
                book.units.insert(id.to_owned(), unit);
            }
            Some(before) => {
                let same = before.sha256 == unit.sha256;
                book.repeats += 1;
                if !same {
                    book.wrong.push((Violation::Changed, format!("{id}: a repeat got another certificate")));
                }
            }
        }
    }

    /// Writes down what a client should never have seen.
    pub(crate) fn wrong(&self, what: Violation, detail: String) {
        self.book().wrong.push((what, detail));
    }

    /// Takes what clients should never have seen.
    pub(crate) fn take_wrong(&self) -> Vec<(Violation, String)> {
        std::mem::take(&mut self.book().wrong)
    }

    /// From now on a yes comes too late to count: the power may be gone already.
    pub(crate) fn seal(&self) {
        self.book().sealed = true;
    }

    /// The power is gone: whatever is asked from now on must not be promised.
    pub(crate) fn power_is_gone(&self) {
        self.book().dead = true;
    }

    /// Whether it is.
    pub(crate) fn is_power_gone(&self) -> bool {
        self.book().dead
    }

    /// The power is back, and a yes counts again.
    pub(crate) fn power_is_back(&self) {
        let mut book = self.book();
        book.sealed = false;
        book.dead = false;
    }

    /// How many units clients know.
    pub(crate) fn len(&self) -> usize {
        self.book().units.len()
    }

    /// How many yeses were repeats.
    pub(crate) fn repeats(&self) -> usize {
        self.book().repeats
    }

    /// Counts a refusal that promises nothing.
    pub(crate) fn no(&self) {
        self.book().refused += 1;
    }

    /// Counts an answer that says that something went wrong inside: no promise, but no good answer either.
    pub(crate) fn oops(&self) {
        self.book().internal += 1;
    }

    /// How many of them there were.
    pub(crate) fn internal(&self) -> usize {
        self.book().internal
    }

    /// How many refusals there were.
    pub(crate) fn refused(&self) -> usize {
        self.book().refused
    }

    /// Everything from the `from`th answer on, and up to `older` others.
    pub(crate) fn since(&self, from: usize, older: usize, dice: &mut Rng) -> Vec<(String, Unit)> {
        let book = self.book();
        let from = from.min(book.order.len());
        let mut ids: Vec<&String> = book.order[from..].iter().collect();
        if from > 0 {
            ids.extend((0..older).map(|_| &book.order[dice.usize(..from)]));
        }
        ids.into_iter().filter_map(|id| Some((id.clone(), book.units.get(id)?.clone()))).collect()
    }

    /// Everything.
    pub(crate) fn all(&self) -> BTreeMap<String, Unit> {
        self.book().units.clone()
    }

    /// A unit that was told of too late is there after all: from now on it must stay.
    pub(crate) fn confirm(&self, id: &str) {
        if let Some(unit) = self.book().units.get_mut(id) {
            unit.certain = true;
        }
    }

    /// A unit that was told of too late is not there, which may be; one that was reported once need not be again.
    pub(crate) fn forget(&self, id: &str) {
        let mut book = self.book();
        book.units.remove(id);
        book.order.retain(|other| other != id);
    }
}
