//! No core file of a process that holds keys.

use rustix::{
    io,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
};

/// From here on the kernel writes no core of this process, pipes none to a collector, and lets no other process of this
/// user look into its memory.
pub(crate) fn forbid() -> io::Result<()> {
    // The limit holds where the pattern names a file, the flag also where it names a program.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
