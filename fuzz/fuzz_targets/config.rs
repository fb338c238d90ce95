//! A configuration as people write it: it never panics, and what is wrong has a place.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| edge::fuzzing::config(text));
