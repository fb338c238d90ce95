//! Property bags: `k=v&k2=v2` with percent-encoded keys and values, as topics of IoT Hub carry them.
//!
//! System properties begin with `$.` (`$.mid`, `$.ct`, `$.ce`, …). Only percent escapes are decoded: a `+` is a plus.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'!')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*');

/// A name, and its value if it has one: `key` alone is null, `key=` is empty.
pub type Property = (String, Option<String>);

/// Writes a bag.
#[must_use]
pub fn encode<'a>(properties: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let pairs: Vec<_> = properties
        .into_iter()
        .map(|(key, value)| match value {
            Some(value) => format!("{}={}", encoded(key), encoded(value)),
            None => encoded(key),
        })
        .collect();
    pairs.join("&")
}

/// Reads a bag; `None` if it is not UTF-8 once decoded.
#[must_use]
pub fn decode(bag: &str) -> Option<Vec<Property>> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
    bag.trim_start_matches('?')
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((key, value)) => Some((decoded(key)?, Some(decoded(value)?))),
            None => Some((decoded(pair)?, None)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bag in prop::collection::vec(("\\PC{1,8}", prop::option::of("\\PC{0,8}")), 0..5)) {
            let text = encode(bag.iter().map(|(key, value)| (key.as_str(), value.as_deref())));
            prop_assert!(!text.contains(['+', '#', '/']), "must fit into a topic: {}", text);
            prop_assert_eq!(decode(&text), Some(bag));
        }
    }

    #[test]
    fn the_bag_that_both_official_clients_were_seen_to_send() {
        let expected = [("$.mid", "m 1"), ("$.ct", "application/json"), ("$.ce", "utf-8"), ("a b", "c/d")];
        let bag = decode("%24.mid=m%201&%24.ct=application%2Fjson&%24.ce=utf-8&a%20b=c%2Fd").expect("a bag");
        let expected: Vec<Property> =
            expected.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned()))).collect();
        assert_eq!(bag, expected);
        assert_eq!(decode("a+b=c+d"), Some(vec![("a+b".to_owned(), Some("c+d".to_owned()))]));
        assert_eq!(
            decode("null&empty="),
            Some(vec![("null".into(), None), ("empty".into(), Some(String::new()))])
        );
    }
}
