//! Names that people give: plain enough for an address, a file and a label.

/// Whether `text` has one to `longest` letters, digits, '-', '_' and '.', all of them ASCII.
pub(crate) fn is_plain(text: &str, longest: usize) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.len() <= longest && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_has_no_other_sign_and_is_not_too_long() {
        for good in ["a", "L-1_x.9", "123456789"] {
            assert!(is_plain(good, 9), "{good}");
        }
        for bad in ["", "1234567890", "a/b", "a b", "\u{e4}", "a\n"] {
            assert!(!is_plain(bad, 9), "{bad}");
        }
    }
}
