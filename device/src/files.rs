//! What lies where in the state folder of a device.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use azure_iot::{DeviceId, RegistrationId};
use serde::{Deserialize, Serialize};

/// The state folder.
#[derive(Debug, Clone)]
pub(crate) struct Files(PathBuf);

/// Where DPS has sent the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) hub: String,
    pub(crate) device_id: DeviceId,
}

impl Files {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// The private key, readable by its owner only.
    pub(crate) fn key(&self) -> PathBuf {
        self.0.join("device.key")
    }

    /// The certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.0.join("device.pem")
    }

    /// The certificates between it and the root.
    pub(crate) fn chain(&self) -> PathBuf {
        self.0.join("chain.pem")
    }

    /// The registration id.
    pub(crate) fn id(&self) -> PathBuf {
        self.0.join("id")
    }

    fn assignment(&self) -> PathBuf {
        self.0.join("assignment.json")
    }

    pub(crate) fn read_id(&self) -> io::Result<RegistrationId> {
        fs::read_to_string(self.id())?.trim().parse().map_err(io::Error::other)
    }

    /// Where DPS sent the device last; anything unreadable is as good as nothing.
    pub(crate) fn remembered(&self) -> Option<Assignment> {
        serde_json::from_slice(&fs::read(self.assignment()).ok()?).ok()
    }

    /// Remembers where DPS sent the device: the old answer or the new one, never half of it.
    pub(crate) fn remember(&self, assignment: &Assignment) -> Result<(), keys::KeyError> {
        let json = serde_json::to_vec(assignment).expect("an assignment is plain data");
        keys::write_private(&self.assignment(), &json)
    }

    /// Forgets it.
    pub(crate) fn forget(&self) {
        // Not there is as good as gone.
        let _ = fs::remove_file(self.assignment());
    }
}
