//! For plants that are never online: jobs travel out of the box in a bundle, are done elsewhere, and a receipt comes
//! back.
//!
//! ```text
//! box ── Bundle, numbered, sealed by the box ──▶ Errands, with the worker's own clerk ──▶ DPS
//! box ◀── Receipt, sealed by the courier ────────────┘
//! ```
//!
//! Neither file holds a secret: the box knows the courier's key and the courier knows the box's, each by its
//! fingerprint. The jobs stay where they are and wait until a receipt settles them, so a file that is lost is a journey
//! made in vain and nothing else.

mod bundle;
mod errands;
mod receipt;
mod seal;
mod walk;

pub use self::{
    bundle::{Bundle, Change, Job, Letter, Unit},
    errands::{ErrandError, Errands, Step},
    receipt::{Receipt, Stub},
    seal::{Broken, fingerprint, is_fingerprint},
    walk::{Walk, walk},
};
