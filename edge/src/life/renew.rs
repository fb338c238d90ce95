//! A unit renews its certificate: what it shows for it is the one that it has now.

use web::Problem;

use super::{
    Refusal, Why,
    reissue::{Pass, reissue},
};
use crate::{
    csr::Csr,
    http::{Shared, units::issued},
    index::Unit,
};

/// Issues `unit`, as it was read, a certificate for the key of `csr`; returns its DER.
pub(crate) async fn renew(floor: &Shared, unit: &Unit, csr: Csr) -> Result<Vec<u8>, Problem> {
    let (_, last) = issued(floor, unit)?;
    let pass = Pass {
        unit: unit.clone(),
        why: Why::Renewed,
        reason: "the unit renewed its certificate with the one that it had".to_owned(),
        csr: Some(csr),
        station: last.station.clone(),
        // Whose label it is stays.
        scope: last.scope.clone(),
        actor: format!("unit:{}", unit.id),
        last,
    };
    // The one that it has already, where it was asked at the same time and answered then.
    reissue(floor, pass).await?.certificate(floor)
}

/// Told to who shows a certificate that was replaced.
pub(crate) fn superseded() -> Problem {
    Refusal::Superseded.problem()
}
