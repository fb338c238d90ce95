//! Copies of a journal that is being written.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;

use journal::{Journal, OpenError, Options, Tail, copy, read};
use tempfile::TempDir;

const SMALL: Options = Options { segment_bytes: 4096 };

fn write(journal: &mut Journal, frames: usize) {
    for _ in 0..frames {
        journal.stage(&[b'x'; 500]).unwrap();
        journal.sync().unwrap();
    }
}

fn last(dir: &TempDir) -> u64 {
    read::<()>(dir.path(), |(), _, _| ()).unwrap().0.last
}

#[test]
fn a_copy_holds_what_was_known_to_be_on_disk_and_grows() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut journal = Journal::open(from.path(), SMALL).unwrap();
    write(&mut journal, 1);
    assert_eq!(
        copy(from.path(), to.path(), Tail::Durable).unwrap().last,
        0,
        "nobody says yet that it is on disk"
    );
    journal.mark().unwrap();
    let first = copy(from.path(), to.path(), Tail::Durable).unwrap();
    assert_eq!((first.last, first.segments), (1, 1));
    write(&mut journal, 40);
    journal.mark().unwrap();
    let second = copy(from.path(), to.path(), Tail::Durable).unwrap();
    assert_eq!(second.last, 42, "all but the mark itself");
    assert!(second.segments > 3);
    write(&mut journal, 1);
    journal.mark().unwrap();
    let third = copy(from.path(), to.path(), Tail::Durable).unwrap();
    assert_eq!(third.last, 44, "the mark before, and the frame");
    assert!(third.segments <= 2, "full segments are copied once: {third:?}");
    // A copy of a copy lacks nothing: there is no writer who might lose it.
    let again = TempDir::new().unwrap();
    assert_eq!(copy(to.path(), again.path(), Tail::Whole).unwrap().head, third.head);
    // The copy is a journal like any other, and goes on by itself.
    let mut other = Journal::open(to.path(), SMALL).unwrap();
    assert_eq!(other.head(), third.head);
    write(&mut other, 5);
    drop(other);
    assert_eq!(last(&to), 49);
}

#[test]
fn a_copy_of_what_is_damaged_is_refused() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut journal = Journal::open(from.path(), SMALL).unwrap();
    write(&mut journal, 20);
    journal.mark().unwrap();
    let path = journal::segment::path(from.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[700] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(copy(from.path(), to.path(), Tail::Durable), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_copy_of_another_journal_is_not_overwritten_unnoticed() {
    let (from, other, to) = (TempDir::new().unwrap(), TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut journal = Journal::open(from.path(), SMALL).unwrap();
    let mut another = Journal::open(other.path(), SMALL).unwrap();
    another.stage(b"something else").unwrap();
    write(&mut another, 20);
    write(&mut journal, 40);
    another.mark().unwrap();
    journal.mark().unwrap();
    copy(other.path(), to.path(), Tail::Durable).unwrap();
    assert!(copy(from.path(), to.path(), Tail::Durable).is_err(), "the seams do not fit");
}
