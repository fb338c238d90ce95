//! A daemon's durable truth: events in the journal, a sled index and queue that can be rebuilt.
