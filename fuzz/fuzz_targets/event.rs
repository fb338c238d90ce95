//! A commit as the journal has it: what is read is written the same again, and can be told to people.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| edge::fuzzing::event(text));
