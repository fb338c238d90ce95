//! The machine manufacturer's window: claim, configure, activate.
