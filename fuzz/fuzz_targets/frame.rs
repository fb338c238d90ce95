//! Bytes of a journal: they never panic, and a frame that is found is the one that writes itself so.
#![no_main]

use journal::frame::{Found, decode, encode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Found::Frame(frame) = decode(bytes) {
        let mut again = Vec::new();
        let hash = encode(frame.seq, frame.durable, &frame.prev, frame.payload, &mut again);
        assert_eq!(hash, frame.hash);
        assert_eq!(again.get(..64 + frame.payload.len()), bytes.get(..64 + frame.payload.len()));
    }
});
