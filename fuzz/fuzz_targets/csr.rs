//! What a device sends to be signed: it never panics, and what is taken is a key whose holder has asked.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| edge::fuzzing::csr(bytes));
