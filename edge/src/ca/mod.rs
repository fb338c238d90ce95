//! The ceremony: which issuing CA is at work, how another one takes over, and how it proves itself to the cloud.
//!
//! ```text
//! request ─▶ issuing-next.key, issuing-next.csr ─▶ a plant's root signs ─▶ install
//! rotate  ─▶ issuing-next.key ─▶ our own root signs ───────────────────▶ install
//! install ─▶ journal: CaInstalled (both chains) ─▶ issuing.key, issuing.pem ─▶ the next unit
//! ```
//!
//! The journal decides: a start after a crash finishes what was installed there. What was issued before keeps its chain,
//! and the old CA's files stay under `issuing-{the first 16 digits of its SHA-256}`.

mod chain;
mod event;
mod install;
mod issuing;
mod keyring;
mod list;
mod prove;

pub use event::{CaChain, CaInstalled, CaProved, Origin};
pub use keyring::CaToken;

pub(crate) use chain::Chain;
pub(crate) use event::{all, current as recorded, installed, known};
pub(crate) use install::{install, request, settle};
pub(crate) use issuing::{Issuing, SHORT, public_key};
pub(crate) use keyring::Keyring;
pub(crate) use list::{Listed, list, previous};
pub(crate) use prove::{Code, prove, record};
