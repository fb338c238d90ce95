//! What a journal makes of a disk that was cut off, or tampered with.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{fs, path::PathBuf};

use journal::{Frame, FrameRef, Journal, OpenError, Options, Seq, Verified, WriteError, frame, segment};
use tempfile::TempDir;

const SMALL: Options = Options { segment_bytes: 4096 };

/// The frames that were seen while opening.
type Seen = Vec<(Seq, Vec<u8>)>;

fn open(dir: &TempDir) -> Result<(Journal, Seen), OpenError> {
    let gather = |seen: &mut Seen, _: FrameRef, frame: &Frame<'_>| {
        seen.push((frame.seq, frame.payload.to_vec()));
    };
    let (verified, seen) = Verified::read(dir.path(), SMALL, gather)?;
    Ok((verified.begin()?, seen.concat()))
}

fn write(journal: &mut Journal, payloads: &[&[u8]]) {
    for payload in payloads {
        journal.stage(payload).unwrap();
    }
    journal.sync().unwrap();
}

fn first_segment(dir: &TempDir) -> PathBuf {
    segment::path(dir.path(), 1)
}

#[test]
fn frames_are_there_after_reopening_across_segments() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir).unwrap();
    let payloads: Vec<Vec<u8>> = (0..40).map(|i| vec![b'a' + i as u8 % 26; 300]).collect();
    let mut refs = Vec::new();
    for pair in payloads.chunks(2) {
        refs.extend(pair.iter().map(|payload| journal.stage(payload).unwrap()));
        journal.sync().unwrap();
    }
    let head = journal.head();
    drop(journal);
    let (journal, seen) = open(&dir).unwrap();
    assert_eq!(seen.iter().map(|(_, payload)| payload.clone()).collect::<Vec<_>>(), payloads);
    assert_eq!((journal.last(), journal.head()), (40, head));
    assert!(fs::read_dir(dir.path()).unwrap().count() > 3, "several segments and the lock");
    for (at, payload) in refs.iter().zip(&payloads) {
        assert_eq!(&journal.reader().read(at).unwrap().0, payload);
    }
}

#[test]
fn only_one_writer_at_a_time_and_a_stale_lock_does_not_block() {
    let dir = TempDir::new().unwrap();
    let (journal, _) = open(&dir).unwrap();
    assert!(matches!(open(&dir), Err(OpenError::InUse { .. })));
    drop(journal);
    assert!(dir.path().join("lock").exists());
    open(&dir).unwrap();
}

#[test]
fn a_torn_batch_is_cut_at_its_first_bad_frame_wherever_it_was_torn() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir).unwrap();
    write(&mut journal, &[b"one"]);
    write(&mut journal, &[b"two", b"three", b"four"]);
    drop(journal);
    let whole = fs::read(first_segment(&dir)).unwrap();
    let batch = segment::HEADER + frame::room(3);
    let ends =
        [frame::room(3), frame::room(3) + frame::room(5), frame::room(3) + frame::room(5) + frame::room(4)];
    for kept in 0..ends[2] - 4 {
        let mut torn = whole.clone();
        torn[batch + kept..].fill(0);
        fs::write(first_segment(&dir), &torn).unwrap();
        let (mut journal, seen) = open(&dir).unwrap();
        // The padding after a payload is zero anyway.
        let good =
            1 + [3, 5, 4].iter().zip(ends).filter(|(len, end)| kept >= end - (8 - *len % 8) % 8).count();
        assert_eq!(seen.len(), good, "{kept} bytes of the batch survived");
        write(&mut journal, &[b"next"]);
        drop(journal);
        assert_eq!(open(&dir).unwrap().1.last().unwrap().1, b"next");
    }
}

#[test]
fn damage_to_what_was_once_on_disk_is_refused_and_named() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir).unwrap();
    write(&mut journal, &[b"one"]);
    write(&mut journal, &[b"two"]);
    journal.mark().unwrap();
    drop(journal);
    let whole = fs::read(first_segment(&dir)).unwrap();
    let marked = segment::HEADER + 2 * frame::room(3);
    for at in 0..marked {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        fs::write(first_segment(&dir), &bad).unwrap();
        let Err(OpenError::Damaged { segment, .. } | OpenError::Newer { segment, .. }) = open(&dir) else {
            panic!("byte {at} was changed and not noticed");
        };
        assert_eq!(segment, first_segment(&dir));
        assert_eq!(fs::read(first_segment(&dir)).unwrap(), bad, "nothing is changed");
    }
}

#[test]
fn a_missing_or_shortened_segment_is_refused() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir).unwrap();
    for _ in 0..30 {
        write(&mut journal, &[&[b'x'; 500]]);
    }
    drop(journal);
    let mut segments: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    segments.sort();
    let saved = fs::read(&segments[1]).unwrap();
    fs::remove_file(&segments[1]).unwrap();
    assert!(matches!(open(&dir), Err(OpenError::Damaged { .. })));
    for kept in [0, 60, 1000, saved.len() - 1] {
        fs::write(&segments[1], &saved[..kept]).unwrap();
        assert!(matches!(open(&dir), Err(OpenError::Damaged { .. })), "{kept} bytes are left");
    }
    fs::write(&segments[1], saved).unwrap();
    assert_eq!(open(&dir).unwrap().1.len(), 30);
    // Also the last one may not be shortened: where its frames ended is then not known any more.
    let last = segments.last().unwrap();
    let bytes = fs::read(last).unwrap();
    fs::write(last, &bytes[..bytes.len() - 512]).unwrap();
    assert!(matches!(open(&dir), Err(OpenError::Damaged { .. })));
}

#[test]
fn an_interrupted_creation_of_a_segment_is_swept_away() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir).unwrap());
    for name in ["spare", "spare.tmp"] {
        fs::write(dir.path().join(name), b"half").unwrap();
    }
    let (mut journal, _) = open(&dir).unwrap();
    assert!(!dir.path().join("spare").exists() && !dir.path().join("spare.tmp").exists());
    // A spare that was written ahead is taken, and is a segment like any other.
    for _ in 0..30 {
        write(&mut journal, &[&[b'x'; 500]]);
    }
    drop(journal);
    assert!(!dir.path().join("spare.tmp").exists());
    assert_eq!(open(&dir).unwrap().1.len(), 30);
}

#[test]
fn a_later_format_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir).unwrap();
    write(&mut journal, &[b"one"]);
    drop(journal);
    let whole = fs::read(first_segment(&dir)).unwrap();
    // A frame behind the last one that a later program wrote: its checksum holds, its version is 2.
    let mut frame = Vec::new();
    frame::encode(2, 1, &[7; 32], b"from the future", &mut frame);
    frame[8] = 2;
    let length = frame::HEADER + b"from the future".len();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..length]);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    let mut newer_frame = whole.clone();
    let end = segment::HEADER + frame::room(3);
    newer_frame[end..end + frame.len()].copy_from_slice(&frame);
    // A segment whose header says 2.
    let mut newer_segment = whole.clone();
    newer_segment[8] = 2;
    for (bytes, offset) in [(newer_frame, end as u64), (newer_segment, 0)] {
        fs::write(first_segment(&dir), &bytes).unwrap();
        let Err(OpenError::Newer { version: 2, offset: found, .. }) = open(&dir) else {
            panic!("a later format was read")
        };
        assert_eq!(found, offset);
        assert_eq!(fs::read(first_segment(&dir)).unwrap(), bytes, "it is left alone");
    }
}

#[test]
fn what_was_read_and_not_begun_is_left_as_it_was() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir).unwrap();
    write(&mut journal, &[b"one", b"two"]);
    drop(journal);
    let mut torn = fs::read(first_segment(&dir)).unwrap();
    torn[segment::HEADER + frame::room(3) + 70] ^= 1;
    fs::write(first_segment(&dir), &torn).unwrap();
    let (verified, _) = Verified::read::<()>(dir.path(), SMALL, |(), _, _| ()).unwrap();
    assert_eq!((verified.end().last, verified.end().torn.is_some()), (1, true));
    drop(verified);
    assert_eq!(fs::read(first_segment(&dir)).unwrap(), torn);
    assert_eq!(open(&dir).unwrap().0.last(), 1, "begun, it is cut");
    assert_ne!(fs::read(first_segment(&dir)).unwrap(), torn);
}

#[test]
fn an_idle_journal_marks_once_how_far_it_is_on_disk() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir).unwrap();
    journal.mark().unwrap();
    assert_eq!(journal.last(), 0, "an empty journal has nothing to say");
    write(&mut journal, &[b"one"]);
    journal.mark().unwrap();
    journal.mark().unwrap();
    assert_eq!(journal.last(), 2);
    let bytes = fs::read(first_segment(&dir)).unwrap();
    let frame::Found::Frame(mark) = frame::decode(&bytes[segment::HEADER + frame::room(3)..]) else {
        panic!("no mark");
    };
    assert_eq!((mark.durable, mark.payload), (1, &b""[..]));
}

#[test]
fn a_payload_that_is_too_large_is_refused_and_harms_nothing() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir).unwrap();
    assert!(matches!(journal.stage(&[0; 5000]), Err(WriteError::TooLarge { bytes: 5000 })));
    write(&mut journal, &[b"fine"]);
    assert_eq!(journal.durable(), 1);
}

#[test]
fn a_failed_write_is_final() {
    let dir = TempDir::new().unwrap();
    let (mut journal, _) = open(&dir).unwrap();
    write(&mut journal, &[b"one"]);
    // The next segment cannot be made: its folder is gone.
    let moved = dir.path().with_extension("gone");
    fs::rename(dir.path(), &moved).unwrap();
    let failure = std::iter::repeat_with(|| journal.stage(&[b'x'; 1000])).find_map(Result::err).unwrap();
    assert!(matches!(failure, WriteError::Failed { .. }));
    fs::rename(&moved, dir.path()).unwrap();
    assert!(matches!(journal.stage(b"again"), Err(WriteError::Failed { .. })));
    assert!(matches!(journal.sync(), Err(WriteError::Failed { .. })));
}

#[test]
fn a_whole_frame_of_another_journal_does_not_fit_the_chain() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for (dir, first) in [(&ours, b"one"), (&theirs, b"eno")] {
        let (mut journal, _) = open(dir).unwrap();
        for payload in [&first[..], b"two", b"end"] {
            write(&mut journal, &[payload]);
        }
    }
    let mut bytes = fs::read(first_segment(&ours)).unwrap();
    let second = segment::HEADER + frame::room(3)..segment::HEADER + 2 * frame::room(3);
    bytes[second.clone()].copy_from_slice(&fs::read(first_segment(&theirs)).unwrap()[second]);
    fs::write(first_segment(&ours), &bytes).unwrap();
    let Err(OpenError::Damaged { what, .. }) = open(&ours) else { panic!("it was taken for ours") };
    assert!(what.contains("hash chain"), "{what}");
}
