//! What nobody outside Microsoft has written down. Each is one switch, so that a recording of the real service can
//! correct it in one place.

/// The guesses.
#[derive(Debug, Clone, Copy)]
pub struct Assumptions {
    /// A PUT with `If-Match` that sends a record back as it was read (`info`, no `certificate`) keeps the certificate.
    pub write_back_keeps_certificate: bool,
    /// The six digits of a failed `If-Match`.
    pub precondition_failed: i64,
    /// A PUT with a concrete `If-Match` to an id that does not exist is a failed precondition.
    pub if_match_needs_a_record: bool,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            write_back_keeps_certificate: true,
            precondition_failed: 412_001,
            if_match_needs_a_record: true,
        }
    }
}
