//! What an EST client posts: it never panics, and what is decoded is no longer than what was sent.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| edge::fuzzing::est_body(bytes));
