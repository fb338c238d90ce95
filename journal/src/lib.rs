//! An append-only, hash-chained, fsynced sequence of frames.
//!
//! It is for things that must still be true after a power cut: what [`Journal::sync`] returned `Ok` for is on disk.
//! It knows nothing of what is in a frame.
//! The format on disk is written down in [`frame`] and [`segment`]; read [`Journal`] first.

mod copy;
mod error;
pub mod frame;
mod journal;
mod reader;
mod recovery;
mod scan;
pub mod segment;
mod window;

pub use copy::{Copied, Tail, copy};
pub use error::{OpenError, ReadError, WriteError};
pub use frame::{Frame, Hash, MAX_PAYLOAD, Seq};
pub use journal::{Journal, Options, Verified};
pub use reader::{FrameRef, Reader};
pub use recovery::{End, read};
