//! The agent: born on the line, wakes up at the customer's site.
