//! What a worker writes into its program's ledger.

use azure_iot::RegistrationId;
use serde::{Deserialize, Serialize};

use crate::{
    drift::Drift,
    link::LinkState,
    readback::Tally,
    state::{Happening, Resolution, Why},
};

/// Something that the cloud, or the way to it, has done. Part of a program's event as `cloud`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CloudEvent {
    /// The cloud has what was wanted.
    Accepted {
        /// The unit.
        id: RegistrationId,
        /// The pass that was told.
        epoch: u32,
    },
    /// The cloud disagrees, and asking again will not help; or a person does not want it asked.
    Held {
        /// The unit.
        id: RegistrationId,
        /// The pass that was told.
        epoch: u32,
        /// What the matter is.
        why: Why,
    },
    /// The way to the cloud opened or closed. Written once per change, never per try.
    LinkChanged {
        /// How it is now.
        to: LinkState,
    },
    /// A person wants what was held to be asked again.
    Retried {
        /// The unit.
        id: RegistrationId,
        /// The pass that is to be told.
        epoch: u32,
    },
    /// A person has compared what is held with what the cloud has, and decided.
    Resolved {
        /// The unit.
        id: RegistrationId,
        /// The pass that it is about.
        epoch: u32,
        /// What was decided.
        resolution: Resolution,
        /// Why.
        reason: String,
    },
    /// A person wants nothing to be sent.
    Paused {
        /// Why.
        reason: String,
    },
    /// A person wants it to go on.
    Resumed {},
    /// This box was restored from a backup and lives on elsewhere: it must not go on here.
    Superseded {
        /// The generation that lives.
        generation: u8,
    },
    /// The cloud has something else than what it was told about a unit that was settled.
    Drifted {
        /// The unit.
        id: RegistrationId,
        /// The pass that was told.
        epoch: u32,
        /// What differs.
        what: Drift,
        /// Why a person has to decide; without it, it is told again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Why>,
    },
    /// How far it is to see whether the cloud still has what is settled. Written now and then, never per unit.
    ReadBack {
        /// The number of the pass.
        pass: u64,
        /// The last unit that was looked at; absent when the pass has ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<RegistrationId>,
        /// What the pass has shown.
        tally: Tally,
    },
}

impl CloudEvent {
    /// The unit that it is about.
    #[must_use]
    pub fn unit(&self) -> Option<&RegistrationId> {
        self.happening().map(|(id, _)| id)
    }

    /// What it does to the standing of a unit; `None` for what is about none.
    pub(crate) fn happening(&self) -> Option<(&RegistrationId, Happening)> {
        Some(match self {
            Self::Accepted { id, epoch } => (id, Happening::Accepted { epoch: *epoch }),
            Self::Held { id, epoch, why } => (id, Happening::Stopped { epoch: *epoch, why: why.clone() }),
            Self::Retried { id, epoch } => (id, Happening::Retried { epoch: *epoch }),
            Self::Resolved { id, epoch, resolution, .. } => {
                (id, Happening::Resolved { epoch: *epoch, resolution: resolution.clone() })
            }
            Self::Drifted { id, epoch, why, .. } => {
                (id, Happening::Drifted { epoch: *epoch, why: why.clone() })
            }
            Self::LinkChanged { .. }
            | Self::Superseded { .. }
            | Self::Paused { .. }
            | Self::Resumed {}
            | Self::ReadBack { .. } => return None,
        })
    }
}
