//! What keeps a box from issuing and sending: it was restored and has not compared itself with the cloud yet, or it lives
//! on elsewhere.

use cloud_sync::{Permit, books, fence::Identity};
use http::StatusCode;
use ledger::{Applied, Changes, Ledger, ReadError, Seq, View};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use web::Problem;

use crate::{EdgeEvent, event::Restored, index};

/// What stands in the way; absent in an ordinary life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fence", rename_all = "snake_case")]
pub(crate) enum Fence {
    /// Restored from a backup: what was issued after it is not known here.
    Reconcile {
        /// The last frame of the backup.
        seq: Seq,
        /// When that was written.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
    /// Lives on elsewhere.
    Superseded {
        /// The generation that lives.
        generation: u8,
        /// When that was seen.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
}

/// Its key in the index.
pub(crate) const FENCE: &[u8] = b"fence";

/// Applies that the box was restored.
pub(crate) fn restored(changes: &mut Changes<'_>, restored: &Restored) {
    changes.put(FENCE, &Fence::Reconcile { seq: restored.seq, at: restored.at });
}

/// Applies that the box has compared itself with the cloud.
pub(crate) fn reconciled(changes: &mut Changes<'_>) {
    changes.remove(FENCE);
}

/// Applies that the box lives on elsewhere.
pub(crate) fn superseded(changes: &mut Changes<'_>, at: &Applied<'_>, generation: u8) {
    changes.put(FENCE, &Fence::Superseded { generation, at: at.at });
}

/// What stands in the way, as it is committed.
pub(crate) fn committed(ledger: &Ledger<EdgeEvent>) -> Result<Option<Fence>, ReadError> {
    ledger.get(FENCE)
}

/// What stands in the way, for a decision.
pub(crate) fn in_view(view: &View<'_>) -> Option<Fence> {
    view.get(FENCE)
}

/// Whether the worker may send, and as whom.
pub(crate) fn permit(ledger: &Ledger<EdgeEvent>, certificate: &[u8]) -> Result<Permit, ReadError> {
    if committed(ledger)?.is_some() || books::paused(ledger)?.is_some() {
        return Ok(Permit::Withheld);
    }
    let this_box: Option<index::BoxRecord> = ledger.get(index::BOX)?;
    Ok(this_box.map_or(Permit::Withheld, |this_box| {
        Permit::Box(Identity {
            box_id: this_box.issued_by.box_id,
            generation: this_box.issued_by.generation,
            instance: this_box.instance,
            certificate: certificate.to_vec(),
        })
    }))
}

impl Fence {
    /// What a caller is told.
    pub(crate) fn problem(&self) -> Problem {
        let code = match self {
            Self::Reconcile { .. } => "reconcile-required",
            Self::Superseded { .. } => "superseded",
        };
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, self.words()).retryable(false)
    }

    /// What a person is told.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Reconcile { seq, at } => format!(
                "this box was restored from a backup that ends at frame {seq}, {}; nothing is issued and nothing is sent \
                 until somebody has run: edge reconcile",
                at.replace_nanosecond(0).unwrap_or(*at)
            ),
            Self::Superseded { generation, .. } => format!(
                "this box was restored elsewhere and lives on there as generation {generation}; it issues nothing any more. \
                 Switch it off, or restore it anew from a backup of the other one"
            ),
        }
    }
}
