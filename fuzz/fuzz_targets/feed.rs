//! Who asks for the feed: only a page of this appliance gets it. What a screen sends later is not looked at.
#![no_main]

libfuzzer_sys::fuzz_target!(|sent: (&[u8], &[u8])| edge::fuzzing::feed(sent.0, sent.1));
