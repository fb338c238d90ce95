//! Bytes of a journal: they never panic, a frame that is found is the one that writes itself so, and one changed bit is
//! noticed.
#![no_main]

use journal::frame::{Found, decode, encode};

libfuzzer_sys::fuzz_target!(|input: (u64, u64, [u8; 32], usize, &[u8])| {
    let (seq, durable, prev, bit, bytes) = input;
    if let Found::Frame(frame) = decode(bytes) {
        let mut again = Vec::new();
        let hash = encode(frame.seq, frame.durable, &frame.prev, frame.payload, &mut again);
        assert_eq!(hash, frame.hash);
        assert_eq!(again.get(..64 + frame.payload.len()), bytes.get(..64 + frame.payload.len()));
    }
    let mut written = Vec::new();
    let hash = encode(seq, durable, &prev, bytes, &mut written);
    let Found::Frame(read) = decode(&written) else { panic!("it does not read what it writes") };
    assert_eq!((read.seq, read.durable, read.prev, read.payload, read.hash), (seq, durable, prev, bytes, hash));
    let bit = bit % (written.len() * 8);
    written[bit / 8] ^= 1 << (bit % 8);
    assert!(!matches!(decode(&written), Found::Frame(_)), "bit {bit} was changed, and nobody noticed");
});
