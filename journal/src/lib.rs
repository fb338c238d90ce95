//! An append-only, hash-chained, fsynced sequence of frames with group commit.
