//! Whole stories across rooms: the demo, end-to-end tests, load and fault harnesses.
